"""Frames are stored whole or not at all, and know whether they changed."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maximus_assets.defs.frames import FrameNotWrittenError, FramesStore, content_hash
from maximus_assets.defs.io_manager import frame_version

START = datetime(2026, 3, 1, tzinfo=UTC)


def frame_of(values: list[float | None], start: datetime = START) -> pl.DataFrame:
    at = [start + timedelta(hours=index) for index in range(len(values))]
    return pl.DataFrame(
        {
            "target": ["a"] * len(values),
            "sensor": ["demand_count"] * len(values),
            "observed_at": at,
            "value": values,
        },
        schema={
            "target": pl.String,
            "sensor": pl.String,
            "observed_at": pl.Datetime("us", "UTC"),
            "value": pl.Float64,
        },
    )


@pytest.fixture
def store(tmp_path: Path) -> FramesStore:
    return FramesStore(tmp_path / "frames")


def test_a_frame_comes_back_as_it_went(store: FramesStore) -> None:
    frame = frame_of([1.0, None, 3.0])

    path = store.write("telemetry", "2026-03-01", frame, version="v")

    assert path.name == "2026-03-01.parquet"
    assert store.read("telemetry", "2026-03-01").equals(frame)
    assert store.days("telemetry") == (date(2026, 3, 1),)


@given(key=st.text(min_size=1, max_size=40).filter(lambda key: "\x00" not in key and key.isprintable()))
def test_any_partition_key_is_one_file_inside_its_folder(
    tmp_path_factory: pytest.TempPathFactory, key: str
) -> None:
    store = FramesStore(tmp_path_factory.getbasetemp() / "any")

    path = store.path("imported_telemetry", key)

    assert path.parent == store.folder / "imported_telemetry"
    assert Path(os.path.normpath(path)) == path


@pytest.mark.parametrize("key", ["../escape", "/etc/passwd", "..", ".", "a.b.csv", "caf\u00e9 2.csv"])
def test_a_key_is_found_again_under_its_own_name(store: FramesStore, key: str) -> None:
    store.write("imported_telemetry", key, frame_of([1.0]), version="v")

    assert store.partitions("imported_telemetry") == (key,)
    assert store.read("imported_telemetry", key).height == 1


def test_equal_frames_have_equal_hashes_however_they_were_made() -> None:
    whole = frame_of([1.0, 2.0, None, 4.0])
    pieces = pl.concat([whole.head(1), whole.tail(3)], rechunk=False)

    assert content_hash(whole) == content_hash(pieces) == content_hash(whole.clone().rechunk())


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.with_columns(value=pl.col("value").fill_null(0.0)),
        lambda frame: frame.with_columns(target=pl.lit("b")),
        lambda frame: frame.reverse(),
        lambda frame: frame.head(3),
        lambda frame: frame.with_columns(pl.col("observed_at") + timedelta(microseconds=1)),
        lambda frame: frame.rename({"value": "amount"}),
        lambda frame: frame.with_columns(pl.col("value").cast(pl.Float32)),
    ],
)
def test_any_difference_changes_the_hash(change) -> None:
    frame = frame_of([1.0, 2.0, None, 4.0])

    assert content_hash(frame) != content_hash(change(frame))


def test_a_write_that_fails_leaves_the_frame_before_it_and_no_litter(
    store: FramesStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("telemetry", "2026-03-01", frame_of([1.0]), version="old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FrameNotWrittenError, match="No space left"):
        store.write("telemetry", "2026-03-01", frame_of([2.0]), version="new")

    assert store.read("telemetry", "2026-03-01")["value"].to_list() == [1.0]
    assert [path.name for path in (store.folder / "telemetry").iterdir()] == ["2026-03-01.parquet"]


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("a file", encoding="utf-8")

    with pytest.raises(FrameNotWrittenError, match="fix the folder"):
        FramesStore(tmp_path / "frames").write("x", None, frame_of([1.0]), version="v")


def test_a_day_read_again_unchanged_keeps_the_version_it_has(store: FramesStore) -> None:
    store.write("telemetry", "2026-03-01", frame_of([1.0, 2.0]), version="known")

    assert frame_version(store, "telemetry", frame_of([1.0, 2.0]), "2026-03-01") == "known"
    assert frame_version(store, "telemetry", frame_of([1.0, 2.5]), "2026-03-01") not in {"known", ""}


def test_a_span_of_days_has_a_version_of_its_own_when_any_day_changed(store: FramesStore) -> None:
    first, second = content_hash(frame_of([1.0])), content_hash(frame_of([3.0]))
    store.write("telemetry", "2026-03-01", frame_of([1.0]), version="known")

    assert store.version_of("telemetry", {"2026-03-01": first}) == "known"
    assert store.version_of("telemetry", {"2026-03-01": first, "2026-03-02": second}) != "known"
