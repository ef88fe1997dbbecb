"""Logs without secrets, instruments that can be imported twice."""

import importlib
import json
import logging
import re
import subprocess
import sys

import pytest
import structlog
from prometheus_client import REGISTRY, Counter

from serving import observability
from serving.observability import configure_logging, instruments, redact, show_champion


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://maximus_app:hunter2@db:5432/maximus",
        "redis://:hunter2@localhost:6379/0",
        "connection to host=db user=me password=hunter2 failed",
        "postgresql://me@db/x?password=hunter2&sslmode=require",
        "Authorization: Bearer hunter2hunter2",
    ],
)
def test_a_secret_in_a_text_is_removed(text):
    cleaned = redact(text)
    assert "hunter2" not in cleaned
    assert "***" in cleaned


def test_a_url_without_a_password_is_left_as_it_is():
    url = "postgresql://maximus_app@/maximus?host=%2Fdata%2Fsock&passfile=%2Frun%2Fpgpass"
    assert redact(url) == url


@pytest.fixture(autouse=True)
def logging_as_before():
    root = logging.getLogger()
    before, level = root.handlers, root.level
    yield
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def fail() -> None:
    password = "hunter2"
    raise ValueError(f"no route to postgresql://a:{password}@h/b")


def test_json_logs_are_one_object_a_line_and_clean(capsys):
    configure_logging("INFO", "json")
    structlog.get_logger("maximus.test").info(
        "connected", url="redis://:hunter2@h/0", detail={"api_key": "hunter2", "tries": [1]}
    )
    logging.getLogger("other.library").warning("cannot reach %s", "postgresql://a:hunter2@h/b")
    written = capsys.readouterr().err
    lines = [json.loads(line) for line in written.splitlines()]
    assert "hunter2" not in written
    assert [line["event"] for line in lines] == ["connected", "cannot reach postgresql://a:***@h/b"]
    assert lines[0]["detail"] == {"api_key": "***", "tries": [1]}
    assert lines[0]["level"] == "info"


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_is_logged_without_the_secret_in_its_message(capsys, form):
    configure_logging("INFO", form)
    try:
        fail()
    except ValueError:
        structlog.get_logger().exception("failed")
    written = capsys.readouterr().err
    assert "no route" in written
    assert "hunter2" not in written


def test_less_severe_lines_are_not_written(capsys):
    configure_logging("WARNING", "json")
    structlog.get_logger("maximus.test").info("quiet")
    assert capsys.readouterr().err == ""


def test_importing_twice_gives_the_same_instruments():
    before = observability.LOOP_DECISIONS_TOTAL
    again = importlib.reload(observability)
    assert again.LOOP_DECISIONS_TOTAL is before


def test_a_name_taken_by_another_kind_of_instrument_is_refused():
    with pytest.raises(TypeError, match="maximus_loop_cycle_seconds"):
        observability._instrument(Counter, "maximus_loop_cycle_seconds", "x")


# Prometheus, "Metric and label naming" and "Instrumentation": base units, the unit last, counters end in _total.
NO_BASE_UNIT = "(ms|millis|milliseconds|micros|microseconds|minutes|hours|days|percent|kb|kib|mb|mib|kilobytes|megabytes)"


@pytest.mark.parametrize("instrument", instruments(), ids=lambda instrument: instrument.name)
def test_every_instrument_follows_the_conventions_of_prometheus(instrument):
    name = instrument.name
    assert re.fullmatch(r"maximus(_[a-z0-9]+){2,}", name), "maximus_<room>_<thing>_<unit>"
    assert not re.search(rf"_{NO_BASE_UNIT}(_|$)", name), "base units only"
    assert (instrument.kind == "counter") == name.endswith("_total")
    assert not name.endswith(("_count", "_sum", "_bucket", "_created", "_gauge", "_number")), (
        "a suffix with a meaning"
    )
    if instrument.kind == "histogram":
        assert name.endswith(("_seconds", "_bytes")), "a histogram is of something with a unit"
    if name.endswith("_info"):
        assert instrument.labels, "an info is its labels"
    assert re.fullmatch(r"[A-Z0-9].*\.", instrument.description), "the help is a sentence"
    for label in instrument.labels:
        assert re.fullmatch(r"[a-z][a-z_]*", label)
        assert label not in {"le", "quantile", "job", "instance"}, "Prometheus' own"


def test_instruments_of_the_registry_are_all_told():
    registered = {name for name in REGISTRY._names_to_collectors if name.startswith("maximus_")}
    told = {instrument.name for instrument in instruments()}
    assert len(told) > 20
    assert told <= registered


def test_only_the_champion_in_use_is_shown():
    show_champion("maximus-test", "1")
    show_champion("maximus-test", "2")
    values = {
        sample.labels["version"]: sample.value
        for family in observability.PREDICTORS_CHAMPION.collect()
        for sample in family.samples
        if sample.labels["model"] == "maximus-test"
    }
    assert values == {"1": 0.0, "2": 1.0}


def test_several_workers_count_together(tmp_path):
    count = (
        "import serving.observability as o; o.LOOP_DECISIONS_TOTAL.labels('noop').inc(2);"
        "o.GATEWAY_STREAMS.inc(); o.show_champion('m', '1'); o.show_champion('m', '2')"
    )
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    for _ in range(2):
        subprocess.run([sys.executable, "-W", "error", "-c", count], env=environment, check=True)
    read = (
        "from prometheus_client import CollectorRegistry, generate_latest;"
        "from prometheus_client.multiprocess import MultiProcessCollector as M;"
        "r = CollectorRegistry(); M(r); print(generate_latest(r).decode())"
    )
    text = subprocess.run(
        [sys.executable, "-c", read], env=environment, check=True, capture_output=True, text=True
    ).stdout
    assert 'maximus_loop_decisions_total{kind="noop"} 4.0' in text
