"""Partitions of a run take their places together, or leave nothing behind."""

import os
from pathlib import Path

import polars as pl
import pytest

from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.staging import STALE_SECONDS, staging


def frame_of(*values: float) -> pl.DataFrame:
    return pl.DataFrame({"value": list(values)})


@pytest.fixture
def store(tmp_path: Path) -> FramesStore:
    return FramesStore(tmp_path / "frames")


def names(store: FramesStore) -> list[str]:
    return sorted(path.name for path in (store.folder / "telemetry").iterdir())


def test_nothing_is_seen_of_a_run_until_it_commits_and_all_of_it_then(store: FramesStore) -> None:
    with staging(store, "telemetry") as staged:
        staged.put("2026-03-01", frame_of(1.0, 2.0))
        staged.put("2026-03-02", frame_of(3.0))
        assert store.partitions("telemetry") == ()
        assert staged.rows == 3
        staged.commit()

    assert names(store) == ["2026-03-01.parquet", "2026-03-02.parquet"]
    stamp = store.stamp("telemetry", "2026-03-02")
    assert stamp is not None
    assert stamp.version == stamp.content == staged.frames["2026-03-02"].version


def test_a_run_that_ends_without_committing_leaves_what_was_there_and_nothing_else(
    store: FramesStore,
) -> None:
    store.write("telemetry", "2026-03-01", frame_of(1.0), version="old")

    with staging(store, "telemetry") as staged:
        staged.put("2026-03-01", frame_of(2.0))

    assert names(store) == ["2026-03-01.parquet"]
    assert store.read("telemetry", "2026-03-01")["value"].to_list() == [1.0]


def test_an_unchanged_frame_keeps_its_version_and_a_kept_one_is_not_touched(store: FramesStore) -> None:
    store.write("telemetry", "2026-03-01", frame_of(1.0), version="given with others")
    store.write("telemetry", "2026-03-02", frame_of(2.0), version="kept")
    before = store.path("telemetry", "2026-03-02").stat().st_ino

    with staging(store, "telemetry") as staged:
        same, kept = staged.put("2026-03-01", frame_of(1.0)), staged.keep("2026-03-02", 1)
        staged.commit()

    assert (same.version, kept.version, kept.path) == ("given with others", "kept", None)
    assert store.path("telemetry", "2026-03-02").stat().st_ino == before


def test_what_is_not_stored_cannot_be_kept(store: FramesStore) -> None:
    with staging(store, "telemetry") as staged, pytest.raises(FileNotFoundError):
        staged.keep("2026-03-01", 1)


def test_what_a_killed_run_left_is_removed_a_day_later(store: FramesStore) -> None:
    with staging(store, "telemetry") as staged:
        left = staged.put("2026-03-01", frame_of(1.0)).path
        assert left is not None
        staged.frames.clear()  # as if the process had ended here
    with staging(store, "telemetry"):
        assert left.exists(), "another run may be writing it"

    os.utime(left, (0, left.stat().st_mtime - 2 * STALE_SECONDS))
    with staging(store, "telemetry"):
        assert not left.exists()
