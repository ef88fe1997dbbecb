"""What every source of telemetry must do, over every one there is. A new source is done when it passes."""

import inspect
import math
from datetime import timedelta

import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.prometheus.feeds import feeds
from serving.monitor.host import HostSource
from serving.monitor.prometheus import PrometheusSource
from serving.monitor.simulated import SimulatedSource
from serving.monitor.source import Source

pytestmark = pytest.mark.anyio


def host(clock, folder):
    return HostSource("host", clock=clock, data_dir=folder)


def simulated(clock, folder):
    return SimulatedSource(
        [
            Target(
                name=name,
                source="simulated",
                demand_sensor="request_rate_per_second",
                sizing=ReplicaSizing(),
                seed=seed,
            )
            for seed, name in enumerate(("one", "two"))
        ]
    )


def scraped(clock, prometheus):
    section = PrometheusSection(
        name="shop",
        url=prometheus.url,
        targets={name: {"instance": name} for name in "abc"},
        sensors=tuple(
            PromQLSensor(sensor=sensor, query=query, metric=metric, unit=unit)
            for sensor, query, metric, unit in (
                ("request_queue_count", "shop_queue{$selector}", "shop_queue", "count"),
                (
                    "request_rate_per_second",
                    "sum by ($by) (rate(shop_requests_total{$selector}[$window]))",
                    "shop_requests_total",
                    "per_second",
                ),
                ("request_p95_ms", "shop_strange{$selector}", "shop_strange", "seconds"),
            )
        ),
    )
    return PrometheusSource(section, feeds([section])["shop"], clock=clock)


@pytest.fixture(
    params=[host, simulated, pytest.param(scraped, marks=pytest.mark.prometheus)],
    ids=lambda make: make.__name__,
)
def source(request, clock, tmp_path):
    if request.param is not scraped:
        yield request.param(clock, tmp_path)
        return
    source = scraped(clock, request.getfixturevalue("prometheus"))
    yield source
    source.close()


def test_it_has_every_part_of_the_protocol(source):
    for name in ("collect", "history"):
        expected = list(inspect.signature(getattr(Source, name)).parameters)[1:]
        assert list(inspect.signature(getattr(source, name)).parameters) == expected
        assert inspect.iscoroutinefunction(getattr(source, name))
    assert source.name


def test_it_declares_only_sensors_of_the_catalogue(source):
    assert source.sensors
    for sensors in source.sensors.values():
        assert sensors
        assert set(sensors) <= set(CATALOGUE)
        assert len(set(sensors)) == len(sensors)


async def test_it_reads_only_what_it_declares_with_believable_values(source, clock):
    await source.collect(clock.now())
    clock.advance(15)
    samples = await source.collect(clock.now())
    assert samples
    for sample in samples:
        assert isinstance(sample, Sample)
        assert sample.sensor in source.sensors[sample.target]
        assert math.isfinite(sample.value)
        assert CATALOGUE[sample.sensor].is_plausible(sample.value)
        assert sample.observed_at.tzinfo is not None
    assert len({sample[:2] for sample in samples}) == len(samples)


async def test_no_value_comes_from_the_future_and_none_is_stale_when_it_was_just_read(source, clock):
    for sample in await source.collect(clock.now()):
        age = (clock.now() - sample.observed_at).total_seconds()
        assert 0 <= age <= CATALOGUE[sample.sensor].staleness_limit_seconds


async def test_its_past_is_ordered_and_within_what_was_asked_for(source, clock):
    start, end = clock.now() - timedelta(hours=2), clock.now()
    for target, sensors in source.sensors.items():
        past = await source.history(Series(target=target, sensor=sensors[0]), start, end)
        if past is None:
            continue
        assert len(past.seconds) == len(past.values) > 0
        assert (past.seconds[1:] > past.seconds[:-1]).all()
        assert past.seconds[0] >= start.timestamp()
        assert past.seconds[-1] < end.timestamp()


async def test_it_knows_no_past_of_what_is_not_its_own(source, clock):
    series = Series(target="somebody-else", sensor="cpu_used_cores")
    assert await source.history(series, clock.now() - timedelta(hours=1), clock.now()) is None


async def test_its_past_agrees_with_what_it_read(source, clock):
    read = {sample[:3]: sample.value for sample in await source.collect(clock.now())}
    clock.advance(60)
    for (target, sensor, at), value in read.items():
        past = await source.history(Series(target=target, sensor=sensor), at, at + timedelta(seconds=1))
        if past is not None:
            assert past.values.tolist() == [value]
