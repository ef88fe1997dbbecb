"""The parts a forecast is mixed from: what each method has learnt, as vectors and whole numbers.

A component is data; the arithmetic is in `recursion`, `direct`, `smoothing`, `rescaled` and `boosted`. A method that needs
another arithmetic adds a class here, its arithmetic beside it, and an entry in `kinds`.
"""

import re
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.features.calendar import DAY_SECONDS, WEEK_SECONDS, column_count
from maximus_assets.pyfuncs.direct import bucket_edges, column_total
from maximus_assets.pyfuncs.past import Array


@dataclass(frozen=True, eq=False)
class Component:
    """What all of them have.

    Attributes:
        method: Which method it is of.
        step_seconds: Width of a grid bin, > 0.
        minimum_bins: How many bins a window must span.
        horizon_steps: How many steps ahead it may be asked for, >= 1.
    """

    method: str
    step_seconds: int
    minimum_bins: int
    horizon_steps: int

    VECTORS: ClassVar[tuple[str, ...]] = ()
    """Fields that are vectors of finite float64."""

    TEXTS: ClassVar[tuple[str, ...]] = ("method",)
    """Fields that are words; what is neither is a whole number."""

    def __post_init__(self) -> None:
        """Refuse what could not be forecast with.

        Raises:
            BadInputError: A figure is out of its range or not finite, or lengths disagree.
        """
        for name in self.VECTORS:
            vector = getattr(self, name)
            if vector.ndim != 1 or vector.dtype != np.float64 or not np.isfinite(vector).all():
                raise self.error("must be a vector of finite float64", name)
            vector.flags.writeable = False
        if self.step_seconds <= 0 or self.minimum_bins < 1 or self.horizon_steps < 1:
            raise self.error("must be positive", "step_seconds, minimum_bins, horizon_steps")
        self.check()

    def check(self) -> None:
        """Refuse what only this kind can tell."""

    def error(self, why: str, column: str) -> BadInputError:
        """What is wrong, and where."""
        return BadInputError(why, source=f"{self.method} component", column=column)

    def equals(self, other: "Component") -> bool:
        """Whether every figure is the same, to the last bit."""
        return type(self) is type(other) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        )


@dataclass(frozen=True, eq=False)
class Recursion(Component):
    """A seasonal ARIMA around a regression on the calendar (`pyfuncs.recursion` states the model).

    Attributes:
        season_steps: Bins in the seasonal difference, 0 without one; at most `minimum_bins`.
        day_harmonics: Of the regression, >= 0.
        week_harmonics: Of the regression, >= 0.
        regression: Coefficients of `features.calendar.fourier_columns` in the series' unit; empty without regression.
        ar: Autoregressive coefficients from lag 1 on, ordinary differences folded in.
        ma: Moving-average coefficients from lag 1 on.
    """

    season_steps: int
    day_harmonics: int
    week_harmonics: int
    regression: Array
    ar: Array
    ma: Array

    VECTORS: ClassVar[tuple[str, ...]] = ("regression", "ar", "ma")

    def check(self) -> None:
        """Refuse a season beyond the window, and a regression of other columns."""
        if not 0 <= self.season_steps <= self.minimum_bins:
            raise self.error("must lie within the minimum", "season_steps")
        if len(self.regression) not in {0, column_count(self.day_harmonics, self.week_harmonics)}:
            raise self.error("does not match the harmonics", "regression")


