"""Learn a forecaster for every series of a grid: backtest each method, keep the better, report both.

Where there is a fleet, one boosted model over all series is learnt first and mixed in with each series' own methods.

The choice rests on the calibration part and is judged on the part after it, so that the report is evidence and not the
criterion. The evidence may veto, never choose: a method that turned out worse than the baseline is not put in charge of
a series, and the report says so, with the figures that it would have had. A series that cannot be learnt from is skipped
with its reason; it never stops the others.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, overload

import numpy as np
import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import Permanent
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, VALUE
from maximus_assets.features.calendar import DAY_SECONDS
from maximus_assets.features.events import Event
from maximus_assets.features.grid import series_names, stretches, to_grid
from maximus_assets.models.crew import Crew, crew_for
from maximus_assets.models.fleet import Finished, each
from maximus_assets.models.forecasting.backtest import Backtest, History, alone, plan, replay
from maximus_assets.models.forecasting.base import Array, ShortHistoryError
from maximus_assets.models.forecasting.boosted import DEFAULT, Growth
from maximus_assets.models.forecasting.combination import NAME as COMBINATION
from maximus_assets.models.forecasting.combination import USUAL, combine
from maximus_assets.models.forecasting.fleetwide import NAME as BOOSTED
from maximus_assets.models.forecasting.fleetwide import (
    Fleetwide,
    Lesson,
    common_cuts,
    read,
    recipe_for,
    teach,
)
from maximus_assets.models.forecasting.fleetwide import replay as replay_of_fleet
from maximus_assets.models.forecasting.methods import BASELINE, methods
from maximus_assets.models.forecasting.scoring import HorizonScore, calibration_loss, is_preferred, scores
from maximus_assets.models.forecasting.today import with_today
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.components import Boosted
from maximus_assets.pyfuncs.state import SeriesState

CHOICE_DOUBT: Final = 0.25
"""By how much, as a share, the combination may lose to the baseline on the calibration part and still be chosen: that part
may be a day or two, while a mean of methods seldom loses on what follows."""

WORST_MASE: Final = 1.02
"""A choice whose error on the judging part is more than 2 % above the baseline's is vetoed: the baseline is used."""

SERIES_SECONDS: Final = 900.0
"""Longest that one series is learnt for: some hundred times what four weeks at five minutes take."""

REPORT_SCHEMA: Final = pl.Schema(
    {
        "target": pl.String(),
        "sensor": pl.String(),
        "method": pl.String(),
        "is_chosen": pl.Boolean(),
        "is_vetoed": pl.Boolean(),
        "is_baseline": pl.Boolean(),
        "horizon_hours": pl.Int64(),
        "judged": pl.Int64(),
        "r2": pl.Float64(),
        "mae": pl.Float64(),
        "baseline_mae": pl.Float64(),
        "mase": pl.Float64(),
        "mase_in_sample": pl.Float64(),
        "decision_loss": pl.Float64(),
        "coverage": pl.Float64(),
        "coverage_strict": pl.Float64(),
        "coverage_error": pl.Float64(),
    }
)
"""One row for each series, method and horizon; figures as `scoring.HorizonScore`, null where undefined."""


@dataclass(frozen=True)
class LearntForecaster:
    """What came of it.

    Attributes:
        states: The chosen state of every series learnt, in order of target and sensor.
        report: Columns of `REPORT_SCHEMA`.
        skipped: Series (`target/sensor`) -> why nothing was learnt of it.
        fit_seconds: How long it took.
        fleet: The model of all series, where a state has a share of it.
        fleet_note: What came of that model, in words.
    """

    states: tuple[SeriesState, ...]
    report: pl.DataFrame
    skipped: dict[str, str]
    fit_seconds: float
    fleet: BoostedFleet | None = None
    fleet_note: str = ""


class UnsolvableError(Permanent):
    """A series' coefficients cannot be solved for."""


