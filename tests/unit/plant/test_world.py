"""The simulated service shows a plausible week, and the same one to everybody who asks."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from maximus_assets.contracts.catalogue import CATALOGUE, SERVICE_SENSORS
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.target import CoreSizing, ReplicaSizing, Target
from maximus_assets.plant.world import Plant
from maximus_assets.telemetry.frames import SCHEMA, validate

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEKS = timedelta(weeks=4)
SEEDS = [0, 7, 123_456_789_012_345]


@pytest.fixture(scope="module", params=SEEDS)
def plant(request) -> Plant:
    return Plant(request.param)


@pytest.fixture(scope="module")
def month(plant) -> pl.DataFrame:
    return plant.samples("shop", MONDAY, MONDAY + WEEKS, 15)


@pytest.fixture(scope="module")
def rates(plant, month) -> pl.DataFrame:
    """Five-minute means of the request rate, without the times of incidents."""
    rates = month.filter(pl.col("sensor") == "request_rate_per_second")
    for incident in plant.incidents(MONDAY, MONDAY + WEEKS):
        rates = rates.filter(~pl.col("observed_at").is_between(incident.precursor_at, incident.ends_at))
    return rates.group_by_dynamic("observed_at", every="5m").agg(pl.col("value").mean())


def test_four_weeks_are_a_telemetry_frame_with_every_sensor_at_every_step(month):
    assert validate(month, "plant").schema == SCHEMA
    counts = month.group_by("sensor").len()
    assert set(counts["sensor"]) == set(SERVICE_SENSORS)
    assert counts["len"].unique().to_list() == [28 * 86_400 // 15]
    assert month["target"].unique().to_list() == ["shop"]


@pytest.mark.parametrize("sensor", SERVICE_SENSORS)
def test_every_value_is_within_its_sensors_valid_range(month, sensor):
    values = month.filter(pl.col("sensor") == sensor)["value"]
    known = CATALOGUE[sensor]
    assert known.minimum <= values.min() <= values.max() <= known.maximum


def test_a_working_day_needs_most_replicas_at_its_peak_and_few_at_night(rates):
    working = rates.filter(pl.col("observed_at").dt.weekday() <= 5)
    by_day = working.group_by(pl.col("observed_at").dt.date()).agg(
        peak=pl.col("value").quantile(0.98), trough=pl.col("value").quantile(0.02)
    )
    # One replica serves 20 requests/s; a queue that keeps its promise is busy for about 85 % of the time.
    needed = by_day.select(pl.col("peak") / 17.0, pl.col("trough") / 17.0).median()
    assert 7.5 <= needed["peak"][0] <= 10.0
    assert 1.0 <= needed["trough"][0] <= 2.5


def test_weekends_are_quieter(rates):
    is_weekend = pl.col("observed_at").dt.weekday() >= 6
    weekend, working = rates.filter(is_weekend)["value"].mean(), rates.filter(~is_weekend)["value"].mean()
    assert 0.55 < weekend / working < 0.85


def test_load_has_no_trend(rates):
    halves = (
        rates.with_columns(is_late=pl.col("observed_at") >= MONDAY + WEEKS / 2)
        .group_by("is_late")
        .agg(pl.col("value").mean())
    )
    first, second = halves.sort("is_late")["value"]
    assert second / first == pytest.approx(1.0, abs=0.06)


def test_yesterday_tells_about_today_but_not_everything(rates):
    working = rates.filter(pl.col("observed_at").dt.weekday().is_in([2, 3, 4]))
    pairs = working.join(working.with_columns(pl.col("observed_at") + pl.duration(days=1)), on="observed_at")
    error = (pairs["value"] - pairs["value_right"]).abs().mean() / pairs["value"].mean()
    assert 0.01 < error < 0.12


def test_noise_of_one_step_says_nothing_about_the_next(plant, month):
    quiet = plant.incidents(MONDAY, MONDAY + WEEKS)[0].ends_at
    calm = month.filter(
        (pl.col("sensor") == "request_rate_per_second")
        & pl.col("observed_at").is_between(quiet, quiet + timedelta(hours=6))
    )
    jumps = np.diff(calm["value"].to_numpy())
    # Independent noise makes neighbouring differences correlate by -1/2.
    assert np.corrcoef(jumps[:-1], jumps[1:])[0, 1] == pytest.approx(-0.5, abs=0.08)


def test_two_seeds_are_two_worlds():
    one, two = (Plant(seed).samples("shop", MONDAY, MONDAY + timedelta(hours=1), 15) for seed in (1, 2))
    assert not one.equals(two)


def test_a_reading_is_the_sample_of_the_step_it_falls_into():
    plant = Plant(7)
    at = MONDAY + timedelta(hours=9, seconds=22, microseconds=5)
    step = MONDAY + timedelta(hours=9, seconds=15)
    rows = plant.samples("shop", step, step + timedelta(seconds=15), 15).rows()
    assert [tuple(sample) for sample in plant.readings("shop", at)] == rows
    assert [row[1] for row in rows] == list(SERVICE_SENSORS)


def test_steps_are_counted_from_the_epoch_whatever_the_start():
    frame = Plant(7).samples("shop", MONDAY + timedelta(seconds=1), MONDAY + timedelta(seconds=31), 15)
    assert frame["observed_at"].unique(maintain_order=True).to_list() == [
        MONDAY + timedelta(seconds=15),
        MONDAY + timedelta(seconds=30),
    ]


def test_nothing_is_shown_of_a_span_that_ends_before_it_starts():
    frame = Plant(7).samples("shop", MONDAY, MONDAY - timedelta(hours=1), 15)
    assert (frame.height, frame.schema) == (0, SCHEMA)


def test_a_fast_service_carries_more_load_at_the_same_utilization():
    slow, fast = (
        dict(
            Plant(7, service_time_ms=ms)
            .samples("s", MONDAY, MONDAY + timedelta(days=1), 300)
            .group_by("sensor")
            .agg(pl.col("value").mean())
            .iter_rows()
        )
        for ms in (50.0, 5.0)
    )
    assert fast["request_rate_per_second"] == pytest.approx(10 * slow["request_rate_per_second"], rel=0.02)
    assert fast["replica_cpu_used_ratio"] == pytest.approx(slow["replica_cpu_used_ratio"], rel=0.02)
    assert fast["request_p95_ms"] < slow["request_p95_ms"] / 5


def test_the_world_of_a_target_has_its_seed_and_its_service_time():
    target = Target(
        name="shop",
        source="simulated",
        demand_sensor="request_rate_per_second",
        seed=3,
        sizing=ReplicaSizing(service_time_ms=20.0),
    )
    hour = (MONDAY, MONDAY + timedelta(hours=1), 15)
    assert Plant.of(target).samples("x", *hour).equals(Plant(3, service_time_ms=20.0).samples("x", *hour))
    cores = target.model_copy(update={"sizing": CoreSizing()})
    assert Plant.of(cores).samples("x", *hour).equals(Plant(3).samples("x", *hour))


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"replicas": 0}, {"service_time_ms": 0.0}, {"service_time_ms": float("nan")}]
)
def test_an_impossible_world_is_refused(wrong):
    with pytest.raises(BadInputError, match="service_time_ms"):
        Plant(**{"seed": 7, **wrong})


def test_instants_without_a_zone_and_steps_below_a_second_are_refused():
    plant, naive = Plant(7), MONDAY.replace(tzinfo=None)
    with pytest.raises(BadInputError, match="column start: the instant has no zone"):
        plant.samples("shop", naive, MONDAY, 15)
    with pytest.raises(BadInputError, match="column end"):
        plant.incidents(MONDAY, naive)
    with pytest.raises(BadInputError, match="column at"):
        plant.readings("shop", naive)
    with pytest.raises(BadInputError, match="step_seconds: a step of 0 s"):
        plant.samples("shop", MONDAY, MONDAY, 0)
