"""Prediction by one gradient-boosted model for a whole fleet: numpy and xgboost, and how it is kept as bytes.

What a tree is asked is never how high a series is but how the coming bins will differ from yesterday's (brought towards
the present level), in multiples of how much the series usually differs from yesterday; so one model serves series of any
unit and size (Montero-Manso and Hyndman, Principles and Algorithms for Forecasting Groups of Time Series, International
Journal of Forecasting 37, 2021). The trees answer at a few steps ahead and are interpolated between them; what is
interpolated is the difference from yesterday, so the day keeps its shape at every bin.

xgboost is imported when a model is first read: a second and some 80 MB, which a process without one is spared. It uses
one thread, so that the loop beside it keeps its cores.

Learning belongs to `models.forecasting.boosted`.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.pyfuncs.boosted_features import SOURCE, Array, Recipe, features, is_warm, stack
from maximus_assets.pyfuncs.components import Boosted
from maximus_assets.pyfuncs.state import SeriesState

if TYPE_CHECKING:
    import xgboost

FORMAT_VERSION: Final = 1
_MAGIC: Final = b"maximus-boosted\n"
_HEADER_BYTES: Final = len(_MAGIC) + hashlib.sha256().digest_size
_ATTRIBUTE: Final = "maximus_boosted_{}"


class BoostedFleet:
    """One model over all series of a fleet.

    Args:
        booster: The trees; their answer is a difference from `Features.base` in multiples of `Features.scale`.
        recipe: What they were learnt for.
    """

    def __init__(self, booster: "xgboost.Booster", recipe: Recipe) -> None:
        self.recipe = recipe
        self._booster = booster
        booster.set_param({"nthread": 1})

    def predict(self, windows: Sequence[Array], end_epoch_seconds: Sequence[int] | None = None) -> Array:
        """Forecast the bins after each window, where it is long and whole enough.

        Args:
            windows: Bins in any unit, oldest first, NaN where missing, each of shape (n,).
            end_epoch_seconds: Start of the last bin of each; may be left out where the model has no clock.

        Returns:
            Shape (windows, horizon_steps); NaN in the row of a window that spans fewer than `minimum_bins` bins, or
            lacks more than half of its last `minimum_bins`.

        Raises:
            BadInputError: The model has a clock and the instants are missing or not as many as windows.
        """
        recipe = self.recipe
        ends = _instants(end_epoch_seconds, len(windows), recipe)
        answer = np.full((len(windows), recipe.horizon_steps), np.nan)
        warm = [index for index, window in enumerate(windows) if is_warm(window, recipe)]
        if warm:
            answer[warm] = self.ahead([windows[index] for index in warm], ends[warm], recipe.horizon_steps)
        return answer

    def ahead(self, windows: Sequence[Array], end_epoch_seconds: NDArray[np.int64], steps: int) -> Array:
        """Forecast the bins after each window, however hollow it is.

        Args:
            windows: Bins in any unit, oldest first, NaN where missing, each of shape (n,).
            end_epoch_seconds: Start of the last bin of each, shape (windows,).
            steps: How many, 1 to `horizon_steps`; the fewer, the cheaper, and each as it is among all.

        Returns:
            Shape (windows, steps); NaN in the row of a window that has no bin within the model's memory.
        """
        recipe = self.recipe
        stacked = stack(windows, recipe.memory_bins)
        seen = np.flatnonzero(~np.isnan(stacked).all(axis=1))
        answer = np.full((len(stacked), steps), np.nan)
        if len(seen):
            known = stacked if len(seen) == len(stacked) else stacked[seen]
            found = features(known, end_epoch_seconds[seen], recipe, steps)
            flat = found.columns.reshape(-1, found.columns.shape[2])
            far = self._booster.inplace_predict(flat).reshape(len(seen), -1).astype(np.float64)
            between = _interpolated(far, recipe.knots_within(steps), np.arange(steps))
            answer[seen] = found.base[:, :steps] + found.scale[:, None] * between
        return answer

    @property
    def trees(self) -> int:
        """How many there are."""
        return int(self._booster.num_boosted_rounds())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the model's bytes, by which a series' state names it."""
        return hashlib.sha256(self.dump()[_HEADER_BYTES:]).hexdigest()

    def dump(self) -> bytes:
        """The model and its recipe: a digest, then xgboost's own binary JSON (UBJ), which runs no code when it is read.

        xgboost ends the whole process when it reads bytes that are damaged, so it is only ever given whole ones.
        """
        self._booster.set_attr(
            **{
                _ATTRIBUTE.format(name): str(int(value))
                for name, value in {**asdict(self.recipe), "format_version": FORMAT_VERSION}.items()
            }
        )
        content = bytes(self._booster.save_raw("ubj"))
        return _MAGIC + hashlib.sha256(content).digest() + content


def require(states: Iterable[SeriesState], fleet: BoostedFleet | None) -> None:
    """Refuse states whose fleet's model is not at hand.

    Args:
        states: The states.
        fleet: The model there is, if any.

    Raises:
        BadInputError: A state names another model; names the series.
    """
    for state in states:
        for component in state.components:
            if not isinstance(component, Boosted):
                continue
            if fleet is not None and fleet.digest == component.fleet and fleet.recipe.fits(component):
                continue
            there = "there is none" if fleet is None else f"there is {fleet.digest[:12]}"
            raise BadInputError(
                f"needs the fleet's boosted model {component.fleet[:12]} for {component.horizon_steps} steps of "
                f"{component.step_seconds} s; {there}",
                source=f"state of {state.target}/{state.sensor}",
                column="fleet",
            )


def load(content: bytes) -> BoostedFleet:
    """Read what `BoostedFleet.dump` wrote.

    Raises:
        BadInputError: It is damaged, or of another format.
    """
    digest, model = content[len(_MAGIC) : _HEADER_BYTES], content[_HEADER_BYTES:]
    if not content.startswith(_MAGIC) or hashlib.sha256(model).digest() != digest:
        raise BadInputError("is damaged or of another format", source=SOURCE)
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    found = {name: booster.attr(_ATTRIBUTE.format(name)) for name in ("format_version", *_FIELDS)}
    if found.pop("format_version") != str(FORMAT_VERSION) or None in found.values():
        raise BadInputError(f"is not of format {FORMAT_VERSION}", source=SOURCE)
    figures = {name: int(value) for name, value in found.items() if value is not None}
    recipe = Recipe(
        step_seconds=figures["step_seconds"],
        horizon_steps=figures["horizon_steps"],
        memory_bins=figures["memory_bins"],
        has_clock=bool(figures["has_clock"]),
    )
    return BoostedFleet(booster, recipe)


_FIELDS: Final = ("step_seconds", "horizon_steps", "memory_bins", "has_clock")


def _interpolated(ahead: Array, knots: NDArray[np.int64], steps: NDArray[np.int64]) -> Array:
    """Straight lines between the knots, shape (m, steps)."""
    if np.array_equal(knots, steps):
        return ahead
    right = np.clip(np.searchsorted(knots, steps), 1, len(knots) - 1)
    left = right - 1
    share = (steps - knots[left]) / (knots[right] - knots[left])
    return np.asarray(ahead[:, left] * (1.0 - share) + ahead[:, right] * share)


def _instants(given: Sequence[int] | None, count: int, recipe: Recipe) -> NDArray[np.int64]:
    if given is None and not recipe.has_clock:
        return np.zeros(count, dtype=np.int64)
    if given is None or len(given) != count:
        raise BadInputError("needs the last instant of every window", source=SOURCE)
    return np.asarray(given, dtype=np.int64)
