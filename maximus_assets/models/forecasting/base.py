"""What every forecasting method is, and what all of them share: minimum history, error, seasons, the split of time.

What a method learns must be expressible as a component of `pyfuncs.components`, because numpy alone predicts from it
while serving. A method that cannot be expressed so belongs in another registered model, not here.

To add a method, write one file:

    class MyForecaster:
        name = "my_method"

        def minimum_bins(self, step_seconds: int) -> int: ...
        def fit(self, values, start_epoch_seconds, step_seconds, horizon_steps) -> Component: ...
        def refit(self, component, values, start_epoch_seconds, step_seconds, begins) -> list[Component]: ...

and list it in `methods.METHODS`. It is done when `tests/conformance/test_forecasters.py` passes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import Permanent
from maximus_assets.features.calendar import DAY_SECONDS, WEEK_SECONDS
from maximus_assets.pyfuncs.components import Component

Array = NDArray[np.float64]

HORIZON_SECONDS: Final = DAY_SECONDS
"""How far ahead is forecast and backtested; one step where a step is longer."""

MINIMUM_DAYS: Final = 3
"""History below which nothing is learnt: one day each to fit, to calibrate and to judge on."""

MINIMUM_BINS: Final = 48
"""The same as a number of bins, which binds where steps are long."""

MAXIMUM_MISSING_RATIO: Final = 0.5
"""Largest share of missing bins in a history that is learnt from."""


class ShortHistoryError(Permanent):
    """There is too little history, or too much of it is missing; says how much there is and how much is needed."""


class Forecaster(Protocol):
    """One forecasting method.

    `values` are grid bins in the series' unit, shape (n,), NaN where missing; bin i starts at
    `start_epoch_seconds + i * step_seconds`. The same arguments always give the same components.
    """

    @property
    def name(self) -> str:
        """The method, as it appears in a component and in the report."""
        ...

    def minimum_bins(self, step_seconds: int) -> int:
        """How many bins `fit` needs, at most half of them missing."""
        ...

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """Choose a structure and estimate it.

        A structure is chosen by validation on the bins from `validation_start(len(values))` on; what the backtest
        calibrates on are the same bins.

        Returns:
            A finite component.

        Raises:
            ShortHistoryError: There are fewer than `minimum_bins` bins, or more than half are missing.
        """
        ...

    def refit(
        self,
        component: Component,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """Keep a component's structure and dynamics, estimate what drifts anew; much cheaper than `fit`.

        Args:
            component: What `fit` gave.
            values: The whole history.
            start_epoch_seconds: Start of its first bin.
            step_seconds: Width of a bin.
            begins: Bins, ascending. The i-th component rests on `values[:begins[i]]` alone, whatever the others are;
                asked for together they may share their work.
        """
        ...


@dataclass(frozen=True)
class Parts:
    """How a history is split by time, in bins: fit | calibrate | judge.

    Attributes:
        calibration_start: First bin of the calibration part.
        judging_start: First bin of the judging part.
        length: Bins in all.
    """

    calibration_start: int
    judging_start: int
    length: int


def validation_start(length: int) -> int:
    """The first bin of a fitting part's last 35 %, on which structures are compared."""
    return length - round(0.35 * length)


def split(values: Array, step_seconds: int, judged_ratio: float | None = None) -> Parts:
    """Split a history by time.

    The judging part is the last 30 %, or seven days where those are more, but never above 40 %. What precedes it is
    split by `validation_start`.

    Args:
        values: Shape (n,), NaN where missing.
        step_seconds: Width of a bin, > 0.
        judged_ratio: Judge this share instead, in (0, 1).

    Raises:
        ShortHistoryError: There is less than `MINIMUM_DAYS` of history or half of it is missing.
    """
    length = len(values)
    required = max(MINIMUM_BINS, MINIMUM_DAYS * DAY_SECONDS // step_seconds)
    require_history(values, required, step_seconds)
    week = WEEK_SECONDS // step_seconds
    judged = min(max(round(0.3 * length), week), round(0.4 * length))
    if judged_ratio is not None:
        judged = round(judged_ratio * length)
    judging_start = length - judged
    return Parts(validation_start(judging_start), judging_start, length)


def require_history(values: Array, required_bins: int, step_seconds: int) -> None:
    """Refuse a history that is too short or too full of holes.

    Args:
        values: Shape (n,), NaN where missing.
        required_bins: Fewest bins.
        step_seconds: Width of a bin, for the message.

    Raises:
        ShortHistoryError: It is.
    """
    days = step_seconds / DAY_SECONDS
    if len(values) < required_bins:
        raise ShortHistoryError(
            f"{len(values) * days:.1f} days of history ({len(values)} bins of {step_seconds} s); "
            f"at least {required_bins * days:.1f} days ({required_bins} bins) are needed"
        )
    missing = float(np.isnan(values).mean())
    if missing > MAXIMUM_MISSING_RATIO:
        raise ShortHistoryError(
            f"{missing:.0%} of {len(values)} bins are missing; at most {MAXIMUM_MISSING_RATIO:.0%} may be"
        )


def day_steps(step_seconds: int) -> int:
    """Bins in a day, >= 1."""
    return max(1, DAY_SECONDS // step_seconds)


def week_steps(step_seconds: int) -> int:
    """Bins in a week, >= 7."""
    return max(7, WEEK_SECONDS // step_seconds)


def horizon_steps(step_seconds: int) -> int:
    """How many steps ahead a state forecasts, 1 to 288 for steps of 300 s and more."""
    return max(1, HORIZON_SECONDS // step_seconds)
