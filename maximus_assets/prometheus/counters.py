"""How much a raw counter grew, as PromQL's `increase` and `rate` tell it.

Where a server answers, PromQL does this itself. This is for raw samples that are already here. A counter only grows; one
that is smaller than before was reset to zero in between, so what it shows is all growth since. The samples seldom reach
the ends of the range, so the growth is extended to them, but never below zero and by no more than half a gap where the
series clearly began or ended inside.

Source: `extrapolatedRate` in Prometheus 2.42, promql/functions.go; manual, "Functions", `increase`.
"""

from typing import Final

import numpy as np

from maximus_assets.prometheus.answers import Floats

_REACH: Final = 1.1
"""A gap to the end of the range of up to this many mean gaps is taken for an ordinary one."""


def growth_with_resets(values: Floats) -> float:
    """Growth from the first sample to the last, resets undone.

    Args:
        values: Shape (n,), n >= 1, finite, >= 0, in order of time.
    """
    steps = np.diff(values)
    return float(values[-1] - values[0] + values[:-1][steps < 0].sum())


def increase(seconds: Floats, values: Floats, start: float, end: float) -> float | None:
    """Growth over a range, extended to its ends.

    Args:
        seconds: Unix time of each sample within the range, shape (n,), ascending.
        values: The counter, shape (n,), finite, >= 0.
        start: Unix time the range begins at.
        end: Unix time it ends at, > start.

    Returns:
        The growth, in the counter's unit; None with fewer than two samples, which say nothing of growth.
    """
    if len(values) < 2:
        return None
    growth = growth_with_resets(values)
    sampled = float(seconds[-1] - seconds[0])
    mean_gap = sampled / (len(values) - 1)
    before, after = float(seconds[0]) - start, end - float(seconds[-1])
    if growth > 0:
        # Drawn back in a straight line, the counter would have been zero here; it cannot have grown before that.
        before = min(before, sampled * float(values[0]) / growth)
    covered = sampled
    for gap in (before, after):
        covered += gap if gap < _REACH * mean_gap else mean_gap / 2
    return growth * covered / sampled


def rate(seconds: Floats, values: Floats, start: float, end: float) -> float | None:
    """Mean growth per second over a range; arguments as `increase`."""
    grown = increase(seconds, values, start, end)
    return None if grown is None else grown / (end - start)
