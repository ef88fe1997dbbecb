"""Series with nothing to judge are passed over and counted: constant, zero, three points, absent, gone and back."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry import quality
from maximus_assets.telemetry.frames import empty, from_samples
from maximus_assets.telemetry.profile import PROFILE_SCHEMA, days_of_series, profile, runs
from maximus_assets.telemetry.quality_change import distribution_holds, units_hold
from maximus_assets.telemetry.quality_frozen import moves
from maximus_assets.telemetry.quality_loss import nothing_is_lost, over_days

START = datetime(2026, 3, 2, tzinfo=UTC)
SENSOR = "request_rate_per_second"
DEMAND = [Series(target="web", sensor=SENSOR)]


def day(number: int, value, count: int = 1440, sensor: str = SENSOR) -> pl.DataFrame:
    """A day of samples a minute apart; `value` is a number or a function of the minute."""
    at = START + timedelta(days=number)
    return from_samples(
        Sample(
            "web", sensor, at + timedelta(minutes=minute), float(value(minute) if callable(value) else value)
        )
        for minute in range(count)
    )


def busy(minute: int) -> float:
    return 50.0 + 30.0 * abs((minute % 1440) - 720) / 720 + minute % 7


def judged(frame: pl.DataFrame, before: list[pl.DataFrame]) -> list[Verdict]:
    today = profile(frame)
    return [moves(frame, before), units_hold(today, before, DEMAND), distribution_holds(today, before)]


@pytest.mark.parametrize("value", [0.0, 12.0])
def test_a_series_that_never_moved_passes_every_day(value: float) -> None:
    before = [profile(day(number, value)) for number in range(8)]

    verdicts = judged(day(8, value), before)

    assert all(verdict.passed for verdict in verdicts)
    assert verdicts[2].measured["judged_count"] == 0, "a constant has no distribution"


def test_a_constant_that_is_set_to_another_value_passes() -> None:
    before = [profile(day(number, 12.0)) for number in range(8)]

    assert all(verdict.passed for verdict in judged(day(8, 14.0), before))


def test_a_moving_series_that_falls_to_zero_is_told_by_its_distribution_and_not_called_frozen() -> None:
    before = [profile(day(number, busy)) for number in range(8)]

    frozen, units, distribution = judged(day(8, 0.0), before)

    assert (frozen.passed, units.passed, distribution.passed) == (True, True, False)


def test_three_points_are_incomplete_and_otherwise_not_judged() -> None:
    before = [profile(day(number, busy)) for number in range(8)]
    points = day(8, busy, count=3)

    verdicts = judged(points, before)
    start = START + timedelta(days=8)
    complete = quality.completeness(
        points, step_seconds=60, start=start, end=start + timedelta(days=1), expected=DEMAND
    )

    assert all(verdict.passed for verdict in verdicts)
    assert [verdicts[1].measured["judged_count"], verdicts[2].measured["judged_count"]] == [0, 0]
    assert not complete.passed


def test_a_day_without_any_row_is_incomplete_and_otherwise_not_judged() -> None:
    before = [profile(day(number, busy)) for number in range(8)]

    assert all(verdict.passed for verdict in judged(empty(), before))
    assert profile(empty()).schema == PROFILE_SCHEMA
    assert runs(empty()).is_empty()
    assert not quality.completeness(empty(), expected=DEMAND).passed


def test_a_target_that_comes_back_after_days_of_absence_is_judged_by_the_days_it_was_seen() -> None:
    before = [profile(day(number, busy) if number not in {5, 6, 7} else empty()) for number in range(11)]

    verdicts = judged(day(11, busy), before)

    assert all(verdict.passed for verdict in verdicts)
    assert verdicts[1].measured["judged_count"] == verdicts[2].measured["judged_count"] == 1


def test_a_limit_that_stands_for_days_is_not_frozen_when_it_changes_once() -> None:
    before = [profile(day(number, 4.0, sensor="cpu_limit_cores")) for number in range(3)]

    assert moves(day(3, lambda minute: 4.0 if minute < 700 else 8.0, sensor="cpu_limit_cores"), before).passed


def test_runs_are_cut_where_the_series_or_the_value_changes() -> None:
    frame = pl.concat(
        [day(0, lambda minute: minute // 30, count=60), day(0, 1.0, count=10, sensor="cpu_used_cores")]
    )

    found = runs(frame).select("sensor", "value", "count", "seconds").rows()

    assert found == [(SENSOR, 0.0, 30, 1740.0), (SENSOR, 1.0, 30, 1740.0), ("cpu_used_cores", 1.0, 10, 540.0)]


def test_an_hour_that_was_not_seen_stays_unknown() -> None:
    frame = day(0, busy).filter(pl.col("observed_at").dt.hour() != 5)

    values = days_of_series([profile(frame)])["web", SENSOR]

    assert values.shape == (1, 24, 3)
    assert [hour for hour in range(24) if values[0, hour, 1] != values[0, hour, 1]] == [5]


def test_rows_of_a_target_no_longer_watched_may_go_and_those_of_a_watched_one_may_not() -> None:
    stored, found = day(0, busy), day(0, busy, count=100)

    lost = nothing_is_lost(stored, found, {"web"})

    assert nothing_is_lost(stored, found, {"other"}).passed
    assert nothing_is_lost(found, stored, {"web"}).passed, "a day may grow"
    assert lost.reasons == ("web/request_rate_per_second has 100 rows where 1440 are stored",)
    assert lost.measured["lost_rows_count"] == 1340


def test_several_days_are_one_verdict_that_names_the_days_that_failed() -> None:
    def verdict(number: int, *, passed: bool) -> Verdict:
        return Verdict(
            name="x_holds",
            passed=passed,
            reasons=() if passed else (f"fault {number}",),
            measured={
                "rows_count": 10,
                "series_count": 3,
                "minimum_ratio_found": number / 10,
                "oldest_seconds": number,
            },
        )

    whole = over_days({date(2026, 3, number): verdict(number, passed=number != 2) for number in (1, 2, 3)})

    assert (whole.passed, whole.reasons) == (False, ("2026-03-02: fault 2",))
    assert whole.measured == {
        "days_count": 3,
        "failed_days_count": 1,
        "rows_count": 30,
        "series_count": 3,
        "minimum_ratio_found": 0.1,
        "oldest_seconds": 3,
    }
