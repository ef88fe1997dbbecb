"""Days that are read again: what changed is carried on, what did not is not, and nothing that was known is lost."""

from datetime import timedelta

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.defs.partitions import DAILY
from maximus_assets.defs.reading import PROFILES, profile_of, records
from maximus_assets.defs.resources import TelemetrySources
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.record import missing

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
YESTERDAY = SystemClock().now().date() - timedelta(days=1)


def span(days: int) -> dict[str, str]:
    return dict(zip(RANGE, (day(days - 1), day(0)), strict=True))


def day(back: int) -> str:
    return (YESTERDAY - timedelta(days=back)).isoformat()


def versions(house) -> dict[str, str]:
    events = house.instance.fetch_materializations(dg.AssetKey("telemetry"), limit=100).records
    return {
        record.partition_key: record.asset_materialization.tags["dagster/data_version"]
        for record in reversed(events)
    }


class Changed:
    """Wraps the sources' reader; `change` is applied to what is read of one day."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spans: list[timedelta] = []
        self.day = ""
        self.change = lambda frame: frame
        read = TelemetrySources.read

        def changed(sources: TelemetrySources, start, end) -> pl.DataFrame:
            self.spans.append(end - start)
            frame = read(sources, start, end)
            return self.change(frame) if start.date().isoformat() == self.day else frame

        monkeypatch.setattr(TelemetrySources, "read", changed)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Changed:
    return Changed(monkeypatch)


def without_an_hour(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("observed_at").dt.hour() != 3)


def failed(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    return {
        check.check_name: check.description or ""
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def test_a_run_over_several_days_reads_one_day_at_a_time(house, source: Changed) -> None:
    assert house.run("telemetry", **span(3)).success

    assert source.spans == [timedelta(days=1)] * 3


def test_every_day_has_a_data_version_of_its_own_whatever_it_was_read_with(house) -> None:
    house.run("telemetry", **span(1))
    alone = versions(house)[day(0)]

    house.run("telemetry", **span(3))

    found = versions(house)
    assert found[day(0)] == alone
    assert len(set(found.values())) == 3
    assert {key: house.store.stamp("telemetry", key).version for key in found} == found


def test_a_month_read_again_asks_for_nothing_and_one_changed_day_in_it_does(house, source: Changed) -> None:
    def tick(cursor):
        found = dg.evaluate_automation_conditions(
            defs=house.definitions, instance=house.instance, cursor=cursor
        )
        return found.cursor, found.get_num_requested(dg.AssetKey("feature_table"))

    cursor, _ = tick(None)
    for key in DAILY.get_partition_keys()[:-3]:  # what follows waits for every day; these need no frame here
        house.instance.report_runless_asset_event(dg.AssetMaterialization("telemetry", partition=key))
    house.run("telemetry", **span(1))
    house.run("telemetry", "feature_table", **span(3))
    cursor, _ = tick(cursor)

    house.run("telemetry", **span(3))
    cursor, after_the_same = tick(cursor)
    source.day, source.change = day(1), lambda frame: frame.with_columns(pl.col("value") * 1.0001)
    house.run("telemetry", **span(3))
    cursor, after_a_change = tick(cursor)
    _, later = tick(cursor)

    assert (after_the_same, after_a_change, later) == (0, 1, 0)


def test_a_day_that_would_shrink_stays_as_it_is_and_the_counts_are_told(house, source: Changed) -> None:
    house.run("telemetry", **span(2))
    before, known = house.store.read("telemetry", day(1)), versions(house)

    source.day, source.change = day(1), without_an_hour
    result = house.run("telemetry", **span(2))

    assert result.success, "a day that is kept is no reason to learn nothing"
    assert house.store.read("telemetry", day(1)).equals(before)
    assert versions(house) == known
    said = failed(result)
    assert set(said) == {"telemetry_loses_nothing"}
    assert (
        f"{day(1)}: demo-shop/database_connections_used_ratio has 5520 rows where 5760 are stored"
        in said.popitem()[1]
    )


def test_a_day_that_has_shrunk_is_stored_when_that_is_accepted(house, source: Changed) -> None:
    house.run("telemetry", **span(1))
    source.day, source.change = day(0), without_an_hour

    result = house.run("telemetry", config={"accept": ["telemetry_loses_nothing"]}, **span(1))

    assert result.success
    assert house.store.read("telemetry", day(0)).height == 8 * 5520
    assert set(failed(result)) == {"telemetry_is_complete"} or not failed(result)


def test_a_check_that_is_never_a_matter_of_opinion_cannot_be_accepted(house) -> None:
    result = house.run("telemetry", config={"accept": ["telemetry_is_plausible"]}, **span(1))

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "telemetry_is_plausible cannot be accepted" in str(failure.step_failure_data)


OTHER = pl.col("sensor") == "database_connections_used_ratio"
DEMAND = pl.col("sensor") == "request_rate_per_second"


def per_minute(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.when(DEMAND).then(pl.col("value") * 60).otherwise("value").alias("value"))


def test_demand_in_another_unit_holds_back_that_series_alone_until_it_is_accepted(
    house, source: Changed
) -> None:
    house.run("telemetry", **{RANGE[0]: day(4), RANGE[1]: day(1)})
    source.day, source.change = day(0), per_minute

    held = house.run("telemetry", **span(1))

    assert held.success, "one series in another unit is no reason to keep back the others"
    said = failed(held)["telemetry_units_hold"]
    assert "near 60: another unit?" in said
    assert "accept: [telemetry_units_hold]" in said
    stored = house.store.read("telemetry", day(0))
    assert stored.filter(DEMAND).is_empty()
    assert stored["sensor"].n_unique() == 7
    (event,) = held.get_asset_materialization_events()
    (why,) = event.step_materialization_data.materialization.metadata["missing"].value
    assert "demo-shop (request_rate_per_second): held back" in why
    learnt_from = house.run("feature_table").get_asset_materialization_events()[0]
    metadata = learnt_from.step_materialization_data.materialization.metadata
    assert "another unit?" in metadata["missing"].value[0]

    accepted = house.run("telemetry", config={"accept": ["telemetry_units_hold"]}, **span(1))
    assert accepted.success
    assert house.store.read("telemetry", day(0)).filter(DEMAND).height == 5760
    assert missing(records(house.store, house.store.days("telemetry"))[YESTERDAY].record).is_empty()

    house.run("telemetry", **span(5))
    assert house.store.read("telemetry", day(0)).filter(DEMAND).height == 5760, (
        "what was accepted once is not held back by a run that reads it again"
    )


def test_a_stored_day_that_is_found_in_another_unit_keeps_that_series_as_it_is_stored(
    house, source: Changed
) -> None:
    house.run("telemetry", **{RANGE[0]: day(4), RANGE[1]: day(0)})
    before = house.store.read("telemetry", day(0))
    source.day = day(0)
    source.change = lambda frame: per_minute(frame).with_columns(
        pl.when(OTHER).then(pl.col("value") / 2).otherwise("value").alias("value")
    )

    assert house.run("telemetry", **span(1)).success

    after = house.store.read("telemetry", day(0))
    assert after.filter(DEMAND).equals(before.filter(DEMAND))
    assert after.filter(OTHER)["value"].sum() == pytest.approx(before.filter(OTHER)["value"].sum() / 2)


def test_a_run_that_is_refused_leaves_nothing_beside_the_frames(house, source: Changed) -> None:
    source.day, source.change = day(0), lambda frame: frame.with_columns(value=pl.lit(-1.0))

    assert not house.run("telemetry", **span(3)).success

    folder = house.store.folder / "telemetry"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_profile_is_made_anew_when_its_day_has_changed(house) -> None:
    house.run("telemetry", **span(1))
    frame = house.store.read("telemetry", day(0))
    assert house.store.read(PROFILES, day(0)).equals(profile(frame))

    house.store.write("telemetry", day(0), frame.head(100), version="other")

    assert profile_of(house.store, day(0)).equals(profile(frame.head(100)))
