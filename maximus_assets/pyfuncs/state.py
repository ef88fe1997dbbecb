"""What a forecaster remembers of one series, and how that is written to one file.

Numbers and names only: the file is a NumPy archive without pickled objects, so that loading it runs no code. A state is
complete: with a window of recent values it yields a forecast, whatever library it was learnt with. One that has a
share of the fleet's model names it by its digest, and the model is kept in a file beside it.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.pyfuncs.components import Boosted, Component, Direct, Recursion, Rescaled, Smoothing
from maximus_assets.pyfuncs.intervals import SENSITIVITIES

FORMAT_VERSION: Final = 3
"""Earlier versions are refused: their intervals were measured around other forecasts."""

C = TypeVar("C", bound=Component)

_KINDS: Final[dict[str, type[Component]]] = {
    "recursion": Recursion,
    "direct": Direct,
    "smoothing": Smoothing,
    "rescaled": Rescaled,
    "boosted": Boosted,
}
_TEXTS: Final = ("target", "sensor", "method")
_NUMBERS: Final = ("floor", "usual_miss")
_VECTORS: Final = ("weights", "lasts", "lower", "upper", "sensitivity", "today_lower", "today_upper")
_SOURCE: Final = "forecaster states"


@dataclass(frozen=True, eq=False)
class SeriesState:
    """One series' forecaster: a weighted mean of components, and its intervals.

    Attributes:
        target: The target; empty until the state is given to a series.
        sensor: The sensor; empty likewise.
        method: How it forecasts: a method's name, or `combination`.
        components: What is mixed, at least one. All have one step and one horizon.
        weights: Share of each component at each step ahead, >= 0 and 1 in all, shape (components * horizon,), one
            component after the other.
        floor: No forecast lies below it, in the series' unit; minus infinity for none.
        lower: For each step ahead, what to add to the mean for the lower bound, <= 0, relative to `intervals.scales`.
        upper: The same for the upper bound, >= 0.
        usual_miss: Usual size of a half hour's miss in the series' unit, >= 0; zero where surprises are not corrected
            (`pyfuncs.intercept`).
        lasts: Share of a surprise to add at each step ahead, in [0, 1], shape (horizon,); empty where none is.
        sensitivity: What widths go by beside `lower` and `upper`, shape (`intervals.SENSITIVITIES`,); empty for bounds
            that stay as they are.
        today_lower: Lower bounds given for the bins from `today_from` on, in the series' unit, shape (horizon,); empty
            where nothing was forecast at the end of the history.
        today_upper: The upper bounds, same shape.
        today_from: Start of the first of these bins, epoch seconds.
    """

    target: str
    sensor: str
    method: str
    components: tuple[Component, ...]
    weights: NDArray[np.float64]
    floor: float
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]
    usual_miss: float = 0.0
    lasts: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    sensitivity: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    today_lower: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    today_upper: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    today_from: int = 0

    def __post_init__(self) -> None:
        """Refuse what could not be forecast with.

        Raises:
            BadInputError: A figure is out of its range or not finite, or lengths disagree.
        """
        source = f"state of {self.target}/{self.sensor}"
        for name in _VECTORS:
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
                raise BadInputError("must be a vector of finite float64", source=source, column=name)
            array.flags.writeable = False
        shapes = {(each.step_seconds, each.horizon_steps) for each in self.components}
        if len(shapes) != 1:
            raise BadInputError("must be of one step and horizon", source=source, column="components")
        if len(self.lower) != self.horizon_steps or len(self.upper) != self.horizon_steps:
            raise BadInputError("lower and upper must be as long as the horizon", source=source)
        if len(self.weights) != len(self.components) * self.horizon_steps:
            raise BadInputError("must be one for each component and step", source=source, column="weights")
        shares = self.by_component
        if (shares < 0.0).any() or not np.allclose(shares.sum(axis=0), 1.0):
            raise BadInputError("must be shares that add up to 1", source=source, column="weights")
        if (self.lower > 0).any() or (self.upper < 0).any() or np.isnan(self.floor):
            raise BadInputError("bounds must enclose the mean", source=source)
        self._check_what_moves(source)

    def _check_what_moves(self, source: str) -> None:
        """Refuse figures of surprises and of today's bounds that could not be used."""
        if not 0.0 <= self.usual_miss < np.inf or (self.lasts < 0.0).any() or (self.lasts > 1.0).any():
            raise BadInputError("must be a size and shares", source=source, column="usual_miss, lasts")
        if len(self.lasts) != (self.horizon_steps if self.usual_miss else 0):
            raise BadInputError("must be as long as the horizon, or empty", source=source, column="lasts")
        if len(self.sensitivity) not in {0, SENSITIVITIES} or (self.sensitivity < 0.0).any():
            raise BadInputError(
                f"must be {SENSITIVITIES} numbers >= 0 or none", source=source, column="sensitivity"
            )
        if len(self.today_lower) not in {0, self.horizon_steps} or (
            self.today_lower.shape != self.today_upper.shape or (self.today_lower > self.today_upper).any()
        ):
            raise BadInputError("must be bounds of a whole horizon or of none", source=source, column="today")

    @property
    def step_seconds(self) -> int:
        """Width of a grid bin."""
        return self.components[0].step_seconds

    @property
    def horizon_steps(self) -> int:
        """How many steps ahead it may be asked for."""
        return self.components[0].horizon_steps

    @property
    def minimum_bins(self) -> int:
        """How many bins a window must span, at most half of them missing; a shorter one is cold."""
        return max(each.minimum_bins for each in self.components)

    @property
    def by_component(self) -> NDArray[np.float64]:
        """The weights, shape (components, horizon)."""
        return self.weights.reshape(len(self.components), -1)

    def equals(self, other: "SeriesState") -> bool:
        """Whether every figure is the same, to the last bit."""
        names = [each.name for each in fields(self) if each.name != "components"]
        return (
            all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)
            and len(self.components) == len(other.components)
            and all(a.equals(b) for a, b in zip(self.components, other.components, strict=True))
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
        raise BadInputError("a series occurs twice", source=_SOURCE)
    content: dict[str, NDArray[np.generic]] = {"format_version": np.array(FORMAT_VERSION)}
    for name in _TEXTS:
        content[name] = np.array([getattr(state, name) for state in states], dtype=np.str_)
    for name in _NUMBERS:
        content[name] = np.array([getattr(state, name) for state in states], dtype=np.float64)
    content["today_from"] = np.array([state.today_from for state in states], dtype=np.int64)
    for name in _VECTORS:
        content.update(_joined(name, [getattr(state, name) for state in states]))
    for kind, cls in _KINDS.items():
        owned = [
            (owner, place, each)
            for owner, state in enumerate(states)
            for place, each in enumerate(state.components)
            if type(each) is cls
        ]
        content[f"{kind}_owner"] = np.array([owner for owner, _, _ in owned], dtype=np.int64)
        content[f"{kind}_place"] = np.array([place for _, place, _ in owned], dtype=np.int64)
        content.update(_columns(kind, cls, [each for _, _, each in owned]))
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
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            read = {name: archive[name] for name in archive.files}
    except Exception as error:  # numpy and zipfile raise half a dozen unrelated types on damaged bytes
        raise BadInputError(f"not a readable NumPy archive ({error})", source=_SOURCE) from error
    version = int(read.get("format_version", np.array(0)))
    if version != FORMAT_VERSION:
        raise BadInputError(
            f"format version is {version}, not {FORMAT_VERSION}: learn the forecaster again",
            source=_SOURCE,
            column="format_version",
        )
    try:
        return _states(read)
    except KeyError as error:
        raise BadInputError(f"lacks {error.args[0]}", source=_SOURCE) from error


