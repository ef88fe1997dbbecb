"""How an asset's frame gets to disk: the one writer of the frames store.

`dg.UPathIOManager` refuses an output that spans several partitions, which is what a single-run backfill produces: such a
run hands over a `Staging`, whose partitions are on disk already and are put in their places here.
"""

from collections.abc import Sequence

import dagster as dg
import polars as pl
from upath import UPath

from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.frames import FramesStore, content_hash
from maximus_assets.defs.staging import Staging


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
        (key,) = context.asset_partition_keys if context.has_asset_partitions else [None]
        self._write(_asset(context), key, obj)

    def load_from_path(self, context: dg.InputContext, path: UPath) -> pl.DataFrame:
        """Read one frame."""
        del context
        return pl.read_parquet(str(path))

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | Staging) -> None:
        """Store a frame, or put the partitions of a run in their places."""
        keys: Sequence[str | None] = context.asset_partition_keys if context.has_asset_partitions else [None]
        with errors_told_to_dagster():
            if isinstance(obj, Staging):
                obj.commit()
                rows = obj.rows
            else:
                (key,) = keys
                self._write(_asset(context), key, obj)
                rows = obj.height
        folder = self._store.path(_asset(context), keys[0]) if len(keys) == 1 else self._store.folder
        context.add_output_metadata({"path": dg.MetadataValue.path(str(folder)), "dagster/row_count": rows})

    def _write(self, asset: str, key: str | None, frame: pl.DataFrame) -> None:
        content = content_hash(frame)
        version = self._store.version_of(asset, {key: content})
        self._store.write(asset, key, frame, version=version, content=content)


def frame_version(store: FramesStore, asset: str, frame: pl.DataFrame, key: str | None = None) -> str:
    """The data version a frame will be stored under: what its asset reports with it."""
    return store.version_of(asset, {key: content_hash(frame)})


def _asset(context: dg.InputContext | dg.OutputContext) -> str:
    return "/".join(context.asset_key.path)
