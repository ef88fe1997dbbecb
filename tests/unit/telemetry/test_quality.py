"""Each test of quality passes on good telemetry and says what, where and when on bad."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.plant.world import Plant
from maximus_assets.telemetry import quality
from maximus_assets.telemetry.frames import empty, from_samples

START = datetime(2024, 5, 1, tzinfo=UTC)
END = START + timedelta(hours=1)
HOUR = Plant(7).samples("shop", START, END, 15)
RATE = Series(target="shop", sensor="request_rate_per_second")


def rows(
    *seconds: float, target: str = "web", sensor: str = "cpu_used_ratio", value: float = 0.5
) -> pl.DataFrame:
    return from_samples(Sample(target, sensor, START + timedelta(seconds=s), value) for s in seconds)


def without(frame: pl.DataFrame, sensor: str, start: datetime, end: datetime) -> pl.DataFrame:
    return frame.filter(
        ~((pl.col("sensor") == sensor) & pl.col("observed_at").is_between(start, end, closed="left"))
    )


def test_a_whole_hour_passes_everything():
    verdicts = [
        quality.completeness(HOUR, step_seconds=15, start=START, end=END, expected=[RATE]),
        quality.value_range(HOUR),
        quality.clock(HOUR, END),
        quality.duplicates(HOUR),
        quality.freshness(HOUR, END, expected=[RATE]),
    ]
    assert [verdict.reasons for verdict in verdicts] == [()] * 5
    assert all(verdict.passed for verdict in verdicts)
    assert len({verdict.name for verdict in verdicts}) == 5
    assert verdicts[0].measured == {
        "series_count": 8,
        "missing_series_count": 0,
        "minimum_ratio_found": 1.0,
        "rows_count": 8 * 240,
    }


def test_completeness_is_the_share_of_expected_instants_of_each_series():
    holed = without(HOUR, RATE.sensor, START + timedelta(minutes=30), START + timedelta(minutes=45))
    verdict = quality.completeness(holed, step_seconds=15, start=START, end=END)
    assert not verdict.passed
    assert verdict.measured["minimum_ratio_found"] == 0.75
    assert verdict.reasons == (
        "shop/request_rate_per_second has 180 of 240 instants (75.0%), the last at 2024-05-01T00:59:45+00:00",
    )
    assert quality.completeness(holed, step_seconds=15, start=START, end=END, minimum_ratio=0.75).passed
    assert not quality.completeness(holed, step_seconds=15, start=START, end=END, minimum_ratio=0.751).passed


def test_completeness_counts_from_the_given_start_and_to_the_given_end():
    late = HOUR.filter(pl.col("observed_at") >= START + timedelta(minutes=30))
    assert quality.completeness(late, step_seconds=15).passed
    assert (
        quality.completeness(late, step_seconds=15, start=START, end=END).measured["minimum_ratio_found"]
        == 0.5
    )
    assert quality.completeness(late, step_seconds=15, start=START + timedelta(minutes=30), end=END).passed
    assert (
        quality.completeness(late, step_seconds=15, end=END + timedelta(minutes=30)).measured[
            "minimum_ratio_found"
        ]
        == 0.5
    )


def test_completeness_takes_a_series_own_spacing_when_none_is_given():
    verdict = quality.completeness(rows(0, 300, 600, 900, 1500, 1800, 2100, 2400))
    assert not verdict.passed
    assert verdict.reasons[0].startswith("web/cpu_used_ratio has 8 of 9 instants (88.9%)")
    assert quality.completeness(rows(0)).passed


def test_repeated_instants_do_not_make_up_for_missing_ones():
    verdict = quality.completeness(
        rows(0, 0, 15, 15, 30, 30), step_seconds=15, start=START, end=START + timedelta(seconds=90)
    )
    assert verdict.measured["minimum_ratio_found"] == 0.5


def test_a_series_that_is_not_there_at_all_is_named():
    gone = HOUR.filter(pl.col("sensor") != RATE.sensor)
    verdict = quality.completeness(gone, expected=[RATE])
    assert verdict.reasons == ("shop/request_rate_per_second has no observation",)
    assert verdict.measured["minimum_ratio_found"] == 0.0
    assert quality.freshness(gone, END, expected=[RATE]).reasons == (
        "shop/request_rate_per_second was never seen",
    )


def test_implausible_values_are_named_with_their_range():
    frame = pl.concat([HOUR, rows(60, value=1.5), rows(75, value=float("nan")), rows(90, sensor="speed")])
    verdict = quality.value_range(frame)
    assert not verdict.passed
    assert verdict.measured == {"rows_count": frame.height, "implausible_count": 3}
    assert verdict.reasons == (
        "web/cpu_used_ratio was 1.5 at 2024-05-01T00:01:00+00:00, outside 0 to 1",
        "web/cpu_used_ratio was nan at 2024-05-01T00:01:15+00:00, outside 0 to 1",
        "web/speed was 0.5 at 2024-05-01T00:01:30+00:00, outside the catalogue: an unknown sensor",
    )


@pytest.mark.parametrize(
    ("value", "passed"), [(0.0, True), (1.0, True), (1.0000001, False), (-0.0000001, False)]
)
def test_the_ends_of_a_valid_range_belong_to_it(value, passed):
    assert quality.value_range(rows(0, value=value)).passed is passed


def test_a_clock_that_steps_back_is_named():
    verdict = quality.clock(rows(0, 30, 15, 45), END)
    assert not verdict.passed
    assert verdict.measured["backward_count"] == 1
    assert verdict.reasons == (
        "web/cpu_used_ratio steps back from 2024-05-01T00:00:30+00:00 to 2024-05-01T00:00:15+00:00",
    )
    # Another series may be told of afterwards.
    assert quality.clock(pl.concat([rows(0, 30), rows(0, 30, target="app")]), END).passed


def test_instants_in_the_future_are_named_and_a_small_lead_is_not():
    now = START + timedelta(seconds=10)
    assert quality.clock(rows(0, 15), now).passed
    verdict = quality.clock(rows(0, 16, 130), now)
    assert verdict.measured["future_count"] == 2
    assert verdict.measured["furthest_ahead_seconds"] == 120.0
    assert verdict.reasons[1] == "web/cpu_used_ratio has 2024-05-01T00:02:10+00:00, 120 s in the future"


def test_two_values_at_one_instant_are_named_and_two_series_are_not():
    assert quality.duplicates(pl.concat([rows(0, 15), rows(0, 15, target="app")])).passed
    verdict = quality.duplicates(rows(0, 15, 15, 15, 30))
    assert verdict.measured == {"rows_count": 5, "duplicate_count": 2}
    assert verdict.reasons == ("web/cpu_used_ratio has 3 values at 2024-05-01T00:00:15+00:00",)


def test_freshness_is_measured_against_the_sensors_staleness_limit():
    assert quality.freshness(rows(0), START + timedelta(seconds=60)).passed
    verdict = quality.freshness(rows(0), START + timedelta(seconds=61))
    assert verdict.reasons == ("web/cpu_used_ratio was last seen 61 s ago, later than 60 s",)
    assert verdict.measured == {"series_count": 1, "stale_count": 1, "oldest_seconds": 61.0}
    assert quality.freshness(rows(0), START + timedelta(seconds=61), limit_seconds=120).passed


def test_one_silent_series_is_not_hidden_by_a_busy_one():
    frame = pl.concat([rows(0, 600), rows(0, target="app")])
    verdict = quality.freshness(frame, START + timedelta(seconds=600))
    assert verdict.reasons == ("app/cpu_used_ratio was last seen 600 s ago, later than 60 s",)


def test_many_findings_are_counted_and_a_few_told():
    verdict = quality.duplicates(rows(*(second for second in range(20) for _ in range(2))))
    assert len(verdict.reasons) == 6
    assert verdict.reasons[-1] == "and 15 more"
    verdict = quality.clock(rows(*range(30, 0, -1)), END)
    assert verdict.reasons[-1] == "and 24 more"


def test_an_empty_frame_is_neither_complete_nor_fresh_but_holds_nothing_wrong():
    assert quality.completeness(empty()).reasons == ("there is no observation at all",)
    assert quality.freshness(empty(), END).reasons == ("there is no observation at all",)
    for verdict in (quality.value_range(empty()), quality.clock(empty(), END), quality.duplicates(empty())):
        assert verdict.passed
