"""Partitions of one run, written one after the other and put in their places together.

A run over four weeks must not hold four weeks in memory, and must store nothing when one of its days fails a check. So a
day goes to disk when it has been read, under a name no reader looks for, and takes its place when the run says so. A
process that is killed in between leaves its files behind; the next run removes those older than a day.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from maximus_assets.defs.frames import FramesStore, content_hash

PART: Final = ".part"
STALE_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class StagedFrame:
    """A frame that is on disk but not in its place.

    Attributes:
        partition: Its partition.
        path: Where it is; None when what is stored already stays as it is.
        rows: How many it has.
        content: Its content hash.
        version: The data version it is to have: the one it has when it is what is stored already.
    """

    partition: str
    path: Path | None
    rows: int
    content: str
    version: str


class Staging:
    """The partitions of one asset in one run.

    Args:
        store: Where they are to go.
        asset: Whose they are.
    """

    def __init__(self, store: FramesStore, asset: str) -> None:
        self.store = store
        self.asset = asset
        self.frames: dict[str, StagedFrame] = {}

    @property
    def rows(self) -> int:
        """Of all partitions together."""
        return sum(frame.rows for frame in self.frames.values())

    def put(self, partition: str, frame: pl.DataFrame) -> StagedFrame:
        """Write one partition beside its place; it need not be kept in memory after that.

        Args:
            partition: Which; put twice, the later one counts.
            frame: Its frame.

        Raises:
            FrameNotWrittenError: The folder is not writable or the disk is full.
        """
        content = content_hash(frame)
        version = self.store.version_of(self.asset, {partition: content})
        path = self.store.write_beside(self.asset, partition, frame, version=version, content=content)
        return self._hold(StagedFrame(partition, path, frame.height, content, version))

    def keep(self, partition: str, rows: int) -> StagedFrame:
        """Leave a stored partition as it is.

        Args:
            partition: Which.
            rows: How many it has.

        Raises:
            FileNotFoundError: It is not stored.
        """
        stamp = self.store.stamp(self.asset, partition)
        if stamp is None:
            raise FileNotFoundError(self.store.path(self.asset, partition))
        return self._hold(StagedFrame(partition, None, rows, stamp.content, stamp.version))

    def commit(self) -> None:
        """Put every partition in its place, each whole.

        Raises:
            FrameNotWrittenError: One could not be moved; those before it were.
        """
        for frame in self.frames.values():
            if frame.path is not None:
                self.store.put_in_place(self.asset, frame.partition, frame.path)

    def discard(self) -> None:
        """Remove what was not put in its place."""
        for frame in self.frames.values():
            if frame.path is not None:
                frame.path.unlink(missing_ok=True)

    def _hold(self, frame: StagedFrame) -> StagedFrame:
        self.frames[frame.partition] = frame
        return frame


@contextmanager
def staging(store: FramesStore, asset: str) -> Iterator[Staging]:
    """A staging whose files are gone afterwards unless they were committed.

    Args:
        store: The frames.
        asset: Whose partitions are written.
    """
    _remove_stale(store.folder / asset)
    staged = Staging(store, asset)
    try:
        yield staged
    finally:
        staged.discard()


def _remove_stale(folder: Path) -> None:
    now = time.time()
    for path in folder.glob(f".*{PART}"):
        try:
            if now - path.stat().st_mtime > STALE_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another run was quicker
            continue
