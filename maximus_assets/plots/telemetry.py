"""What was observed: a day series by series with what is wrong marked, and four weeks with their season."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE, DEMAND_SENSORS
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.features.grid import to_grid
from maximus_assets.plots.canvas import BAD, DATA, FAINT, GAP, clock_axis, figure, legend, note, style, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_SERIES: Final = 8
"""Panels in a picture of a day; the rest are counted in its title."""

MOST_HISTORIES: Final = 4
_PANEL_INCHES: Final = 1.45
_WEEKDAYS: Final = 5


def draw_day(
    frame: pl.DataFrame, start: datetime, end: datetime, frozen: pl.DataFrame, flagged: Sequence[str] = ()
) -> bytes:
    """A stretch of telemetry, one panel a series: five-minute means, gaps and frozen spans marked.

    Args:
        frame: A telemetry frame.
        start: From when.
        end: Until when.
        frozen: Frozen spans, columns target, sensor, start, end (`telemetry.quality_frozen.frozen_runs`).
        flagged: Series (`target/sensor`) to show before the others: a check spoke of them.
    """
    grid = to_grid(frame.filter(pl.col(OBSERVED_AT).is_between(start, end, closed="left")))
    series = grid.partition_by(TARGET, SENSOR, as_dict=True)
    ill = {*flagged, *(f"{t}/{s}" for t, s in frozen.select(TARGET, SENSOR).iter_rows())}
    # What is wrong first, then demand: a picture of eight of a thousand series must show what matters.
    order = sorted(
        series,
        key=lambda key: (f"{key[0]}/{key[1]}" not in ill, key[1] not in DEMAND_SENSORS, key),
    )
    shown = order[:MOST_SERIES]
    rows = max(1, (len(shown) + 1) // 2)
    more = f" (first {len(shown)} of {len(order)} series)" if len(order) > len(shown) else ""
    made = figure(f"{start:%A %d %B %Y}, UTC{more}", 0.6 + _PANEL_INCHES * rows)
    panels = made.subplots(rows, 2, squeeze=False).ravel()
    for axes, key in zip(panels, shown, strict=False):
        target, sensor = str(key[0]), str(key[1])
        is_this = (pl.col(TARGET) == target) & (pl.col(SENSOR) == sensor)
        _draw_series(axes, series[key], start, end, frozen.filter(is_this))
        known = CATALOGUE.get(sensor)
        style(axes, f"{target} / {sensor}", known.unit if known else "")
        if f"{target}/{sensor}" in ill:
            axes.title.set_color(BAD)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    if not shown:
        note(panels[0], "nothing was observed")
    return to_png(made)


def draw_history(table: pl.DataFrame) -> bytes:
    """Demand over the weeks that are learnt from, and the shape of its day.

    Args:
        table: A feature table, or any telemetry frame on the grid.
    """
    demand = table.filter(pl.col(SENSOR).is_in(DEMAND_SENSORS))
    series = demand.partition_by(TARGET, SENSOR, as_dict=True)
    shown = sorted(series)[:MOST_HISTORIES]
    more = f" (first {len(shown)} of {len(series)} series)" if len(series) > len(shown) else ""
    made = figure(
        f"What is learnt from: demand, and the shape of its day{more}", 0.6 + 1.9 * max(1, len(shown))
    )
    panels = made.subplots(max(1, len(shown)), 2, squeeze=False, width_ratios=[2.2, 1])
    for (left, right), key in zip(panels, shown, strict=False):
        rows = series[key].sort(OBSERVED_AT)
        at = rows[OBSERVED_AT].dt.replace_time_zone(None).to_numpy()
        values = rows[VALUE].fill_null(np.nan).to_numpy()
        left.plot(at, values, color=DATA, linewidth=0.6)
        missing = float(np.isnan(values).mean())
        known = CATALOGUE.get(str(key[1]))
        style(left, f"{key[0]} / {key[1]}, {missing:.1%} missing", known.unit if known else "")
        clock_axis(left, timedelta(seconds=GRID_SECONDS * len(values)))
        _draw_shape(right, rows)
    if not shown:
        for axes in panels.ravel():
            style(axes)
            note(axes, "there is no demand series yet")
    return to_png(made)


def _draw_series(
    axes: "Axes", rows: pl.DataFrame, start: datetime, end: datetime, frozen: pl.DataFrame
) -> None:
    step = timedelta(seconds=GRID_SECONDS)
    first = int(start.timestamp()) // GRID_SECONDS
    count = max(1, -(-int(end.timestamp()) // GRID_SECONDS) - first)
    values = np.full(count, np.nan)
    seen = rows.drop_nulls(VALUE)
    values[(seen[OBSERVED_AT].dt.epoch("s") // GRID_SECONDS - first).to_numpy()] = seen[VALUE].to_numpy()
    at = np.datetime64(start.replace(tzinfo=None)) + np.arange(count) * np.timedelta64(step)
    axes.plot(at, values, color=DATA, linewidth=0.9)
    edges = np.diff(np.concatenate([[0], np.isnan(values).astype(np.int8), [0]]))
    for begin, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        axes.axvspan(at[begin], at[stop - 1] + np.timedelta64(step), color=GAP, alpha=0.35, linewidth=0)
    for begins, ends in frozen.select("start", "end").iter_rows():
        axes.axvspan(
            begins.replace(tzinfo=None), ends.replace(tzinfo=None), color=BAD, alpha=0.25, linewidth=0
        )
    axes.set_xlim(at[0], at[-1] + np.timedelta64(step))
    clock_axis(axes, end - start)


def _draw_shape(axes: "Axes", rows: pl.DataFrame) -> None:
    """The median of each hour of the day, working days and weekends, with the middle four fifths of working days."""
    day = pl.col(OBSERVED_AT).dt.weekday() <= _WEEKDAYS
    hours = (
        rows.drop_nulls(VALUE)
        .group_by(day.alias("works"), pl.col(OBSERVED_AT).dt.hour().alias("hour"))
        .agg(
            pl.col(VALUE).median().alias("middle"),
            pl.col(VALUE).quantile(0.1).alias("low"),
            pl.col(VALUE).quantile(0.9).alias("high"),
        )
        .sort("hour")
    )
    for works, colour, label in ((True, DATA, "Mon-Fri"), (False, FAINT, "weekend")):
        part = hours.filter(pl.col("works") == works)
        if part.is_empty():
            continue
        axes.plot(
            part["hour"].to_numpy(), part["middle"].to_numpy(), color=colour, linewidth=1.4, label=label
        )
        if works:
            low, high = part["low"].to_numpy(), part["high"].to_numpy()
            axes.fill_between(part["hour"].to_numpy(), low, high, color=colour, alpha=0.15, linewidth=0)
    style(axes, "by hour of day (UTC)")
    axes.set_xticks([0, 6, 12, 18])
    if not hours.is_empty():
        legend(axes)
