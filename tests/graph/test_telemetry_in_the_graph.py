"""Days of telemetry, files of the user's own, and the feature table made of both."""

import json
from contextlib import nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.defs import ingest_files
from maximus_assets.defs.features import recent_history
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.resources import TelemetrySources

RANGE = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
MIDNIGHT = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = MIDNIGHT.date() - timedelta(days=1)


def span(days: int, last: date = YESTERDAY) -> dict[str, str]:
    return dict(zip(RANGE, ((last - timedelta(days=days - 1)).isoformat(), last.isoformat()), strict=True))


def versions(house, asset: str = "telemetry") -> dict[str, str]:
    """Partition -> data version as Dagster knows it."""
    events = house.instance.fetch_materializations(dg.AssetKey(asset), limit=100).records
    return {
        record.partition_key: record.asset_materialization.tags["dagster/data_version"]
        for record in reversed(events)
    }


def write_csv(path: Path, days: int = 10, start: datetime = datetime(2019, 5, 6, tzinfo=UTC)) -> Path:
    rows = [
        f"{(start + timedelta(minutes=5 * i)).isoformat()},{100 + 50 * (i % 288 < 144) + i % 7}"
        for i in range(days * 288)
    ]
    path.write_text("timestamp,requests\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_several_days_are_one_run_and_one_file_each(house) -> None:
    result = house.run("telemetry", **span(3))

    assert result.success
    assert house.store.days("telemetry") == tuple(YESTERDAY - timedelta(days=back) for back in (2, 1, 0))
    day = house.store.read("telemetry", YESTERDAY.isoformat())
    assert set(day["observed_at"].dt.date()) == {YESTERDAY}
    assert day.height == 5760 * 8
    assert sorted(versions(house)) == [(YESTERDAY - timedelta(days=back)).isoformat() for back in (2, 1, 0)]


def test_an_unchanged_day_read_again_keeps_its_data_version(house) -> None:
    house.run("telemetry", **span(2))
    before = versions(house)

    house.run("telemetry", **span(1))

    assert versions(house) == before


def test_gaps_warn_and_duplicates_block(house, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TelemetrySources.read

    def damaged(self: TelemetrySources, start: datetime, end: datetime) -> pl.DataFrame:
        frame = read(self, start, end).filter(pl.col("observed_at").dt.hour() < 12)
        return pl.concat([frame, frame.tail(1)])

    monkeypatch.setattr(TelemetrySources, "read", damaged)
    result = house.run("telemetry", "feature_table", **span(1))

    said = {
        check.check_name: (check.passed, check.severity.value)
        for check in result.get_asset_check_evaluations()
    }
    assert said == {
        "telemetry_is_plausible": (True, "ERROR"),
        "telemetry_clock_is_sound": (True, "ERROR"),
        "telemetry_has_no_duplicates": (False, "ERROR"),
        "telemetry_units_hold": (True, "WARN"),
        "telemetry_is_complete": (False, "WARN"),
        "telemetry_is_not_frozen": (True, "WARN"),
        "telemetry_distribution_holds": (True, "WARN"),
        "telemetry_loses_nothing": (True, "WARN"),
    }
    assert not house.store.path("feature_table").exists()


def test_a_day_that_fails_a_gate_is_not_stored_and_does_not_replace_the_one_that_passed(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run("telemetry", **span(1))
    good, before = house.store.read("telemetry", YESTERDAY.isoformat()), versions(house)
    read = TelemetrySources.read
    monkeypatch.setattr(
        TelemetrySources,
        "read",
        lambda self, start, end: read(self, start, end).with_columns(value=pl.lit(-1.0)),
    )

    result = house.run("telemetry", **span(2))

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "telemetry is not stored, telemetry_is_plausible" in str(failure.step_failure_data)
    assert house.store.days("telemetry") == (YESTERDAY,)
    assert house.store.read("telemetry", YESTERDAY.isoformat()).equals(good)
    assert versions(house) == before


def test_a_gap_alone_stops_nothing(house, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TelemetrySources.read
    monkeypatch.setattr(
        TelemetrySources,
        "read",
        lambda self, start, end: read(self, start, end).filter(pl.col("observed_at").dt.hour() < 12),
    )

    assert house.run("telemetry", "feature_table", **span(1)).success
    assert house.store.path("feature_table").exists()


def test_only_the_last_four_weeks_are_learnt_from_each_by_its_own_clock(tmp_path: Path) -> None:
    store = FramesStore(tmp_path)

    def day(at: datetime, target: str) -> pl.DataFrame:
        return pl.DataFrame(
            {"target": [target], "sensor": ["demand_count"], "observed_at": [at], "value": [1.0]}
        ).cast({"observed_at": pl.Datetime("us", "UTC")})

    for back in range(40):
        at = datetime(2026, 3, 31, 12, tzinfo=UTC) - timedelta(days=back)
        store.write("telemetry", at.date().isoformat(), day(at, "shop"), version="v")
    old = [day(datetime(2019, 1, 1, tzinfo=UTC) + timedelta(days=d), "file") for d in range(60)]
    store.write("imported_telemetry", "file.csv", pl.concat(old), version="v")

    history = recent_history(store)

    first = dict(history.group_by("target").agg(pl.col("observed_at").min()).iter_rows())
    assert first["shop"] == datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert first["file"] == datetime(2019, 2, 2, tzinfo=UTC)
    assert history.group_by("target").len().sort("target")["len"].to_list() == [28, 28]

    store.write(
        "imported_telemetry", "shop.csv", pl.concat(old).with_columns(target=pl.lit("shop")), version="v"
    )
    assert recent_history(store).equals(history), "a series that came to be watched was mixed with a file's"


def test_a_house_that_watches_nothing_reads_days_without_rows(house, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXIMUS_TARGETS", "[]")

    assert TelemetrySources(database_read_url="").read(MIDNIGHT - timedelta(days=1), MIDNIGHT).is_empty()


def test_a_file_of_the_users_own_is_ingested_and_learnt_from(house, tmp_path: Path, capsys) -> None:
    (file,) = ingest_files.parse([str(write_csv(tmp_path / "My Shop.csv"))])

    assert ingest_files.ingest([file], house.instance) == 1

    assert json.loads(capsys.readouterr().out)["ingested"] is True
    assert house.store.partitions("imported_telemetry") == ("My Shop.csv",)
    assert house.run("telemetry", "feature_table", **span(1)).success
    assert "my-shop" in set(house.store.read("feature_table")["target"].unique())


def test_the_same_file_again_replaces_itself_and_changes_nothing(house, tmp_path: Path) -> None:
    (file,) = ingest_files.parse([str(write_csv(tmp_path / "shop.csv"))])
    ingest_files.ingest([file], house.instance)
    before = versions(house, "imported_telemetry")

    assert ingest_files.ingest([file], house.instance) == 1
    assert versions(house, "imported_telemetry") == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp,requests\n2019-05-06T00:00:00Z,1\n2019-05-06T00:05:00Z,x\n", "row 2, column requests"),
        ("timestamp,requests\n", "bad.csv"),
        ("timestamp,requests\n2019-05-06T00:00:00,1\n2019-05-06T00:05:00,2\n", "--timezone"),
    ],
)
def test_a_bad_file_is_told_by_place_with_exit_code_2_and_leaves_no_trace(
    house, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    good, bad = write_csv(tmp_path / "good.csv"), tmp_path / "bad.csv"
    bad.write_text(text, encoding="utf-8")
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(house.instance))

    assert ingest_files.main([str(good), str(bad)]) == 2

    assert said in capsys.readouterr().err
    assert house.store.partitions("imported_telemetry") == ()
    assert house.instance.get_runs() == []


def test_a_file_may_not_pretend_to_be_a_watched_target(house, tmp_path: Path) -> None:
    (file,) = ingest_files.parse([str(write_csv(tmp_path / "demo-shop.csv"))])

    assert ingest_files.ingest([file], house.instance) == 0
    assert house.store.partitions("imported_telemetry") == ()


def test_two_files_may_not_hold_the_same_series(house, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = write_csv(tmp_path / "shop.csv")
    second = tmp_path / "other" / "Shop.csv"
    second.write_text(first.read_text(encoding="utf-8"), encoding="utf-8")

    assert ingest_files.ingest(ingest_files.parse([str(first), str(second)]), house.instance) == 1
    assert house.store.partitions("imported_telemetry") == ("shop.csv",)
