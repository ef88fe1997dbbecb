"""A series in another unit stays held back until nothing of its old unit is left in what is learnt from."""

from datetime import UTC, datetime, timedelta

import polars as pl

from maximus_assets.contracts.telemetry import Series
from maximus_assets.defs.partitions import HISTORY_DAYS
from maximus_assets.telemetry.profile import PROFILE_SCHEMA, profile
from maximus_assets.telemetry.quality_change import changed_units

START = datetime(2026, 3, 2, tzinfo=UTC)
SHOP = Series(target="shop", sensor="request_rate_per_second")


def day(number: int, factor: float) -> pl.DataFrame:
    at = [START + timedelta(days=number, minutes=5 * index) for index in range(288)]
    frame = pl.DataFrame(
        {
            "target": "shop",
            "sensor": "request_rate_per_second",
            "observed_at": at,
            "value": [factor * (10.0 + index % 7) for index in range(288)],
        },
        schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
    )
    return profile(frame)


def test_a_series_comes_back_only_when_it_has_one_unit_in_what_is_learnt_from() -> None:
    stored = [(number, day(number, 1.0)) for number in range(40)]
    number = 40
    while True:
        today = day(number, 1000.0)
        if not changed_units(today, [one for _, one in stored], [SHOP])[1]:
            break
        stored.append((number, pl.DataFrame(schema=PROFILE_SCHEMA)))  # its day is stored without it
        number += 1
        assert number < 80

    learnt_from = [one for at, one in stored if at > number - HISTORY_DAYS]
    assert all(one.is_empty() for one in learnt_from)
    assert number - 40 <= HISTORY_DAYS + 1
