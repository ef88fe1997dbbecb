"""Frames on disk: Parquet, one file for each asset, or for each partition of one.

What belongs here: where a frame is, reading and writing it whole. What does not: Dagster (`io_manager` calls this), and
what is in a frame.

A reader may come at any moment and the machine may stop at any moment, so a file is written beside its place and moved
there once it is on disk. Each file carries the version of its content and the version its asset was last known under:
a day that is read again and found unchanged keeps its version, so that nothing downstream is done again for it.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final
from urllib.parse import unquote

import polars as pl

from maximus_assets.contracts.errors import Permanent

SUFFIX: Final = ".parquet"
_CONTENT: Final = "maximus.content"
_VERSION: Final = "maximus.version"


class FrameNotWrittenError(Permanent):
    """A frame could not be stored: the disk is full, or the folder is not writable."""


@dataclass(frozen=True)
class Stamp:
    """What a stored frame says of itself.

    Attributes:
        content: Hash of its columns and values.
        version: The data version its asset was materialized under.
    """

    content: str
    version: str


def data_folder() -> Path:
    """The product's data folder: `MAXIMUS_DATA_DIR`, else `.maximus` in the working directory."""
    return Path(os.environ.get("MAXIMUS_DATA_DIR") or ".maximus").resolve()


def content_hash(frame: pl.DataFrame) -> str:
    """SHA-256 over column names, types and values in their order, hexadecimal, first 16 digits.

    Equal frames have equal hashes in every process and on every machine, which a hash of the Parquet file has not.
    """
    digest = sha256()
    for column in frame.get_columns():
        digest.update(f"{column.name}:{column.dtype}:{len(column)};".encode())
        digest.update(_column_bytes(column))
    return digest.hexdigest()[:16]


class FramesStore:
    """The frames under one folder.

    Args:
        folder: `<data>/frames`; made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, asset: str, partition: str | None = None) -> Path:
        """Where the frame of an asset, or of one partition of it, is kept."""
        if partition is None:
            return self.folder / f"{asset}{SUFFIX}"
        # A partition key may be any text; escaped, it is one file name. Dots alone would name a folder.
        name = partition.replace("%", "%25").replace("/", "%2F").replace(".", "%2E")
        return self.folder / asset / f"{name}{SUFFIX}"

    def partitions(self, asset: str) -> tuple[str, ...]:
        """Keys of the stored partitions of an asset, in order."""
        found = (self.folder / asset).glob(f"*{SUFFIX}")
        return tuple(sorted(unquote(path.name.removesuffix(SUFFIX)) for path in found))

    def days(self, asset: str) -> tuple[date, ...]:
        """The days stored of an asset partitioned by day, oldest first."""
        return tuple(date.fromisoformat(key) for key in self.partitions(asset))

    def read(
        self, asset: str, partition: str | None = None, *, columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """One stored frame.

        Args:
            asset: The asset.
            partition: Its partition, None for an unpartitioned asset.
            columns: Those to read; None for all.

        Raises:
            FileNotFoundError: It was never written.
        """
        return pl.read_parquet(
            self.path(asset, partition), columns=None if columns is None else list(columns)
        )

    def read_all(self, asset: str, partitions: Iterable[str]) -> pl.DataFrame:
        """Stored partitions of one asset under one another.

        Raises:
            FileNotFoundError: One of them was never written.
            ValueError: `partitions` is empty.
        """
        return pl.concat([self.read(asset, key) for key in partitions], how="vertical")

    def stamp(self, asset: str, partition: str | None = None) -> Stamp | None:
        """What the stored frame says of itself, None when there is none or it carries no stamp."""
        path = self.path(asset, partition)
        if not path.exists():
            return None
        said = pl.read_parquet_metadata(path)
        if _CONTENT not in said or _VERSION not in said:
            return None
        return Stamp(content=said[_CONTENT], version=said[_VERSION])

    def version_of(self, asset: str, contents: dict[str | None, str]) -> str:
        """The data version to report when partitions are about to be stored with these contents.

        Dagster takes one version for all partitions written in one go. If nothing differs from what is stored, it is the
        version they have (when they share one); otherwise a hash over all contents.

        Args:
            asset: The asset.
            contents: Partition key (None for an unpartitioned asset) -> content hash.
        """
        stamps = [self.stamp(asset, key) for key in contents]
        versions = {stamp.version for stamp in stamps if stamp is not None}
        unchanged = all(
            stamp is not None and stamp.content == content
            for stamp, content in zip(stamps, contents.values(), strict=True)
        )
        if unchanged and len(versions) == 1:
            return versions.pop()
        if len(contents) == 1:
            return next(iter(contents.values()))
        return sha256(";".join(f"{key}={contents[key]}" for key in contents).encode()).hexdigest()[:16]

    def write(
        self,
        asset: str,
        partition: str | None,
        frame: pl.DataFrame,
        *,
        version: str,
        content: str | None = None,
    ) -> Path:
        """`write_beside` and `put_in_place`: a frame is stored whole or not at all, and on disk when this returns.

        Raises:
            FrameNotWrittenError: The folder is not writable or the disk is full; what was stored before still is.
        """
        part = self.write_beside(asset, partition, frame, version=version, content=content)
        return self.put_in_place(asset, partition, part)

    def write_beside(
        self,
        asset: str,
        partition: str | None,
        frame: pl.DataFrame,
        *,
        version: str,
        content: str | None = None,
    ) -> Path:
        """Put a frame on disk beside its place, under a name no reader looks for; that name.

        Args:
            asset: The asset.
            partition: Its partition, None for an unpartitioned asset.
            frame: The frame.
            version: The data version it is materialized under.
            content: Its content hash, when it is known already.

        Raises:
            FrameNotWrittenError: The folder is not writable or the disk is full; nothing is left behind.
        """
        path = self.path(asset, partition)
        stamp = {_CONTENT: content or content_hash(frame), _VERSION: version}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as part:
                try:
                    frame.write_parquet(part, metadata=stamp)
                    part.flush()
                    os.fsync(part.fileno())
                except BaseException:  # whatever stopped it, no half file stays behind
                    Path(part.name).unlink(missing_ok=True)
                    raise
        except (OSError, pl.exceptions.ComputeError) as error:
            raise FrameNotWrittenError(
                f"cannot store {path}: {error}; free space or fix the folder"
            ) from error
        return Path(part.name)

    def put_in_place(self, asset: str, partition: str | None, part: Path) -> Path:
        """Move a frame that is on disk to its place; the place.

        Args:
            asset: The asset.
            partition: Its partition, None for an unpartitioned asset.
            part: What `write_beside` returned.

        Raises:
            FrameNotWrittenError: It cannot be moved there; what was stored before still is.
        """
        path = self.path(asset, partition)
        try:
            part.replace(path)
            _sync_folder(path.parent)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise FrameNotWrittenError(f"cannot store {path}: {error}; fix the folder") from error
        return path


def _sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk: a file that was moved there is not found after a power cut otherwise."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _column_bytes(column: pl.Series) -> bytes:
    """The values of a column as bytes that do not depend on how Polars happens to hold them."""
    if column.dtype == pl.String:
        # Few distinct names repeat over a million rows: hash the names once and the rows as numbers.
        names = column.unique(maintain_order=True)
        codes = column.replace_strict(names, pl.int_range(len(names), eager=True), return_dtype=pl.Int64)
        return repr(names.to_list()).encode() + codes.to_numpy().tobytes()
    missing = column.is_null().to_numpy().tobytes() if column.null_count() else b""
    return missing + column.to_physical().fill_null(0).to_numpy().tobytes()
