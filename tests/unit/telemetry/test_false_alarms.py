"""How often the checks of frozen, unit and distribution cry wolf on ordinary weeks, and what they find when something is wrong.

Ordinary is four weeks of the simulated shop with its weekly season and twelve incidents. Each corruption is seeded into the
last of these days.
"""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.telemetry import Series
from maximus_assets.plant.world import Plant
from maximus_assets.telemetry.frames import by_series
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.quality_change import UNIT_FACTORS, distribution_holds, units_hold
from maximus_assets.telemetry.quality_frozen import frozen_runs, moves

START = datetime(2026, 2, 2, tzinfo=UTC)
RATE = "request_rate_per_second"
DEMAND = [Series(target="shop", sensor=RATE)]
MOVING = (RATE, "request_p95_ms", "replica_cpu_used_ratio", "database_connections_used_ratio")


def day_of(seed: int, day: int) -> pl.DataFrame:
    at = START + timedelta(days=day)
    return by_series(Plant(seed).samples("shop", at, at + timedelta(days=1), 15))


@pytest.fixture(scope="module", params=[7, 3])
def weeks(request: pytest.FixtureRequest) -> list[pl.DataFrame]:
    return [day_of(request.param, day) for day in range(28)]


@pytest.fixture(scope="module")
def profiles(weeks: list[pl.DataFrame]) -> list[pl.DataFrame]:
    return [profile(frame) for frame in weeks]


def corrupt(
    frame: pl.DataFrame, sensor: str, value: pl.Expr, hours: tuple[int, int] = (0, 24)
) -> pl.DataFrame:
    hit = (pl.col("sensor") == sensor) & pl.col("observed_at").dt.hour().is_between(*hours, closed="left")
    return frame.with_columns(pl.when(hit).then(value).otherwise("value").alias("value"))


def test_four_ordinary_weeks_raise_no_alarm_of_frozen_or_unit_and_hardly_one_of_distribution(
    weeks, profiles
) -> None:
    alarms = {"frozen": 0, "unit": 0, "distribution": 0}
    judged = 0
    for day, (frame, today) in enumerate(zip(weeks, profiles, strict=True)):
        before = profiles[max(0, day - 14) : day]
        alarms["frozen"] += moves(frame, before).measured["frozen_count"]
        alarms["unit"] += units_hold(today, before, DEMAND).measured["changed_count"]
        found = distribution_holds(today, before).measured
        alarms["distribution"] += found["changed_count"]
        judged += found["judged_count"]

    assert (alarms["frozen"], alarms["unit"]) == (0, 0)
    assert judged == 21 * 7
    assert alarms["distribution"] <= 0.01 * judged + 1


@pytest.mark.parametrize("sensor", MOVING)
def test_a_sensor_frozen_for_an_hour_is_found_with_and_without_days_before_it(
    weeks, profiles, sensor
) -> None:
    last = weeks[-1].filter(pl.col("sensor") == sensor)["value"].item(2400)
    frozen = corrupt(weeks[-1], sensor, pl.lit(last), (10, 11))

    for before in (profiles[:-1][-14:], []):
        (found,) = frozen_runs(frozen, before).iter_rows(named=True)
        assert (found["sensor"], found["start"].hour) == (sensor, 10)
        assert 3500 < found["seconds"] < 3700
    verdict = moves(frozen, profiles[:-1])
    assert f"shop/{sensor} repeated" in verdict.reasons[0]


def test_a_sensor_frozen_for_the_whole_day_is_found_by_the_days_before_it(weeks, profiles) -> None:
    frozen = corrupt(weeks[-1], RATE, pl.lit(42.0))

    assert not moves(frozen, profiles[:-1]).passed
    assert moves(frozen, []).passed, "on its first day nobody can tell a constant from a frozen sensor"


@pytest.mark.parametrize("factor", [f for size in UNIT_FACTORS for f in (size, 1 / size)])
def test_demand_in_another_unit_is_found_and_the_factor_named(weeks, profiles, factor: float) -> None:
    today = profile(corrupt(weeks[-1], RATE, pl.col("value") * factor))

    verdict = units_hold(today, profiles[:-1], DEMAND)

    assert not verdict.passed
    size = max(factor, 1 / factor)
    named = {f"near {size:g}:", f"near 1/{size:g}:"}
    # A weekend is a third below the days before: of two factors that close, either may be named.
    named |= {"near 1000:", "near 1024:", "near 1/1000:", "near 1/1024:"} if 900 < size < 1100 else set()
    named |= {"near 60:", "near 100:", "near 1/60:", "near 1/100:"} if 50 < size < 110 else set()
    assert any(name in verdict.reasons[0] for name in named), verdict.reasons


def test_a_unit_that_changes_late_in_the_day_is_found_the_day_after(weeks, profiles) -> None:
    late = profile(corrupt(weeks[-2], RATE, pl.col("value") * 1000, (21, 24)))
    after = profile(corrupt(weeks[-1], RATE, pl.col("value") * 1000))

    assert units_hold(late, profiles[:-2], DEMAND).passed
    assert not units_hold(after, [*profiles[:-2], late], DEMAND).passed


def test_a_change_of_unit_that_was_accepted_is_not_told_again(weeks, profiles) -> None:
    accepted = profile(corrupt(weeks[-2], RATE, pl.col("value") * 60))
    after = profile(corrupt(weeks[-1], RATE, pl.col("value") * 60))

    assert units_hold(after, [*profiles[:-2], accepted], DEMAND).passed


@pytest.mark.parametrize("change", [pl.col("value") * 1.3, pl.col("value") * 3, pl.col("value") * 60])
def test_growth_and_a_burst_are_no_change_of_unit(weeks, profiles, change) -> None:
    burst = profile(corrupt(weeks[-1], RATE, change, (19, 22)))
    grown = profile(corrupt(weeks[-1], RATE, pl.col("value") * 3))

    assert units_hold(burst, profiles[:-1], DEMAND).passed
    assert units_hold(grown, profiles[:-1], DEMAND).passed


@pytest.mark.parametrize("sensor", MOVING)
def test_a_distribution_that_moved_is_found(weeks, profiles, sensor) -> None:
    for change in (pl.col("value") * 2.5, pl.col("value").first(), pl.lit(0.0)):
        today = profile(corrupt(weeks[-1], sensor, change))

        verdict = distribution_holds(today, profiles[:-1])

        assert any(f"shop/{sensor} is distributed unlike" in reason for reason in verdict.reasons)


def test_half_a_day_is_compared_with_the_same_hours_and_not_with_whole_days(weeks, profiles) -> None:
    morning = profile(weeks[-1].filter(pl.col("observed_at").dt.hour() < 13))

    assert distribution_holds(morning, profiles[:-1]).measured["judged_count"] == 7
    assert distribution_holds(morning, profiles[:-1]).passed
