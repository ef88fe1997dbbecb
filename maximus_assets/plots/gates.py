"""What was measured against what is allowed: a verdict's figures as bars that end before a line, or do not.

Which figure of a verdict is bounded by which is found by their names: `limit_...` bounds the figures of the same unit from
above, and `..._least_ratio` bounds the figure it is named after from below. A verdict with no such pair has no picture.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.contracts.verdict import Verdict
from maximus_assets.plots.canvas import BAD, GOOD, INK, figure, style, to_png

_LEAST: Final = "_least_ratio"
_LIMIT: Final = "limit_"


@dataclass(frozen=True)
class Bounded:
    """One figure and its bound.

    Attributes:
        name: The figure's.
        value: What was measured.
        bound: What is allowed.
        is_most: Whether the bound is the most; else it is the least.
    """

    name: str
    value: float
    bound: float
    is_most: bool

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bound."""
        return self.value <= self.bound if self.is_most else self.value >= self.bound


def bounded(verdict: Verdict) -> tuple[Bounded, ...]:
    """The figures of a verdict that have a bound, in its order."""
    numbers = {
        name: float(value)
        for name, value in verdict.measured.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    found = []
    for name, value in numbers.items():
        if name.startswith(_LIMIT):
            unit = name.removeprefix(_LIMIT)
            found += [
                Bounded(other, measured, value, is_most=True)
                for other, measured in numbers.items()
                if other != name and other.endswith(f"_{unit}") and not other.endswith(_LEAST)
            ]
        elif name.endswith(_LEAST) and (other := name.replace(_LEAST, "_ratio")) in numbers:
            found.append(Bounded(other, numbers[other], value, is_most=False))
    return tuple(found)


def draw_gate(verdict: Verdict) -> bytes | None:
    """A bar for each bounded figure of a verdict, with its bound; None when it has none.

    Args:
        verdict: The verdict.
    """
    figures = bounded(verdict)
    if not figures:
        return None
    said = "passed" if verdict.passed else "NOT passed"
    made = figure(f"{verdict.name}: {said}", 0.9 + 0.42 * len(figures))
    axes = made.subplots()
    style(axes)
    places = np.arange(len(figures))
    colours = [GOOD if each.holds else BAD for each in figures]
    axes.barh(places, [each.value for each in figures], color=colours, height=0.55)
    for place, each in zip(places, figures, strict=True):
        axes.plot([each.bound, each.bound], [place - 0.4, place + 0.4], color=INK, linewidth=2.2)
        word = "at most" if each.is_most else "at least"
        axes.annotate(
            f" {each.value:.3g}, {word} {each.bound:.3g}",
            (max(each.value, each.bound), place),
            va="center",
            fontsize=9,
            color=INK,
        )
    most = max(max(each.value, each.bound) for each in figures)
    axes.set_xlim(min(0.0, *(each.value for each in figures)), 1.45 * most if most > 0 else 1.0)
    axes.set_yticks(places, [each.name for each in figures])
    axes.invert_yaxis()
    return to_png(made)
