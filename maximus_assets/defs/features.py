"""The feature table: the last four weeks of every series on the grid.

Telemetry's window is by the calendar; a file of the user's own may be years old, so each of its series has a window by
its own clock.
"""

from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET
from maximus_assets.defs.automation import when_gates_pass
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.io_manager import frame_version
from maximus_assets.defs.partitions import HISTORY_DAYS
from maximus_assets.defs.pictures import PICTURE, picture
from maximus_assets.defs.reading import records
from maximus_assets.defs.resources import FramesResource
from maximus_assets.defs.telemetry import MISSING, OWNERS, columns_metadata
from maximus_assets.features.grid import to_grid
from maximus_assets.features.table import CALENDAR_COLUMNS, RECIPE_HASH
from maximus_assets.features.table import feature_table as make_feature_table
from maximus_assets.plots.telemetry import draw_history
from maximus_assets.telemetry.frames import empty
from maximus_assets.telemetry.record import in_words

HISTORY: Final = timedelta(days=HISTORY_DAYS)


def recent_history(store: FramesStore) -> pl.DataFrame:
    """What is learnt from: telemetry of the last 28 days stored, and the last 28 days of each imported series.

    A file is refused when its series is watched, but a target may come to be watched after the file. Then the watched
    history counts alone: a mean of the two would be of neither.

    Args:
        store: The frames.

    Returns:
        A telemetry frame, watched series on the grid already; empty when nothing is stored.
    """
    days = store.days("telemetry")
    frames = [empty()]
    if days:
        first = days[-1] - HISTORY + timedelta(days=1)
        # Day by day: a bin never spans midnight, so the grid of a month is the days' grids under one another, and a month
        # of a large fleet's samples would not fit into memory.
        frames += [to_grid(store.read("telemetry", day.isoformat())) for day in days if day >= first]
    if imported := store.partitions("imported_telemetry"):
        last = pl.col(OBSERVED_AT).max().over(TARGET, SENSOR)
        files = store.read_all("imported_telemetry", imported).filter(pl.col(OBSERVED_AT) > last - HISTORY)
        watched = pl.concat(frames).select(TARGET, SENSOR).unique()
        frames.append(files.join(watched, on=[TARGET, SENSOR], how="anti", maintain_order="left"))
    return pl.concat(frames, how="vertical")


@dg.asset(
    deps=["telemetry", "imported_telemetry"],
    io_manager_key="frame_files",
    group_name="features",
    owners=OWNERS,
    kinds={"polars", "parquet"},
    code_version=RECIPE_HASH[:12],
    automation_condition=when_gates_pass(),
    description=(
        "What is learnt from: the last four weeks of every series as means of five-minute bins, with the phase of day and "
        "week. What was not seen stays missing; the day that is not over is not in it."
    ),
    metadata={**columns_metadata(*CALENDAR_COLUMNS), "recipe": RECIPE_HASH},
)
def feature_table(frames: FramesResource) -> dg.MaterializeResult[pl.DataFrame]:
    """Read what is stored, put it on the grid, and add the calendar."""
    store = frames.store()
    with errors_told_to_dagster():
        table = make_feature_table(recent_history(store))
    series = table.group_by(TARGET, SENSOR).agg(
        pl.len().alias("bins"),
        pl.col("value").is_null().mean().round(4).alias("missing_ratio"),
        pl.col(OBSERVED_AT).min().alias("first"),
        pl.col(OBSERVED_AT).max().alias("last"),
    )
    days = store.days("telemetry")
    window = [day for day in days if day > days[-1] - HISTORY]
    missing = in_words([one.record for one in records(store, window).values()])
    return dg.MaterializeResult(
        value=table,
        data_version=dg.DataVersion(frame_version(store, "feature_table", table)),
        metadata={
            PICTURE: picture(draw_history(table), "demand of four weeks and the shape of its day"),
            **({MISSING: missing} if missing else {}),
            "series": series.height,
            "summary": dg.MetadataValue.md(as_markdown(series.sort(TARGET, SENSOR))),
        },
    )


def as_markdown(frame: pl.DataFrame, rows: int = 200) -> str:
    """The first rows of a frame as a Markdown table, for Dagster's metadata; figures with four significant digits."""

    def text(value: object) -> str:
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    lines = [f"| {' | '.join(frame.columns)} |", f"|{'---|' * frame.width}"]
    lines += [f"| {' | '.join(text(value) for value in row)} |" for row in frame.head(rows).iter_rows()]
    if frame.height > rows:
        lines.append(f"\n{frame.height - rows} more rows.")
    return "\n".join(lines)
