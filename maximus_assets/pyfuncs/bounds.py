"""The bounds around a forecast's mean: what was learnt of the errors, at the scale of the present, moved by today's misses."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from maximus_assets.pyfuncs.intervals import changes, levels, missed, reaction, scales
from maximus_assets.pyfuncs.past import Array
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow


def offsets(
    states: Sequence[SeriesState], windows: Sequence[SeriesWindow], means: Array
) -> tuple[Array, Array]:
    """What to add to the means for their bounds, lower and upper, each of shape (series, horizon)."""
    horizon = means.shape[1]
    lower = np.array([state.lower[:horizon] for state in states]).reshape(means.shape)
    upper = np.array([state.upper[:horizon] for state in states]).reshape(means.shape)
    alike: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for row, (state, window) in enumerate(zip(states, windows, strict=True)):
        if len(state.sensitivity):
            alike[state.step_seconds, len(window.values), window.end_epoch_seconds].append(row)
    for (step, length, end), rows in alike.items():
        values = np.stack([windows[row].values for row in rows], axis=1)
        sensitivity = np.array([states[row].sensitivity for row in rows])
        ends = np.array([length])
        scale = scales(
            means[rows], levels(values, ends, step)[0], changes(values, ends, step)[0], sensitivity, step
        )
        below, above = _reactions([states[row] for row in rows], values, end, sensitivity[:, -1])
        lower[rows] *= scale * below[:, None]
        upper[rows] *= scale * above[:, None]
    return lower, upper


def _reactions(states: Sequence[SeriesState], values: Array, end: int, pace: Array) -> tuple[Array, Array]:
    """What the misses since they were learnt make of the widths of states that share a window's bins."""
    step, length = states[0].step_seconds, len(values)
    first = end - step * (length - 1)
    bins = max(len(state.today_lower) for state in states)
    actual, lower, upper = (np.full((bins, len(states)), np.nan) for _ in range(3))
    for column, state in enumerate(states):
        count = len(state.today_lower)
        lower[:count, column], upper[:count, column] = state.today_lower, state.today_upper
        # Bins of the window that the state gave bounds for; a state that is newer than the window has none.
        begin = (state.today_from - first) // step
        known = slice(max(begin, 0), min(max(begin + count, 0), length))
        piece = values[known, column]
        actual[known.start - begin : known.start - begin + len(piece), column] = piece
    below, above = missed(actual, lower, upper)
    return reaction(below, pace, step)[-1], reaction(above, pace, step)[-1]
