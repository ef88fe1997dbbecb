"""What a forecaster remembers of one series, and how that is written to one file.

Numbers and names only: the file is a NumPy archive without pickled objects, so that loading it runs no code. A state is
complete: with a window of recent values it yields a forecast, whatever library it was learnt with.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.features.calendar import column_count

FORMAT_VERSION: Final = 1

_TEXTS: Final = ("target", "sensor", "method")
_INTEGERS: Final = ("step_seconds", "minimum_bins", "season_steps", "day_harmonics", "week_harmonics")
_ARRAYS: Final = ("regression", "ar", "ma", "lower", "upper")


@dataclass(frozen=True, eq=False)
class SeriesState:
    """One series' forecaster (the model is stated in `pyfuncs.recursion`).

    Attributes:
        target: The target; empty until the state is given to a series.
        sensor: The sensor; empty likewise.
        method: How it forecasts (`seasonal_naive`, `sarima`).
        step_seconds: Width of a grid bin, > 0.
        minimum_bins: How many bins a window must span, at most half of them missing; a shorter one is cold.
        season_steps: Bins in the seasonal difference, 0 without one; at most `minimum_bins`.
        day_harmonics: Of the regression, >= 0.
        week_harmonics: Of the regression, >= 0.
        regression: Coefficients of `features.calendar.fourier_columns` in the series' unit; empty without regression.
        ar: Autoregressive coefficients from lag 1 on, ordinary differences folded in.
        ma: Moving-average coefficients from lag 1 on.
        floor: No forecast lies below it, in the series' unit; minus infinity for none.
        lower: For each step ahead, what to add to the mean for the lower bound, <= 0; its length is how many steps
            ahead this state may be asked for.
        upper: The same for the upper bound, >= 0.
    """

    target: str
    sensor: str
    method: str
    step_seconds: int
    minimum_bins: int
    season_steps: int
    day_harmonics: int
    week_harmonics: int
    regression: NDArray[np.float64]
    ar: NDArray[np.float64]
    ma: NDArray[np.float64]
    floor: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Refuse what could not be forecast with.

        Raises:
            BadInputError: A figure is out of its range or not finite, or lengths disagree.
        """
        source = f"state of {self.target}/{self.sensor}"
        for name in _ARRAYS:
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
                raise BadInputError("must be a vector of finite float64", source=source, column=name)
            array.flags.writeable = False
        if self.step_seconds <= 0 or not 0 <= self.season_steps <= self.minimum_bins:
            raise BadInputError("step and season must be positive and within the minimum", source=source)
        if len(self.regression) not in {0, column_count(self.day_harmonics, self.week_harmonics)}:
            raise BadInputError("does not match the harmonics", source=source, column="regression")
        if len(self.lower) != len(self.upper) or not len(self.lower):
            raise BadInputError("lower and upper must be as long as the horizon", source=source)
        if (self.lower > 0).any() or (self.upper < 0).any() or np.isnan(self.floor):
            raise BadInputError("bounds must enclose the mean", source=source)

    @property
    def horizon_steps(self) -> int:
        """How many steps ahead it may be asked for."""
        return len(self.lower)

    def equals(self, other: "SeriesState") -> bool:
        """Whether every figure is the same, to the last bit."""
        return all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        )


def dump(states: Sequence[SeriesState]) -> bytes:
    """The states as one compressed NumPy archive.

    Args:
        states: Any number; each series at most once.

    Raises:
        BadInputError: A series occurs twice.
    """
    names = [(state.target, state.sensor) for state in states]
    if len(set(names)) != len(names):
        raise BadInputError("a series occurs twice", source="forecaster states")
    content: dict[str, NDArray[np.generic]] = {"format_version": np.array(FORMAT_VERSION)}
    for name in _TEXTS:
        content[name] = np.array([getattr(state, name) for state in states], dtype=np.str_)
    for name in _INTEGERS:
        content[name] = np.array([getattr(state, name) for state in states], dtype=np.int64)
    content["floor"] = np.array([state.floor for state in states], dtype=np.float64)
    for name in _ARRAYS:
        arrays = [getattr(state, name) for state in states]
        content[f"{name}_length"] = np.array([len(array) for array in arrays], dtype=np.int64)
        content[name] = np.concatenate([*arrays, np.empty(0)])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **content)
    return buffer.getvalue()


def load(content: bytes) -> tuple[SeriesState, ...]:
    """The states of an archive that `dump` wrote, in its order.

    Args:
        content: The archive's bytes.

    Raises:
        BadInputError: It is no such archive, is damaged, or has another format version.
    """
    source = "forecaster states"
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            read = {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy and zipfile raise half a dozen unrelated types on damaged bytes
        raise BadInputError(f"not a readable NumPy archive ({error})", source=source) from error
    if int(read.get("format_version", np.array(0))) != FORMAT_VERSION:
        raise BadInputError(f"format version is not {FORMAT_VERSION}", source=source, column="format_version")
    expected = {*_TEXTS, *_INTEGERS, *_ARRAYS, *(f"{name}_length" for name in _ARRAYS), "floor"}
    if missing := sorted(expected - read.keys()):
        raise BadInputError(f"lacks {', '.join(missing)}", source=source)
    pieces = {name: np.split(read[name], np.cumsum(read[f"{name}_length"])[:-1]) for name in _ARRAYS}
    return tuple(
        SeriesState(
            target=str(read["target"][i]),
            sensor=str(read["sensor"][i]),
            method=str(read["method"][i]),
            step_seconds=int(read["step_seconds"][i]),
            minimum_bins=int(read["minimum_bins"][i]),
            season_steps=int(read["season_steps"][i]),
            day_harmonics=int(read["day_harmonics"][i]),
            week_harmonics=int(read["week_harmonics"][i]),
            regression=pieces["regression"][i].copy(),
            ar=pieces["ar"][i].copy(),
            ma=pieces["ma"][i].copy(),
            floor=float(read["floor"][i]),
            lower=pieces["lower"][i].copy(),
            upper=pieces["upper"][i].copy(),
        )
        for i in range(len(read["floor"]))
    )
