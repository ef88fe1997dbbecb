"""What the commands say and how they end, against a small gateway on this machine and against none."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from serving.cli import app, asking, running

NOW = datetime.now(UTC).replace(microsecond=0)


def at(minutes):
    return (NOW + timedelta(minutes=minutes)).isoformat()


def decision(number, **more):
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "target": "demo-shop",
        "first_at": at(-number),
        "last_at": at(-number),
        "count": 1,
        "kind": "noop",
        "is_dry_run": True,
        "reason": "the size fits",
        "plan": None,
        "model_version": "3",
        **more,
    }


FORECASTS = {
    "target": "demo-shop",
    "sensor": "request_rate_per_second",
    "unit": "per_second",
    "since": at(-60),
    "until": at(0),
    "step_seconds": 300,
    "coverage": 0.9,
    "lead_seconds": 1800,
    "actual": [{"at": at(minute), "value": 100.0 + minute} for minute in range(-60, 0, 5)],
    "past": [],
    "quality": {"compared": 4, "inside_ratio": 0.75, "mean_absolute_error": 2.5},
    "latest": {
        "issued_at": at(-5),
        "model_version": "3",
        "points": [
            {"at": at(minute), "mean": 100.0, "lower": 90.0, "upper": 110.0} for minute in range(0, 120, 5)
        ],
    },
}


class Gateway(BaseHTTPRequestHandler):
    """Answers what the test put into `answers`; keeps what it was asked."""

    answers: ClassVar[dict] = {}
    asked: ClassVar[list] = []

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.asked.append((url.path, query))
        status, kind, body = self.answers[url.path]
        body = body(query) if callable(body) else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def gateway(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("MAXIMUS_GATEWAY_PORT", str(server.server_port))
    asking.settings.cache_clear()
    Gateway.answers, Gateway.asked = {}, []
    yield Gateway
    server.shutdown()
    thread.join()
    server.server_close()
    asking.settings.cache_clear()


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    monkeypatch.setenv("MAXIMUS_GATEWAY_PORT", "1")
    monkeypatch.setenv("MAXIMUS_DATA_DIR", str(tmp_path))
    asking.settings.cache_clear()
    yield tmp_path
    asking.settings.cache_clear()


def run(*arguments):
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("arguments", [("decisions",), ("forecast", "host")])
def test_asking_while_nothing_runs_says_how_to_start_it(nowhere, arguments):
    done = run(*arguments)
    assert done.exit_code == 3
    assert done.stderr == "Nothing answers at http://127.0.0.1:1: start it with `make up`.\n"


def test_status_and_down_while_nothing_runs(nowhere):
    done = run("status")
    assert (done.exit_code, done.stderr) == (3, "Maximus is not running: start it with `make up`.\n")
    assert json.loads(run("status", "--json").stdout)["is_running"] is False
    done = run("down")
    assert (done.exit_code, done.stdout) == (0, "nothing is running\n")
    assert list(nowhere.iterdir()) == []


def test_a_stranger_on_the_port_is_not_taken_for_the_gateway(gateway):
    gateway.answers["/api/v1/governance/decisions"] = (200, "text/html", b"<h1>It works!</h1>")
    done = run("decisions")
    assert done.exit_code == 3
    assert "is not Maximus: set MAXIMUS_GATEWAY_PORT" in done.stderr


def test_decisions_are_shown_with_what_and_why(gateway):
    plan = {"actions": [{"kind": "set_replicas", "current": 12.0, "desired": 14.0}]}
    standing = {"standing_change": "set_replicas 12 -> 14"}
    page = [
        decision(1, plan=plan, kind="propose"),
        decision(2, count=7, model_version=""),
        decision(3, count=5, state=standing),
    ]
    gateway.answers["/api/v1/governance/decisions"] = (
        200,
        "application/json",
        {"decisions": page, "next_cursor": None},
    )
    said = run("decisions", "--target", "demo-shop").stdout
    assert "set_replicas 12 -> 14 (dry run)" in said
    assert "nothing to do x7" in said
    assert "stands: set_replicas 12 -> 14 x5" in said
    assert "the size fits" in said
    assert re.search(r"\bv3\b", said)
    assert gateway.asked[0][1]["target"] == "demo-shop"


def test_more_decisions_than_a_page_are_read_page_by_page_up_to_the_limit(gateway):
    def page(query):
        first = int(query.get("cursor", 0))
        size = int(query["limit"])
        return {"decisions": [decision(first + i) for i in range(size)], "next_cursor": str(first + size)}

    gateway.answers["/api/v1/governance/decisions"] = (200, "application/json", page)
    records = json.loads(run("decisions", "--json", "--limit", "450").stdout)
    assert len({record["id"] for record in records}) == 450
    assert [query["limit"] for _, query in gateway.asked] == ["200", "200", "50"]


def test_what_the_gateway_refuses_is_wrong_input(gateway):
    problem = {
        "title": "No such target",
        "status": 404,
        "detail": "nowhere is not watched; try host.",
        "errors": [],
    }
    gateway.answers["/api/v1/autonomic/forecasts"] = (404, "application/problem+json", problem)
    done = run("forecast", "nowhere")
    assert done.exit_code == 2
    assert done.stderr == "No such target: nowhere is not watched; try host.\n"


def test_a_name_that_no_target_can_have_is_refused_without_patterns(gateway):
    errors = [{"where": "query.target", "message": "String should match pattern '^[a-z]$'"}]
    problem = {"title": "The request cannot be understood", "detail": "", "errors": errors}
    gateway.answers["/api/v1/autonomic/forecasts"] = (422, "application/problem+json", problem)
    done = run("forecast", "../x")
    assert done.exit_code == 2
    assert "^[a-z]" not in done.stderr
    assert done.stderr.startswith("A target's name has")


def test_decisions_about_a_target_nobody_watches_are_refused_by_name(gateway):
    none = {"decisions": [], "next_cursor": None}
    gateway.answers["/api/v1/governance/decisions"] = (200, "application/json", none)
    done = run("decisions", "--target", "nowhere", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "watched are demo-shop, host" in done.stderr
    assert run("decisions", "--target", "host").stdout == "Nothing yet about host.\n"


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """Which other users may walk to, unlike the folders of a run of tests."""
    with tempfile.TemporaryDirectory(prefix="mx") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_data_folder_of_another_user_is_one_sentence(reachable_folder):
    """Asked as another user when we are root, for root may look everywhere.

    Everything is imported before, for the other user may not be able to look into our checkout either.
    """
    (reachable_folder / "run").mkdir(mode=0o700)
    (reachable_folder / "run").chmod(0 if os.geteuid() else 0o700)
    script = (
        "import importlib, os, pkgutil, sys\nimport serving.cli, serving.supervisor\n"
        "from typer.testing import CliRunner\nfrom serving.cli import app\n"
        "for room in (serving.cli, serving.supervisor):\n"
        "    for module in pkgutil.iter_modules(room.__path__, room.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
        "CliRunner().invoke(app, [sys.argv[1], '--help'])\n"
        "sys.argv = ['maximus', sys.argv[1]]\nif os.geteuid() == 0: os.setuid(65534)\napp()"
    )
    for command in ("status", "down", "up"):
        done = subprocess.run(
            [sys.executable, "-c", script, command],
            env={"MAXIMUS_DATA_DIR": str(reachable_folder), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert "belongs to another user (Permission denied)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sensor", "demand_count"), "only --ingest keeps it"),
        (("--sensor", "demand_cuont", "--ingest"), "did you mean demand_count"),
    ],
)
def test_a_sensor_nobody_would_use_is_refused_before_anything_is_learnt(nowhere, arguments, words):
    done = run("learn", "--telemetry", "any.csv", *arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_a_start_without_a_forecaster_says_so_and_why():
    said = running._without_forecaster({"First learning": "a gate did not pass: coverage 0.61."})
    assert said.startswith("There is no forecaster in use: a gate did not pass: coverage 0.61. Until")
    assert "could not load" in running._without_forecaster({})


def test_a_gateway_without_its_database_is_a_failure_not_wrong_input(gateway):
    problem = {"title": "Unavailable", "status": 503, "detail": "PostgreSQL does not answer.", "errors": []}
    gateway.answers["/api/v1/governance/decisions"] = (503, "application/problem+json", problem)
    done = run("decisions")
    assert done.exit_code == 1
    assert "PostgreSQL does not answer." in done.stderr


def test_a_forecast_is_plotted_with_its_interval_and_listed(gateway):
    gateway.answers["/api/v1/autonomic/forecasts"] = (200, "application/json", FORECASTS)
    done = run("forecast", "demo-shop", "--hours", "1")
    assert done.exit_code == 0
    assert "demo-shop: request_rate_per_second in per_second" in done.stdout
    assert "90% interval" in done.stdout
    assert "hours from now" in done.stdout
    assert re.search(r"100 +90 +110", done.stdout)
    assert "75% lay inside the interval (meant: 90%)" in done.stdout
    assert "\x1b" not in done.stdout, "colours are for terminals"


def test_a_record_reaches_an_hour_and_nobody_else_is_asked_for_it(gateway):
    gateway.answers["/api/v1/autonomic/forecasts"] = (200, "application/json", FORECASTS)
    said = json.loads(run("forecast", "demo-shop", "--ahead", "1", "--json").stdout)
    assert [row["ahead"] for row in said["horizons"]] == ["15 min", "1 h"]
    quarter, hour = (row["at"] for row in said["horizons"])
    assert (
        datetime.fromisoformat(quarter)
        <= NOW + timedelta(minutes=15)
        < datetime.fromisoformat(quarter) + timedelta(minutes=5)
    )
    assert datetime.fromisoformat(hour) - datetime.fromisoformat(quarter) == timedelta(minutes=45)
    assert [path for path, _ in gateway.asked] == ["/api/v1/autonomic/forecasts"]
    words = " ".join(run("forecast", "demo-shop", "--ahead", "1").stdout.split())
    assert "1 h from now 100 per second are expected, 48% above the last hour's mean of 67.5" in words
    assert "with a chance of 90% it will be between 90 and 110" in words


def test_a_registry_that_is_away_leaves_the_record_and_is_told(gateway, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    asking.settings.cache_clear()
    gateway.answers["/api/v1/autonomic/forecasts"] = (200, "application/json", FORECASTS)
    gateway.answers["/api/v1/autonomic/metrics"] = (200, "application/json", {"points": []})
    done = run("forecast", "demo-shop")
    assert done.exit_code == 0
    assert "The champion could not be asked: the registry at http://127.0.0.1:9" in " ".join(
        done.stdout.split()
    )
    assert "24 h" not in done.stdout
    assert "Forecaster version 3" in done.stdout


def test_a_sensor_the_gateway_does_not_know_is_wrong_input(gateway):
    problem = {
        "title": "Wrong input", "status": 422, "detail": "A value was refused.",
        "errors": [{"where": "query.sensor", "message": "'speed' is not in the sensor catalogue"}],
    }  # fmt: skip
    gateway.answers["/api/v1/autonomic/forecasts"] = (200, "application/json", FORECASTS)
    gateway.answers["/api/v1/autonomic/metrics"] = (422, "application/problem+json", problem)
    done = run("forecast", "demo-shop", "--sensor", "speed")
    assert done.exit_code == 2
    assert "'speed' is not in the sensor catalogue" in done.stderr


def test_a_target_without_a_forecast_says_why(gateway):
    target = {"target": "host", "forecast": "cold", "forecast_reason": "", "bins": 40}
    gateway.answers["/api/v1/autonomic/forecasts"] = (
        200,
        "application/json",
        {**FORECASTS, "target": "host", "latest": None},
    )
    # 503, for the loop is not alive: it is an answer all the same.
    health = {"status": "stale", "summary": "", "targets": [target]}
    gateway.answers["/api/v1/autonomic/health"] = (503, "application/json", health)
    said = " ".join(run("forecast", "host", "--ahead", "1").stdout.split())
    assert "There is no forecast yet: cold (40 five-minute bins seen so far). It comes by itself" in said


def test_a_limit_out_of_range_is_wrong_use():
    assert run("decisions", "--limit", "0").exit_code == 2


def test_an_unknown_setting_is_refused_before_anything_is_asked(monkeypatch):
    monkeypatch.setenv("MAXIMUS_GATEWAY_PROT", "1")
    asking.settings.cache_clear()
    done = run("status")
    assert done.exit_code == 2
    assert "did you mean MAXIMUS_GATEWAY_PORT?" in done.stderr
