"""Which questions are asked of which telemetry, and how a failure that may be genuine is got past."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.target import DEFAULT_TARGETS
from maximus_assets.defs.judging import asked_for_units, judge, refuse_bad_telemetry, together
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.quality_change import units_hold

START = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)


def day(number: int, target: str, sensor: str, level: float) -> pl.DataFrame:
    at = [START + number * DAY + timedelta(minutes=5 * index) for index in range(288)]
    return pl.DataFrame(
        {
            "target": target,
            "sensor": sensor,
            "observed_at": at,
            "value": [level + 1e-3 * n for n in range(288)],
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
    )


def units(target: str, sensor: str, levels: list[float], stored: list[float] | None = None):
    *before, today = (profile(day(number, target, sensor, level)) for number, level in enumerate(levels))
    kept = [profile(day(len(levels) - 1, target, sensor, level)) for level in stored or []]
    start = START + (len(levels) - 1) * DAY
    verdicts = judge(
        day(len(levels) - 1, target, sensor, levels[-1]),
        today,
        before,
        targets=DEFAULT_TARGETS,
        span=(start, start + DAY),
        now=start + 2 * DAY,
        units=units_hold(today, [*before, *kept], asked_for_units(DEFAULT_TARGETS)),
    )
    (found,) = (verdict for verdict in verdicts if verdict.name == "telemetry_units_hold")
    return verdicts, found


@pytest.mark.parametrize(
    ("target", "sensor", "passed"),
    [("demo-shop", "request_rate_per_second", False), ("host", "cpu_used_cores", True)],
)
def test_a_hundredfold_is_another_unit_but_not_where_the_unit_is_ours(target, sensor, passed):
    assert units(target, sensor, [5.0, 5.0, 5.0, 5.0, 500.0])[1].passed is passed


def test_what_is_stored_already_is_in_its_unit_and_a_further_jump_is_not():
    levels = [5.0, 5.0, 5.0, 5.0, 500.0]

    assert units("demo-shop", "request_rate_per_second", levels, stored=[500.0])[1].passed
    assert not units("demo-shop", "request_rate_per_second", levels, stored=[5.0])[1].passed


def test_a_unit_that_changed_stops_nothing_and_says_how_it_is_accepted():
    verdicts, changed = units("demo-shop", "request_rate_per_second", [5.0, 5.0, 5.0, 5.0, 500.0])

    refuse_bad_telemetry(verdicts)
    assert changed.measured["changed_series"] == "demo-shop/request_rate_per_second"
    for days in ([date(2026, 3, 6)], [date(2026, 3, 6), date(2026, 3, 7)]):
        found = {verdict.name: verdict for verdict in together(dict.fromkeys(days, verdicts))}
        assert "accept: [telemetry_units_hold]" in found["telemetry_units_hold"].reasons[-1]