def learn(
    grid: pl.DataFrame,
    step_seconds: int = GRID_SECONDS,
    *,
    progress: Callable[[Finished], None] = lambda _: None,
    stage: Callable[[str], None] = lambda _: None,
    crew: Crew | None = None,
    events: tuple[Event, ...] = (),
    growth: Growth = DEFAULT,
) -> LearntForecaster:
    """Learn a forecaster for every series; the same grid gives the same answer, whoever does the work.

    Args:
        grid: A telemetry frame on the grid (raw samples are put on it first).
        step_seconds: Width of a bin: a divisor of a day, at least `GRID_SECONDS`.
        progress: Told of each series as it finishes.
        stage: Told, in words, of what precedes the series: the fleet's model.
        crew: Who does the work; None for the usual one (`crew.crew_for`).
        events: What is known ahead, past and to come, of every series.
        growth: How the fleet's trees are grown.

    Raises:
        ValueError: The step is no divisor of a day or below `GRID_SECONDS`.
        BackendMissingError: Work was to be done on Ray, which is not installed.
        BackendUnreachableError: The Ray cluster does not answer, or no worker survives its first series.
    """
    if step_seconds < GRID_SECONDS or DAY_SECONDS % step_seconds:
        msg = f"step_seconds must divide a day and be at least {GRID_SECONDS}, not {step_seconds}"
        raise ValueError(msg)
    began = time.perf_counter()
    whole = to_grid(grid, step_seconds)
    # The grid is sorted by series, so a series is a slice of it: nothing is copied before a worker asks for it.
    places = {
        f"{target}/{sensor}": (target, sensor, start, length)
        for target, sensor, start, length in stretches(whole).iter_rows()
    }
    asked = (f"{target}/{sensor}" for target, sensor in series_names(grid).iter_rows())
    skipped = {name: "every value is missing" for name in asked if name not in places}

    def load(name: str) -> History:
        _, sensor, start, length = places[name]
        return replace(_history(whole.slice(start, length), sensor, step_seconds), events=tuple(events))

    names = list(places)
    fleet, note = _teach(_Loaded(names, load), step_seconds, growth, stage)
    members = set() if fleet is None else fleet.members(names)

    def task(name: str) -> Task:
        return Task(load(name), fleet.lesson if fleet is not None and name in members else None)

    chosen = crew or crew_for(len(places), SERIES_SECONDS)
    states: list[SeriesState] = []
    rows: list[dict[str, object]] = []
    for outcome in each(_learn_one, names, task, crew=chosen, on_done=progress):
        if outcome.value is None:
            skipped[outcome.name] = outcome.reason
            continue
        target, sensor, *_ = places[outcome.name]
        state, found = outcome.value
        states.append(replace(state, target=target, sensor=sensor))
        rows.extend({"target": target, "sensor": sensor, **row} for row in found)
    sharing = sum(any(isinstance(each, Boosted) for each in state.components) for state in states)
    if fleet is not None:
        note += f"; {sharing} of {len(states)} states have a share of it"
    return LearntForecaster(
        states=tuple(states),
        report=pl.DataFrame(rows, schema=REPORT_SCHEMA),
        skipped=skipped,
        fit_seconds=time.perf_counter() - began,
        fleet=fleet.shipped if fleet is not None and sharing else None,
        fleet_note=note,
    )


@dataclass(frozen=True)
class Task:
    """What a worker is handed.

    Attributes:
        history: The series.
        lesson: What the fleet's model says of it; None where it has no part in one.
    """

    history: History
    lesson: Lesson | None


def _teach(
    histories: "_Loaded", step_seconds: int, growth: Growth, stage: Callable[[str], None]
) -> tuple[Fleetwide | None, str]:
    """The model of all series, and what came of it in words."""
    try:
        found = teach(histories, common_cuts(histories), recipe_for(step_seconds), growth=growth, told=stage)
    except ShortHistoryError as error:
        return None, f"No boosted model: {error}."
    return found, (
        f"Boosted model of {found.shipped.trees} trees over {len(found.cuts)} series, learnt three times in "
        f"{found.seconds:.1f} s; {sum(each.is_member for each in found.cuts)} could be backtested with it"
    )


class _Loaded(Sequence[History]):
    """The series of a grid, made when they are asked for: a fleet does not lie in memory a second time."""

    def __init__(self, names: Sequence[str], load: Callable[[str], History]) -> None:
        self._names, self._load = names, load

    def __len__(self) -> int:
        return len(self._names)

    @overload
    def __getitem__(self, index: int) -> History: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[History]: ...
    def __getitem__(self, index: int | slice) -> History | Sequence[History]:
        if isinstance(index, slice):
            return _Loaded(self._names[index], self._load)
        return self._load(self._names[index])

    def __iter__(self) -> Iterator[History]:
        return map(self._load, self._names)


