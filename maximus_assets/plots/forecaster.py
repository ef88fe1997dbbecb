"""What was learnt of a series, and whether to trust it.

Four panels: the forecast fan, what the errors leave over, how often intervals hold, how the methods compare. The fan and
the errors are the shipped prediction's own (`pyfuncs.forecasting.predict`), asked as the loop asks it; the errors are over
days the coefficients were fitted on and say what structure is left, not how good it will be. That is what the two panels
from the backtest say.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.models.forecasting.scoring import horizon_name
from maximus_assets.plots.canvas import (
    BAD,
    DATA,
    FAINT,
    FORECAST,
    GOOD,
    clock_axis,
    figure,
    legend,
    note,
    style,
    to_png,
)
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Array = NDArray[np.float64]

WINDOW_DAYS: Final = 8
"""Length of the windows it is asked with: what the loop keeps."""

_DAY: Final = 86_400
_HOUR: Final = 3600
_SHOWN_DAYS: Final = 4
_ERROR_DAYS: Final = 6
_LEAD_SECONDS: Final = 6 * _HOUR
_LAGS: Final = 36


@dataclass(frozen=True, eq=False)
class _History:
    """A series on its grid: values oldest first, NaN where missing, and the start of the first bin."""

    values: Array
    start: int
    step: int

    def window(self, state: SeriesState, until: int) -> SeriesWindow:
        """The window that ends before bin `until`."""
        first = max(0, until - WINDOW_DAYS * _DAY // self.step)
        return SeriesWindow(
            state.target, state.sensor, self.start + (until - 1) * self.step, self.values[first:until]
        )

    def instants(self, first: int, count: int) -> NDArray[np.datetime64]:
        """Starts of `count` bins from bin `first` on."""
        return np.asarray(self.start + self.step * np.arange(first, first + count), dtype="datetime64[s]")


def draw_forecasters(learnt: LearntForecaster, grid: pl.DataFrame, most: int = 3) -> dict[str, bytes]:
    """A picture of each of the first few series learnt.

    Args:
        learnt: What was learnt.
        grid: What it was learnt from, on the grid.
        most: How many series.

    Returns:
        `target/sensor` -> PNG.
    """
    pictures = {}
    for state in learnt.states[:most]:
        is_this = (pl.col(TARGET) == state.target) & (pl.col(SENSOR) == state.sensor)
        rows = grid.filter(is_this).sort(OBSERVED_AT)
        if rows.is_empty():
            continue
        history = _History(
            rows[VALUE].fill_null(np.nan).to_numpy().astype(np.float64),
            int(rows[OBSERVED_AT].dt.epoch("s")[0]),
            state.step_seconds,
        )
        pictures[f"{state.target}/{state.sensor}"] = _draw(
            state, history, learnt.report.filter(is_this), learnt.fleet
        )
    return pictures


def hourly_errors(
    states: Mapping[tuple[str, str], SeriesState],
    state: SeriesState,
    history: _History,
    fleet: BoostedFleet | None,
) -> Array:
    """What came minus what was expected one to six hours earlier, as hourly means over the last days.

    Args:
        states: Holds `state` under its series.
        state: The series.
        history: Its history.
        fleet: The model it may have a share of.

    Returns:
        Oldest first, NaN where nothing was seen or expected; empty when the history is too short.
    """
    lead = min(_LEAD_SECONDS // history.step, state.horizon_steps)
    per_hour = _HOUR // history.step
    lead -= lead % per_hour if per_hour else lead
    if lead < 1:
        return np.empty(0)
    last = len(history.values) - lead
    first = max(state.minimum_bins, last - _ERROR_DAYS * _DAY // history.step)
    origins = list(range(last, first - 1, -lead))[::-1]
    answers = predict(states, [history.window(state, until) for until in origins], lead, fleet=fleet)
    errors = [
        history.values[until : until + lead] - got.mean if got.status == "ok" else np.full(lead, np.nan)
        for until, got in zip(origins, answers, strict=True)
    ]
    if not errors:
        return np.empty(0)
    return _means(np.concatenate(errors).reshape(-1, per_hour))


def autocorrelation(errors: Array, lags: int) -> Array:
    """Sample autocorrelation at lags 1 to `lags` over what is seen (Box, Jenkins, Reinsel, Time Series Analysis, 2.1).

    Args:
        errors: NaN where missing, shape (n,).
        lags: At most n - 1.

    Returns:
        Shape (lags,), each within [-1, 1]; zeros for errors that do not vary.
    """
    is_seen = np.isfinite(errors)
    centred = np.where(is_seen, errors - (errors[is_seen].mean() if is_seen.any() else 0.0), 0.0)
    variance = float(centred @ centred)
    if variance == 0.0:
        return np.zeros(lags)
    return np.array([float(centred[lag:] @ centred[:-lag]) / variance for lag in range(1, lags + 1)])


def _draw(state: SeriesState, history: _History, report: pl.DataFrame, fleet: BoostedFleet | None) -> bytes:
    states = {(state.target, state.sensor): state}
    made = figure(f"{state.target} / {state.sensor}: forecast by {state.method}", 5.2)
    panels = made.subplot_mosaic([["fan"] * 3, ["errors", "coverage", "methods"]], height_ratios=[1.2, 1])
    _draw_fan(panels["fan"], states, state, history, fleet)
    _draw_errors(panels["errors"], hourly_errors(states, state, history, fleet))
    _draw_coverage(panels["coverage"], report.filter("is_chosen"))
    _draw_methods(panels["methods"], report)
    return to_png(made)


def _draw_fan(
    axes: "Axes",
    states: Mapping[tuple[str, str], SeriesState],
    state: SeriesState,
    history: _History,
    fleet: BoostedFleet | None,
) -> None:
    count = len(history.values)
    past = min(count, _SHOWN_DAYS * _DAY // history.step)
    ahead = min(state.horizon_steps, _DAY // history.step)
    axes.plot(
        history.instants(count - past, past),
        history.values[-past:],
        color=DATA,
        linewidth=0.8,
        label="observed",
    )
    (got,) = predict(states, [history.window(state, count)], ahead, fleet=fleet)
    known = CATALOGUE.get(state.sensor)
    style(axes, "the last days, and what is expected of the next", known.unit if known else "")
    if got.status != "ok":
        note(axes, f"no forecast: {got.status}")
        return
    future = history.instants(count, ahead)
    axes.plot(future, got.mean, color=FORECAST, linewidth=1.4, label="expected")
    label = f"{INTERVAL_COVERAGE:.0%} interval"
    axes.fill_between(future, got.lower, got.upper, color=FORECAST, alpha=0.2, linewidth=0, label=label)
    clock_axis(axes, timedelta(seconds=history.step * (past + ahead)))
    legend(axes)


def _draw_errors(axes: "Axes", errors: Array) -> None:
    style(axes, "left in hourly errors (ACF)")
    seen = int(np.isfinite(errors).sum())
    lags = min(_LAGS, len(errors) - 1)
    if lags < 2 or seen < _LAGS // 2:
        note(axes, "too few errors")
        return
    found = autocorrelation(errors, lags)
    bound = 1.96 / np.sqrt(seen)
    axes.axhspan(-bound, bound, color=FAINT, alpha=0.25, linewidth=0)
    axes.bar(
        np.arange(1, lags + 1),
        found,
        width=0.7,
        color=[BAD if abs(each) > 2 * bound else DATA for each in found],
    )
    axes.set_ylim(-1, 1)
    axes.set_xlabel("hours apart; grey: chance", fontsize=8)


def _draw_coverage(axes: "Axes", chosen: pl.DataFrame) -> None:
    style(axes, f"inside the {INTERVAL_COVERAGE:.0%} interval")
    rows = chosen.drop_nulls("coverage").sort("horizon_hours")
    if rows.is_empty():
        note(axes, "nothing was judged")
        return
    places = np.arange(rows.height)
    spread = 1.96 * rows["coverage_error"].fill_null(0.0).to_numpy()
    axes.axhline(INTERVAL_COVERAGE, color=GOOD, linewidth=1.2, linestyle="--")
    axes.errorbar(
        places, rows["coverage"].to_numpy(), yerr=spread, color=FORECAST, fmt="o", markersize=5, capsize=3
    )
    axes.set_xticks(places, [horizon_name(hours) for hours in rows["horizon_hours"]])
    axes.set_xlim(-0.5, rows.height - 0.5)
    axes.set_ylim(0.5, 1.03)
    axes.set_xlabel("ahead", fontsize=8)


def _draw_methods(axes: "Axes", report: pl.DataFrame) -> None:
    """Error of each method relative to the seasonal-naive, mean over horizons, the best first."""
    style(axes, "error by method (* chosen)")
    rows = (
        report.drop_nulls("mase")
        .group_by("method")
        .agg(pl.col("mase").mean(), pl.col("is_chosen").any())
        .sort("mase", "method")
        .head(8)
    )
    if rows.is_empty():
        note(axes, "nothing was judged")
        return
    places = np.arange(rows.height)
    colours = [FORECAST if chosen else FAINT for chosen in rows["is_chosen"]]
    axes.barh(places, rows["mase"].to_numpy(), color=colours, height=0.65)
    axes.axvline(1.0, color=BAD, linewidth=1.0, linestyle="--")
    names = [
        f"{name} *" if chosen else name for name, chosen in rows.select("method", "is_chosen").iter_rows()
    ]
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlabel("MASE, 1: a season repeated", fontsize=8)


def _means(rows: Array) -> Array:
    """The mean of each row over what is seen of it, NaN where nothing is."""
    is_seen = np.isfinite(rows)
    count = is_seen.sum(axis=1)
    sums = np.where(is_seen, rows, 0.0).sum(axis=1)
    means = np.full(len(rows), np.nan)
    np.divide(sums, count, out=means, where=count > 0)
    return means
