"""Challengers in shadow: asked the same windows as the champion, beside it, and written down to be judged later.

Belongs here: when a challenger is asked, and when it is dropped. Does not: loading one (`catalogue`), judging one (the
learning side does, from what is written down). What makes it hard is that nothing here may cost the champion anything:
so a bin's questions are put by a thread of their own, after the champion has answered, nobody waits for it, and a
challenger that fails, answers nonsense or takes too long is out for good, which the heartbeat says.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import structlog

from maximus_assets.contracts.naming import CHAMPION, MAXIMUM_CHALLENGERS
from maximus_assets.contracts.prediction import FORECAST_OUTPUT, HOUR_STEPS, Forecast, JudgedForecasts
from maximus_assets.contracts.telemetry import Series
from serving.predictors.inference import CHUNK, request_frame
from serving.predictors.proving import Loaded

if TYPE_CHECKING:
    import pandas as pd

_log = structlog.get_logger("maximus.predictors")

Floats = npt.NDArray[np.float64]

BUDGET_SECONDS: Final = 30.0
"""How long one challenger may take over one bin: a tenth of the bin."""

_KEPT: Final = 64
"""Most answers that wait to be recorded: four versions over an hour and more; older ones go."""


class UnusableAnswerError(ValueError):
    """A challenger's answer cannot be read as forecasts."""


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked at one bin: the windows, and how far ahead."""

    series: tuple[Series, ...]
    values: Floats
    end_at: datetime
    horizon_steps: int


@dataclass
class _Round:
    """The questions of one bin: written by its thread, read by the loop.

    Attributes:
        asking: Alias and version that is being asked, None before and after.
        asked_at: Since when, monotonic seconds.
        answers: Done so far; appended to by the thread, taken by the loop.
        failures: Version -> why it is out.
        is_over: Whether the thread has ended.
        is_abandoned: Whether the loop no longer wants it; the thread stops at the next chunk.
    """

    asking: tuple[str, str] | None = None
    asked_at: float = 0.0
    answers: list[JudgedForecasts] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    is_over: bool = False
    is_abandoned: bool = False


class Shadow:
    """Asks challengers beside the champion.

    Args:
        budget_seconds: How long one of them may take over one bin.
        monotonic: Measures that.
    """

    def __init__(
        self, *, budget_seconds: float = BUDGET_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget_seconds
        self._monotonic = monotonic
        self._round: _Round | None = None
        self._waiting: list[JudgedForecasts] = []
        self.challengers: dict[str, Loaded] = {}
        """Alias -> the version in shadow."""
        self.dropped: dict[str, str] = {}
        """Version -> why it is out."""

    def follow(self, challengers: Mapping[str, Loaded]) -> None:
        """Take these and no others from the next bin on; those that are out stay out.

        Args:
            challengers: Alias -> version, loaded; of more than `MAXIMUM_CHALLENGERS` the first by alias.
        """
        usable = [(alias, it) for alias, it in sorted(challengers.items()) if it.version not in self.dropped]
        self.challengers = dict(usable[:MAXIMUM_CHALLENGERS])

    def drop(self, version: str, reason: str) -> None:
        """Ask a version no more.

        Args:
            version: Which.
            reason: Why, in words.
        """
        self.dropped[version] = reason
        self.challengers = {alias: it for alias, it in self.challengers.items() if it.version != version}
        _log.warning("challenger_dropped", version=version, reason=reason)

    def begin(
        self,
        series: Sequence[Series],
        values: Floats,
        end_at: datetime,
        champion: Mapping[str, Forecast],
        horizon_steps: int = HOUR_STEPS,
    ) -> None:
        """The champion has answered for a bin: note what it said and ask the challengers the same, without waiting.

        Args:
            series: The series.
            values: Their windows, shape (series, bins); not changed by anybody any more.
            end_at: Start of the last bin.
            champion: Target -> what the champion said.
            horizon_steps: How many steps ahead to ask for, at least `HOUR_STEPS`.
        """
        self._collect()
        if (said := of_champion(champion, end_at)) is not None:
            self._keep(said)
        if self._round is not None or not self.challengers:
            return  # a round that is still within its time goes on; this bin is not asked about
        self._round = it = _Round(asked_at=self._monotonic())
        question = _Question(tuple(series), values, end_at, horizon_steps)
        threading.Thread(
            target=self._ask,
            args=(it, dict(self.challengers), question),
            name="shadow",
            daemon=True,  # one that hangs must not keep the process from ending
        ).start()

    def take(self) -> tuple[JudgedForecasts, ...]:
        """What was expected since the last call, to be recorded; never waits."""
        self._collect()
        taken, self._waiting = tuple(self._waiting), []
        return taken

    def status(self) -> dict[str, str]:
        """Each challenger and how it does, in words, for the heartbeat."""
        running = {alias: f"version {it.version} in shadow" for alias, it in self.challengers.items()}
        return running | {f"version {version}": f"dropped: {why}" for version, why in self.dropped.items()}

    def _collect(self) -> None:
        """Take over what the round has; end it if it is over or has used up its time."""
        it = self._round
        if it is None:
            return
        is_over = it.is_over  # read first: what the thread appended before it ended is then all there
        answers, it.answers = it.answers, []
        for said in answers:
            self._keep(said)
        for version, why in list(it.failures.items()):
            if version not in self.dropped:
                self.drop(version, why)
        if is_over:
            self._round = None
        elif it.asking is not None and self._monotonic() - it.asked_at > self._budget:
            it.is_abandoned = True
            self.drop(it.asking[1], f"it took longer than {self._budget:g} s over one bin")
            self._round = None

    def _keep(self, said: JudgedForecasts) -> None:
        self._waiting = [*self._waiting, said][-_KEPT:]

    def _ask(self, it: _Round, challengers: Mapping[str, Loaded], asked: _Question) -> None:
        """The thread: one challenger after the other."""
        for alias, loaded in challengers.items():
            it.asking, it.asked_at = (alias, loaded.version), self._monotonic()
            try:
                parts = []
                for start in range(0, len(asked.series), CHUNK):
                    of = slice(start, start + CHUNK)
                    frame = request_frame(asked.series[of], asked.values[of], asked.end_at)
                    parts.append(loaded.predict(frame, asked.horizon_steps))
                    if it.is_abandoned:
                        return
                said = read_judged(parts, alias, loaded.version, asked.end_at, asked.horizon_steps)
            except Exception as error:  # noqa: BLE001 - a challenger may raise anything; it is out and the rest go on
                it.failures[loaded.version] = f"{type(error).__name__}: {error}"
                continue
            if said.series:
                it.answers.append(said)
        it.asking = None
        it.is_over = True


def of_champion(forecasts: Mapping[str, Forecast], end_at: datetime) -> JudgedForecasts | None:
    """What there is to judge of the champion's forecasts, None when it made none of an hour at this bin."""
    usable = [
        one
        for _, one in sorted(forecasts.items())
        if one.status == "ok" and one.issued_at == end_at and len(one.points) >= HOUR_STEPS
    ]
    if not usable:
        return None
    figures = np.array(
        [
            (
                one.points[0].mean,
                one.points[0].lower,
                one.points[0].upper,
                sum(point.mean for point in one.points[:HOUR_STEPS]) / HOUR_STEPS,
            )
            for one in usable
        ]
    ).T
    series = tuple(Series(target=one.target, sensor=one.sensor) for one in usable)
    return _judged(CHAMPION, usable[0].model_version, end_at, series, figures)


