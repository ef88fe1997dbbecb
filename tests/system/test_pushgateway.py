"""A real Pushgateway: what is told of a job stays, and telling never harms the job."""

import subprocess
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.learning import app
from maximus_assets.prometheus.push import MEASURES, PUSHGATEWAY_VARIABLE, JobRun, exposition, push, telling

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOWHERE = "http://me:hunter2@127.0.0.1:9"


@pytest.fixture(scope="module")
def gateway(servers):
    return servers.pushgateway()


def told(gateway, job):
    """Metric -> value, of one job, as Prometheus would scrape it."""
    text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels.get("job") == job and sample.name in MEASURES
    }


@pytest.mark.pushgateway
def test_the_instant_of_the_last_success_survives_a_failure(gateway):
    job = 'nightly/"retrain" 1'
    assert push(JobRun(job, 12.5, is_success=True, rows=5760, ended_at=NOON), gateway.url) == ""
    before = told(gateway, job)
    assert before == {
        "maximus_job_duration_seconds": 12.5,
        "maximus_job_success": 1,
        "maximus_job_rows": 5760,
        "maximus_job_last_success_timestamp_seconds": NOON.timestamp(),
    }
    later = JobRun(job, 3.0, is_success=False, rows=None, ended_at=NOON + timedelta(hours=1))
    assert push(later, gateway.url + "/") == ""
    assert told(gateway, job) == {**before, "maximus_job_duration_seconds": 3.0, "maximus_job_success": 0}


@pytest.mark.pushgateway
def test_a_job_tells_how_it_went_and_its_error_passes_unchanged(gateway, clock):
    with telling("fine", gateway.url, clock=clock, complain=pytest.fail) as outcome:
        clock.advance(7)
        outcome.rows = 3
    assert told(gateway, "fine")["maximus_job_duration_seconds"] == 7
    assert told(gateway, "fine")["maximus_job_rows"] == 3
    with (
        pytest.raises(BadInputError, match="no such file"),
        telling("broken", gateway.url, clock=clock, complain=pytest.fail),
    ):
        raise BadInputError("no such file", source="x.csv")
    assert told(gateway, "broken") == {"maximus_job_duration_seconds": 0, "maximus_job_success": 0}


@pytest.mark.pushgateway
def test_what_the_gateway_refuses_is_said(gateway):
    run = JobRun("fine", 1.0, is_success=True, rows=1, ended_at=NOON)
    assert push(run, f"{gateway.url}/nowhere") == "the Pushgateway was not told of fine: HTTP 404"


def test_without_a_gateway_nothing_is_told_and_one_that_is_away_fails_nothing(clock):
    run = JobRun("fine", 1.0, is_success=True, rows=1, ended_at=NOON)
    assert push(run, "") == ""
    problems = []
    with telling("fine", NOWHERE, clock=clock, complain=problems.append):
        pass
    assert problems == ["the Pushgateway was not told of fine: ConnectError"]
    assert push(run, "http://[broken") != ""


@pytest.mark.prometheus
def test_prometheus_own_tool_finds_nothing_to_say_against_what_is_pushed():
    text = exposition(JobRun("fine", 1.0, is_success=True, rows=1, ended_at=NOON))
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert checked.stdout + checked.stderr == b""


def flat_file(folder):
    lines = [f"{(NOON + timedelta(hours=hour)).isoformat()},5" for hour in range(24 * 6)]
    file = folder / "flat.csv"
    file.write_text("\n".join(["timestamp,requests", *lines]))
    return file


@pytest.mark.pushgateway
def test_learning_from_files_is_told_of(gateway, tmp_path, monkeypatch):
    monkeypatch.setenv(PUSHGATEWAY_VARIABLE, gateway.url)
    assert CliRunner().invoke(app, ["--telemetry", str(flat_file(tmp_path))]).exit_code == 0
    after = told(gateway, "maximus_learn")
    assert after["maximus_job_success"] == 1
    assert after["maximus_job_rows"] == 24 * 6
    assert CliRunner().invoke(app, ["--telemetry", str(tmp_path / "absent.csv")]).exit_code == 2
    assert told(gateway, "maximus_learn")["maximus_job_success"] == 0


def test_learning_goes_on_when_the_gateway_is_away(tmp_path, monkeypatch):
    monkeypatch.setenv(PUSHGATEWAY_VARIABLE, NOWHERE)
    result = CliRunner().invoke(app, ["--telemetry", str(flat_file(tmp_path))])
    assert result.exit_code == 0
    assert "the Pushgateway was not told of maximus_learn" in result.stderr
    assert "hunter2" not in result.output