def _states(read: Mapping[str, NDArray[Any]]) -> tuple[SeriesState, ...]:
    members: list[dict[int, Component]] = [{} for _ in read["floor"]]
    for kind, cls in _KINDS.items():
        places = zip(read[f"{kind}_owner"], read[f"{kind}_place"], strict=True)
        for (owner, place), component in zip(places, _rows(kind, cls, read), strict=True):
            members[int(owner)][int(place)] = component
    vectors = {name: _split(name, read) for name in _VECTORS}
    return tuple(
        SeriesState(
            target=str(read["target"][i]),
            sensor=str(read["sensor"][i]),
            method=str(read["method"][i]),
            components=tuple(mine[place] for place in sorted(mine)),
            weights=vectors["weights"][i],
            floor=float(read["floor"][i]),
            usual_miss=float(read["usual_miss"][i]),
            lasts=vectors["lasts"][i],
            lower=vectors["lower"][i],
            upper=vectors["upper"][i],
            sensitivity=vectors["sensitivity"][i],
            today_lower=vectors["today_lower"][i],
            today_upper=vectors["today_upper"][i],
            today_from=int(read["today_from"][i]),
        )
        for i, mine in enumerate(members)
    )


def _scalars(cls: type[Component]) -> list[str]:
    return [each.name for each in fields(cls) if each.name not in cls.VECTORS]


def _columns(
    kind: str, cls: type[Component], components: Sequence[Component]
) -> dict[str, NDArray[np.generic]]:
    """Components of one kind, a field a column."""
    content: dict[str, NDArray[np.generic]] = {}
    for name in _scalars(cls):
        column = [getattr(each, name) for each in components]
        content[f"{kind}_{name}"] = np.array(column, dtype=np.str_ if name in cls.TEXTS else np.int64)
    for name in cls.VECTORS:
        content.update(_joined(f"{kind}_{name}", [getattr(each, name) for each in components]))
    return content


def _rows(kind: str, cls: type[C], read: Mapping[str, NDArray[Any]]) -> Iterable[C]:
    """What `_columns` wrote."""
    scalars = {name: read[f"{kind}_{name}"].tolist() for name in _scalars(cls)}
    vectors = {name: _split(f"{kind}_{name}", read) for name in cls.VECTORS}
    for i in range(len(read[f"{kind}_owner"])):
        yield cls(**{name: column[i] for name, column in (scalars | vectors).items()})


def _joined(name: str, vectors: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[np.generic]]:
    return {
        f"{name}_length": np.array([len(vector) for vector in vectors], dtype=np.int64),
        name: np.concatenate([*vectors, np.empty(0)]),
    }


def _split(name: str, read: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float64]]:
    ends = np.cumsum(read[f"{name}_length"])
    return [piece.copy() for piece in np.split(read[name], ends[:-1])] if len(ends) else []
