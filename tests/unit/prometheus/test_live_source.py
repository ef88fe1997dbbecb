"""The live source against a server that is down, slow or lying: it costs its own targets their freshness, nothing else."""

import json
from urllib.parse import unquote_plus

import pytest
from structlog.testing import capture_logs

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.prometheus import PromQLSensor
from maximus_assets.contracts.telemetry import Series
from maximus_assets.prometheus.errors import NotPrometheusError, ServerUnavailableError
from maximus_assets.prometheus.feeds import feeds
from serving.monitor import prometheus
from serving.monitor.prometheus import PrometheusSource
from serving.monitor.simulated import SimulatedSource
from serving.monitor.source import Collector

pytestmark = pytest.mark.anyio

QUEUE = PromQLSensor(sensor="request_queue_count", query="q{$selector}", metric="q", unit="count")
RESTARTS = PromQLSensor(
    sensor="replica_restarts_per_second", query="s{$selector}", metric="s", unit="per_second"
)
READY = PromQLSensor(sensor="ready_replicas_count", query="r{$selector}", metric="r", unit="count")


@pytest.fixture
async def source_of(section_of):
    sources = []

    def make(url, *sensors, clock=None):
        section = section_of(url, sensors=sensors or (QUEUE, READY))
        source = PrometheusSource(section, feeds([section])["shop"], clock=clock or SystemClock())
        sources.append(source)
        return source

    yield make
    for source in sources:
        await source.aclose()


def vector(at, *series):
    result = [
        {"metric": {"instance": instance, "maximus_part": part, **more}, "value": [at, value]}
        for instance, part, value, more in series
    ]
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()


async def test_one_query_a_sensor_reads_every_target(server, source_of, clock):
    at = clock.now().timestamp()
    answer = [
        (f"{name}:1", part, value, {})
        for name in "ab"
        for part, value in (("value", "4"), ("at", str(at - 9)))
    ]
    server.says(vector(at, *answer))
    source = source_of(server.url)
    samples = await source.collect(clock.now())
    assert len(server.asked) == 2
    assert {sample[:2] for sample in samples} == {
        (target, sensor) for target in "ab" for sensor in ("request_queue_count", "ready_replicas_count")
    }
    assert {sample.observed_at.timestamp() for sample in samples} == {at - 9}
    assert all(float(form["time"][0]) == at for _, form, _ in server.asked)


async def test_a_server_that_is_down_or_no_prometheus_is_one_failed_source_and_no_more(
    server, source_of, clock
):
    server.says(b"<html>", kind="text/html")
    lying = source_of(server.url)
    with pytest.raises(NotPrometheusError):
        await lying.collect(clock.now())
    down = source_of("http://127.0.0.1:9")
    with pytest.raises(ServerUnavailableError):
        await down.collect(clock.now())
    collected = await Collector([down, SimulatedSource([])]).collect(clock.now())
    assert list(collected.failures) == ["prometheus:shop"]


async def test_a_server_that_never_answers_gives_up_before_the_collector_does(
    server, source_of, clock, monkeypatch
):
    assert prometheus.LIVE_LIMITS.timeout_seconds < Collector([]).timeout_seconds
    server.answer = lambda handler: server.released.wait(20)
    sensors = ("load_1m", "request_queue_count", "ready_replicas_count", "swap_used_ratio", "disk_used_ratio")
    units = {"load_1m": "load", "swap_used_ratio": "ratio", "disk_used_ratio": "ratio"}
    many = [
        PromQLSensor(sensor=name, query="q{$selector}", metric="q", unit=units.get(name, "count"))
        for name in sensors
    ]
    monkeypatch.setattr(prometheus, "_THREADS", 2)
    source = source_of(server.url, *many)
    collector = Collector([source])
    collected = await collector.collect(clock.now())
    assert collected.samples == []
    assert list(collector.failures) == [("prometheus:shop", "ServerUnavailableError")]  # by itself, in time


async def test_a_query_that_fails_costs_its_own_sensor_and_is_told_once(server, source_of, clock):
    at = clock.now().timestamp()
    fine = vector(at, ("a:1", "value", "4", {}), ("a:1", "at", str(at), {}))

    def answer(handler):
        _, form, _ = server.asked[-1]
        is_bad = "r{" in unquote_plus(form["query"][0])
        server.says(
            b'{"status":"error","errorType":"bad_data","error":"no"}' if is_bad else fine,
            status=400 if is_bad else 200,
        )
        says, server.answer = server.answer, answer
        says(handler)

    server.answer = answer
    source = source_of(server.url, QUEUE)
    assert [sample.sensor for sample in await source.collect(clock.now())] == ["request_queue_count"]
    bad = source_of(server.url, READY)
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(Exception, match="refuses the query"):
                await bad.collect(clock.now())
    assert [log["event"] for log in logs] == ["prometheus_query_failed"]


async def test_labels_that_are_not_unique_are_told_with_both_label_sets(server, source_of, clock):
    at = clock.now().timestamp()
    server.says(
        vector(
            at,
            ("a:1", "value", "4", {"zone": "x"}),
            ("a:1", "value", "5", {"zone": "y"}),
            ("a:1", "at", str(at), {}),
            ("b:1", "value", "6", {}),
            ("b:1", "at", str(at), {}),
        )
    )
    with capture_logs() as logs:
        samples = await source_of(server.url, QUEUE).collect(clock.now())
    assert [(sample.target, sample.value) for sample in samples] == [("b", 6.0)]
    assert 'zone="x"' in logs[0]["reason"]
    assert 'zone="y"' in logs[0]["reason"]


async def test_what_it_does_not_ask_for_has_no_past(server, source_of, clock):
    source = source_of(server.url)
    assert await source.history(Series(target="a", sensor="load_1m"), clock.now(), clock.now()) is None
    assert server.asked == []


async def test_what_found_no_time_comes_first_in_the_next_round_but_for_what_must_fail_safe(
    server, source_of, clock
):
    source = source_of(server.url, QUEUE, RESTARTS, READY)
    assert min(source._feeds, key=source._urgency).sensor.sensor == "ready_replicas_count"
    source._answered = {
        "request_queue_count": 20.0,
        "replica_restarts_per_second": 5.0,
        "ready_replicas_count": 20.0,
    }
    assert [feed.sensor.sensor for feed in sorted(source._feeds, key=source._urgency)] == [
        "ready_replicas_count",
        "replica_restarts_per_second",
        "request_queue_count",
    ]
