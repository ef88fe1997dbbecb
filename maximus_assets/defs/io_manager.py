"""How an asset's frame gets to disk: the one writer of the frames store.

`dg.UPathIOManager` refuses an output that spans several partitions, which is what a single-run backfill produces: the
frame is split here by the day of each row, and every day of the run gets its file, an empty day too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl
from upath import UPath

from maximus_assets.contracts.telemetry import OBSERVED_AT
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.frames import FramesStore, content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping


class FrameIOManager(dg.UPathIOManager):
    """Keeps Polars frames as Parquet, one file for each partition.

    Args:
        store: Where; the paths are the store's own, so that both read what either wrote.
    """

    extension = ".parquet"

    def __init__(self, store: FramesStore) -> None:
        super().__init__(base_path=UPath(store.folder))
        self._store = store

    def get_path_for_partition(
        self, context: dg.InputContext | dg.OutputContext, path: UPath, partition: str
    ) -> UPath:
        """The store's path of a partition, without its suffix."""
        del path
        return UPath(self._store.path(_asset(context), partition)).with_suffix("")

    def dump_to_path(self, context: dg.OutputContext, obj: pl.DataFrame, path: UPath) -> None:
        """Store one frame; `path` is what the store says it is."""
        del path
        keys = context.asset_partition_keys if context.has_asset_partitions else [None]
        self._dump(context, obj, keys)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.DataFrame:
        """Read one frame."""
        del context
        return pl.read_parquet(str(path))

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame) -> None:
        """Store a frame, split by day when the run spans several."""
        keys: Sequence[str | None] = context.asset_partition_keys if context.has_asset_partitions else [None]
        with errors_told_to_dagster():
            self._dump(context, obj, keys)
        folder = self._store.path(_asset(context), keys[0]) if len(keys) == 1 else self._store.folder
        context.add_output_metadata(
            {"path": dg.MetadataValue.path(str(folder)), "dagster/row_count": obj.height}
        )

    def _dump(self, context: dg.OutputContext, frame: pl.DataFrame, keys: Sequence[str | None]) -> None:
        asset = _asset(context)
        parts: Mapping[str | None, pl.DataFrame] = {keys[0]: frame} if len(keys) == 1 else by_day(frame, keys)
        contents = {key: content_hash(part) for key, part in parts.items()}
        version = self._store.version_of(asset, contents)
        for key, part in parts.items():
            self._store.write(asset, key, part, version=version, content=contents[key])


def by_day(frame: pl.DataFrame, keys: Sequence[str | None]) -> dict[str | None, pl.DataFrame]:
    """Split a frame by the UTC day of each row: partition key (YYYY-MM-DD) -> its rows, in their order.

    Raises:
        ValueError: A row is of none of the days; it would be lost.
    """
    days = frame.with_columns(pl.col(OBSERVED_AT).dt.strftime("%Y-%m-%d").alias("_day"))
    found = {
        str(key): part for (key,), part in days.partition_by("_day", as_dict=True, include_key=False).items()
    }
    if strays := sorted(found.keys() - {str(key) for key in keys}):
        raise ValueError(f"rows of {', '.join(strays)} in a run of {keys[0]} to {keys[-1]}")
    return {key: found.get(str(key), frame.clear()) for key in keys}


def frame_version(store: FramesStore, asset: str, frame: pl.DataFrame, keys: Sequence[str | None]) -> str:
    """The data version a frame will be stored under: what its asset reports with it."""
    parts: Mapping[str | None, pl.DataFrame] = {keys[0]: frame} if len(keys) == 1 else by_day(frame, keys)
    return store.version_of(asset, {key: content_hash(part) for key, part in parts.items()})


def _asset(context: dg.InputContext | dg.OutputContext) -> str:
    return "/".join(context.asset_key.path)