@dataclass(frozen=True, eq=False)
class Direct(Component):
    """A linear forecast with coefficients of its own for each stretch of steps ahead (`pyfuncs.direct`).

    Attributes:
        coefficients: By stretch and column, one stretch after the other.
        day: Usual value at each bin of the day, from the Unix epoch on, in the series' unit.
        week: The same of the week.
        bounds: What is looked up in the past is brought back within these two, the lower first.
        events: Starts and ends of known events in epoch seconds, in order and without overlap, one after the other.
    """

    coefficients: Array
    day: Array
    week: Array
    bounds: Array
    events: Array

    VECTORS: ClassVar[tuple[str, ...]] = ("coefficients", "day", "week", "bounds", "events")

    def check(self) -> None:
        """Refuse lengths that disagree with the step and the horizon."""
        stretches = len(bucket_edges(self.horizon_steps, self.step_seconds)) - 1
        if len(self.coefficients) != stretches * column_total(self.step_seconds):
            raise self.error("does not match step and horizon", "coefficients")
        expected = max(1, DAY_SECONDS // self.step_seconds), max(7, WEEK_SECONDS // self.step_seconds)
        if (len(self.day), len(self.week)) != expected:
            raise self.error("must be as long as a day and a week", "day, week")
        if len(self.bounds) != 2 or self.bounds[0] > self.bounds[1]:
            raise self.error("must be a lower and an upper one", "bounds")
        if len(self.events) % 2 or (np.diff(self.events) <= 0.0).any():
            raise self.error("must be starts and ends in order", "events")

    @property
    def by_stretch(self) -> Array:
        """The coefficients, shape (stretches, columns)."""
        return self.coefficients.reshape(-1, column_total(self.step_seconds))


@dataclass(frozen=True, eq=False)
class Smoothing(Component):
    """Exponential smoothing of the level, with or without trend, around a season (`pyfuncs.smoothing` states the model).

    Attributes:
        gains: Of the level, of the trend, the trend's damping, and of the season when it is learnt anew; each within
            [0, 1], but the trend's within [-1, 1]: below zero a deviation fades.
        drift: What the trend starts from, in the series' unit a bin, one figure.
        season: What each bin of the season adds to the level, from the Unix epoch on, in the series' unit; its length is
            the season's, a single zero without one.
    """

    gains: Array
    drift: Array
    season: Array

    VECTORS: ClassVar[tuple[str, ...]] = ("gains", "drift", "season")

    def check(self) -> None:
        """Refuse gains under which errors would grow, and no season at all."""
        least = np.array([0.0, -1.0, 0.0, 0.0])
        if len(self.gains) != 4 or (self.gains < least).any() or (self.gains > 1.0).any():
            raise self.error("must be four within 0 and 1, the trend's within -1 and 1", "gains")
        if len(self.drift) != 1:
            raise self.error("must be one figure", "drift")
        if len(self.season) not in {1, max(1, DAY_SECONDS // self.step_seconds), self.week_steps}:
            raise self.error("must be of one bin, a day or a week", "season")

    @property
    def week_steps(self) -> int:
        """Bins in a week."""
        return max(7, WEEK_SECONDS // self.step_seconds)


@dataclass(frozen=True, eq=False)
class Rescaled(Component):
    """A season ago, times what the level has changed by since (`pyfuncs.rescaled` states the rule).

    Attributes:
        season_steps: How far back is looked, whole days in bins, >= 1.
        level_steps: Width of the mean that is the level, >= 1.
        around_steps: Width of the centred mean that is looked up, >= 1.
        half_life_steps: Steps ahead after which half of the correction is left; 0 where all of it stays.
    """

    season_steps: int
    level_steps: int
    around_steps: int
    half_life_steps: int

    def check(self) -> None:
        """Refuse what cannot be looked up."""
        if min(self.season_steps, self.level_steps, self.around_steps) < 1 or self.half_life_steps < 0:
            raise self.error("must be positive", "season_steps, level_steps, around_steps, half_life_steps")
        if self.minimum_bins < self.season_steps:
            raise self.error("must lie within the minimum", "season_steps")


@dataclass(frozen=True, eq=False)
class Boosted(Component):
    """What the fleet's one gradient-boosted model says of this series (`pyfuncs.boosted`).

    Attributes:
        fleet: SHA-256 of that model, which is kept beside the states.
    """

    fleet: str

    TEXTS: ClassVar[tuple[str, ...]] = ("method", "fleet")

    def check(self) -> None:
        """Refuse what names no model."""
        if not re.fullmatch(r"[0-9a-f]{64}", self.fleet):
            raise self.error("is no SHA-256 in hexadecimal", "fleet")