def read_judged(
    answers: "Sequence[pd.DataFrame]", role: str, version: str, end_at: datetime, horizon_steps: int
) -> JudgedForecasts:
    """What there is to judge of a challenger's answers; series without a forecast are left out.

    Args:
        answers: Columns `FORECAST_OUTPUT`, one frame for each chunk.
        role: Its alias.
        version: Its version.
        end_at: Start of the last bin it knew.
        horizon_steps: How many steps it was asked for.

    Raises:
        UnusableAnswerError: Columns, steps or figures are not what a forecast has.
    """
    series: list[Series] = []
    columns: list[Floats] = []
    for answer in answers:
        if list(answer.columns) != list(FORECAST_OUTPUT):
            msg = f"its answer has columns {list(answer.columns)}"
            raise UnusableAnswerError(msg)
        told = answer[answer["status"] == "ok"]
        if len(told) % horizon_steps:
            msg = f"{len(told)} rows are no whole forecasts of {horizon_steps} steps"
            raise UnusableAnswerError(msg)
        if not len(told):
            continue
        steps = told["step"].to_numpy().reshape(-1, horizon_steps)
        figures = np.stack(
            [
                told[name].to_numpy(dtype=np.float64).reshape(-1, horizon_steps)
                for name in ("lower", "mean", "upper")
            ]
        )
        if (steps != np.arange(1, horizon_steps + 1)).any() or not np.isfinite(figures).all():
            raise UnusableAnswerError("its steps are out of order or its figures not finite")
        if (np.diff(figures, axis=0) < 0).any():
            raise UnusableAnswerError("its bounds do not hold its mean")
        names = told[["target", "sensor"]].iloc[::horizon_steps].itertuples(index=False)
        series += [Series(target=target, sensor=sensor) for target, sensor in names]
        lower, mean, upper = figures
        columns.append(np.stack([mean[:, 0], lower[:, 0], upper[:, 0], mean[:, :HOUR_STEPS].mean(axis=1)]))
    whole = np.concatenate(columns, axis=1) if columns else np.empty((4, 0))
    return _judged(role, version, end_at, tuple(series), whole)


def _judged(
    role: str, version: str, end_at: datetime, series: tuple[Series, ...], figures: Floats
) -> JudgedForecasts:
    """Figures (next mean, lower, upper, hour mean; by series) in the single precision they are kept in."""
    with np.errstate(over="ignore"):
        kept = figures.astype(np.float32)
    if not np.isfinite(kept).all():
        raise UnusableAnswerError("its figures are beyond single precision")
    return JudgedForecasts(role, version, end_at, series, *(tuple(map(float, row)) for row in kept))