def _learn_one(task: Task) -> tuple[SeriesState, list[dict[str, object]]]:
    """The unit of work of a fleet."""
    try:
        return learn_series(task.history, task.lesson)
    except np.linalg.LinAlgError as error:
        raise UnsolvableError(f"its coefficients cannot be solved for: {error}") from error


@dataclass(frozen=True)
class Tried:
    """Everything that was tried on one series.

    Attributes:
        results: Each method by itself, and their combination, by name.
        preferred_name: What did best on the calibration part; nothing of the judging part entered.
    """

    results: dict[str, Backtest]
    preferred_name: str

    @property
    def preferred(self) -> Backtest:
        """Its backtest."""
        return self.results[self.preferred_name]


def try_all(
    history: History,
    lesson: Lesson | None = None,
    *,
    judged_ratio: float | None = None,
    horizon: int | None = None,
) -> Tried:
    """Backtest every method and their combination, and choose between that and the baseline.

    Args:
        history: The series.
        lesson: The fleet's model; of the same step and horizon.
        judged_ratio: Share of the history that is judged; None for `base.split`'s own.
        horizon: How many steps ahead; None for a day.

    Raises:
        ShortHistoryError: The history is too short, or has too many holes.
    """
    found = plan(history, judged_ratio=judged_ratio, horizon=horizon)
    replays = {method.name: replay(method, history, found) for method in methods(history.events)}
    usual = dict(USUAL)
    if lesson is not None:
        usual[BOOSTED] = lesson.usual
        replays[BOOSTED] = replay_of_fleet(lesson, history, found, replays[BASELINE.name].rolled)
    results = {name: alone(name, each, history, found) for name, each in replays.items()}
    results[COMBINATION] = combine(replays, history, found, usual_weights=usual)
    baseline, step = results[BASELINE.name], history.step_seconds
    loss = calibration_loss(results[COMBINATION], baseline, step)
    return Tried(results, COMBINATION if is_preferred(loss, CHOICE_DOUBT) else BASELINE.name)


def learn_series(
    history: History, lesson: Lesson | None = None
) -> tuple[SeriesState, list[dict[str, object]]]:
    """Backtest every method on one series and keep their combination, or the baseline.

    Args:
        history: The series.
        lesson: The fleet's model, where it has part in one.

    Returns:
        The chosen state without names, and the report's rows without names.

    Raises:
        ShortHistoryError: The history is too short, or has too many holes.
    """
    tried = try_all(history, lesson)
    baseline = tried.results[BASELINE.name]
    judged = {name: scores(result, baseline, history) for name, result in tried.results.items()}
    is_vetoed = _is_worse(judged[tried.preferred_name])
    chosen = BASELINE.name if is_vetoed else tried.preferred_name
    rows: list[dict[str, object]] = [
        {
            "method": name,
            "is_chosen": name == chosen,
            "is_vetoed": is_vetoed and name == tried.preferred_name,
            "is_baseline": name == BASELINE.name,
            **asdict(score),
        }
        for name, found in judged.items()
        for score in found
    ]
    fleet = None if lesson is None else read(lesson.shipped)
    return with_today(tried.results[chosen].state, history, fleet), rows


def _is_worse(judged: tuple[HorizonScore, ...]) -> bool:
    """Whether a method lost to the baseline, over the horizons that could be judged."""
    ratios = [np.inf if score.mase is None else score.mase for score in judged if score.judged]
    return bool(ratios) and float(np.mean(ratios)) > WORST_MASE


def _history(series: pl.DataFrame, sensor: str, step_seconds: int) -> History:
    """A series of the grid as arrays, with the floor of its sensor.

    A sensor that may be negative but never was in this history has its floor at zero: demand that has always been a
    count does not turn negative in a forecast.
    """
    values: Array = series[VALUE].to_numpy().astype(np.float64, copy=True)
    start = int(series[OBSERVED_AT].dt.epoch("s")[0])
    known = CATALOGUE.get(sensor)
    floor = -np.inf if known is None else known.minimum
    if np.nanmin(values) >= 0.0:
        floor = max(floor, 0.0)
    return History(values, start, step_seconds, floor)
