"""Live windows in, forecasts out: asked of the champion once for each closed bin or new champion, never more often.

A large fleet's forecast takes longer than a turn has. So it is computed beside the loop: for a few series a turn waits
a little; for more than `CHUNK` it does not even begin before the turn is over (`proceed`), for a thread that computes
slows the turn down by as much, and the turn after it has the answer. What a forecast knew is written on it (`issued_at`).
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog

from maximus_assets.contracts.prediction import (
    FORECAST_INPUT,
    FORECAST_PARAMS,
    Forecast,
    ForecastPoint,
)
from maximus_assets.contracts.telemetry import GRID_SECONDS, Series
from serving.observability import PREDICTORS_FORECAST_SECONDS
from serving.predictors.proving import Loaded

if TYPE_CHECKING:
    import pandas as pd

_log = structlog.get_logger("maximus.predictors")

Floats = npt.NDArray[np.float64]

CHUNK: Final = 100
"""Series asked for in one call: bounds the memory of a call, about 20 MB. A turn waits for no more than one call."""

_REASONS: Final = {
    "cold": "the live window is too short or has too many holes",
    "unknown_series": "the champion never learnt this series",
}


@dataclass(frozen=True)
class Forecasts:
    """What is expected now.

    Attributes:
        by_target: Target -> forecast of its demand.
        is_new: Whether these have not been given out before, and so are worth recording.
    """

    by_target: Mapping[str, Forecast]
    is_new: bool


class _Due(NamedTuple):
    """A question that is to be asked: of which version, and what."""

    loaded: Loaded
    series: tuple[Series, ...]
    windows: Callable[[], Floats]
    end_at: datetime


@dataclass
class Forecaster:
    """Asks the champion and remembers its answers.

    Attributes:
        champion: Gives the version in use.
        horizon_steps: How many bins ahead.
        patience_seconds: How long a turn waits for an answer before it goes on with the one before.
        failures: How often the champion failed to answer.
        failure: Why, the last time; empty when the last answer came.
        frame: The windows asked for last; a new version has to answer them before it is used.
        notice: What the registry says of the champion: why it is gone, or why it is an older one; mostly nothing.
        answered: Told of every answer, as soon as it is there, with the windows it was made from, so that others can be
            asked the same.
    """

    champion: Callable[[], Loaded | None]
    horizon_steps: int = FORECAST_PARAMS["horizon_steps"]
    patience_seconds: float = 0.25
    failures: int = 0
    failure: str = ""
    frame: "pd.DataFrame | None" = None
    notice: Callable[[], str] = lambda: ""
    answered: Callable[[Sequence[Series], Floats, datetime, Mapping[str, Forecast]], None] | None = None
    _asked: tuple[datetime, str] | None = None
    _answers: dict[str, Forecast] = field(default_factory=dict)
    _due: "_Due | None" = None
    _task: "asyncio.Task[dict[str, Forecast]] | None" = None

    async def forecasts(
        self, series: Sequence[Series], windows: Callable[[], Floats], end_at: datetime
    ) -> Forecasts:
        """Forecasts for windows that end at a bin.

        Args:
            series: One for each target.
            windows: Gives their bin means, shape (series, bins), oldest first, NaN where missing; asked only when a
                forecast is due.
            end_at: Start of their last bin.
        """
        loaded = self.champion()
        why = self.notice() if loaded is None else ""
        asked = (end_at, why if loaded is None else loaded.version)
        if self._task is None and asked != self._asked:
            self._asked, self._due = asked, None
            if loaded is None:
                self._answers = {one.target: _without_champion(one, end_at, why) for one in series}
                return Forecasts(self._answers, is_new=True)
            self._due = _Due(loaded, tuple(series), windows, end_at)
            if len(series) <= CHUNK:
                self.proceed()
        is_new = await self._settle()
        missing = {one.target: _not_yet(one, end_at) for one in series if one.target not in self._answers}
        return Forecasts({**self._answers, **missing}, is_new=is_new)

    def proceed(self) -> None:
        """Begin to ask what a turn left for the time after it; does not wait.

        To be called once a turn is over, before anything new is taken into the windows.
        """
        if self._due is None or self._task is not None:
            return
        (loaded, series, windows, end_at), self._due = self._due, None
        values = windows()
        self._task = asyncio.create_task(
            asyncio.to_thread(self._ask, loaded, series, values, end_at), name="forecast"
        )
        self._task.add_done_callback(lambda task: self._tell(task, series, values, end_at))

    async def _settle(self) -> bool:
        """Take over the running answer if it comes in time."""
        if self._task is None:
            return False
        await asyncio.wait({self._task}, timeout=self.patience_seconds)
        if not self._task.done():
            return False
        task, self._task = self._task, None
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or error is not None:
            # The forecasts before stay; as time goes on they cover less and less of the lead, and then nothing.
            self.failures += 1
            self.failure = f"{type(error).__name__}: {error}" if error else "cancelled"
            _log.error("forecast_failed", reason=self.failure, failures=self.failures)
            return False
        self.failure = ""
        self._answers = task.result()
        return True

    def _tell(
        self,
        task: "asyncio.Task[dict[str, Forecast]]",
        series: Sequence[Series],
        values: Floats,
        end_at: datetime,
    ) -> None:
        """Hand answer and windows on; whoever listens cannot take the answer away."""
        if self.answered is None or task.cancelled() or task.exception() is not None:
            return
        try:
            self.answered(series, values, end_at, task.result())
        except Exception as error:  # noqa: BLE001 - the listener is no part of a turn
            _log.exception("answer_not_handed_on", reason=str(error))

    def _ask(
        self, loaded: Loaded, series: Sequence[Series], values: Floats, end_at: datetime
    ) -> dict[str, Forecast]:
        answers: dict[str, Forecast] = {}
        for start in range(0, len(series), CHUNK):
            frame = request_frame(series[start : start + CHUNK], values[start : start + CHUNK], end_at)
            if start == 0:
                self.frame = frame
            with PREDICTORS_FORECAST_SECONDS.time():
                answer = loaded.predict(frame, self.horizon_steps)
            answers |= read_answer(answer, end_at, loaded.version)
        if not (notice := self.notice()):
            return answers
        return {
            target: one.model_copy(update={"reason": notice}) if one.status == "ok" else one
            for target, one in answers.items()
        }

    @property
    def latest(self) -> Mapping[str, Forecast]:
        """Target -> the forecast given out last; empty before the first."""
        return self._answers

    async def aclose(self) -> None:
        """Wait for an answer that is still being computed; a thread cannot be stopped."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None


def request_frame(series: Sequence[Series], values: Floats, end_at: datetime) -> "pd.DataFrame":
    """Windows as the model's input: long, naive UTC, NaN for a missing bin, without the empty bins before the first.

    A series of which nothing was seen still has its last bin, so that the model answers for it.

    Args:
        series: The series, in any order.
        values: Bin means, shape (series, bins), oldest first.
        end_at: Start of the last bin.
    """
    import pandas as pd

    order = sorted(range(len(series)), key=lambda row: (series[row].target, series[row].sensor))
    values = values[order]
    bins = values.shape[1]
    is_seen = ~np.isnan(values)
    first = np.where(is_seen.any(axis=1), is_seen.argmax(axis=1), bins - 1)
    rows, columns = np.nonzero(np.arange(bins)[None, :] >= first[:, None])
    end_seconds = int(end_at.timestamp())
    seconds = end_seconds + GRID_SECONDS * (columns - (bins - 1))
    targets = np.array([series[row].target for row in order], dtype=object)
    sensors = np.array([series[row].sensor for row in order], dtype=object)
    frame = pd.DataFrame(
        {
            "target": pd.array(targets[rows], dtype="str"),
            "sensor": pd.array(sensors[rows], dtype="str"),
            "observed_at": seconds.astype("datetime64[s]").astype("datetime64[us]"),
            "value": values[rows, columns],
        }
    )
    return frame[list(FORECAST_INPUT)]


def read_answer(answer: "pd.DataFrame", end_at: datetime, version: str) -> dict[str, Forecast]:
    """The model's answer as forecasts, one for each target.

    Args:
        answer: Columns `FORECAST_OUTPUT`; the steps of a series follow one another.
        end_at: Start of the last bin the model knew.
        version: The model's version.
    """
    times = (
        [end_at + timedelta(seconds=GRID_SECONDS * step) for step in range(int(answer["step"].max()) + 1)]
        if len(answer)
        else []
    )
    rows = zip(*(answer[column].tolist() for column in answer.columns), strict=True)
    points: dict[tuple[str, str], list[ForecastPoint]] = {}
    said: dict[tuple[str, str], tuple[str, str]] = {}
    for target, sensor, step, mean, lower, upper, status, method in rows:
        said[target, sensor] = (status, method)
        of_series = points.setdefault((target, sensor), [])
        if status == "ok":
            of_series.append(ForecastPoint(at=times[step], mean=mean, lower=lower, upper=upper))
    return {
        target: Forecast.model_validate(
            {
                "target": target,
                "sensor": sensor,
                "issued_at": end_at,
                "status": status,
                "reason": _REASONS.get(status, ""),
                "method": method if status == "ok" else "",
                "model_version": version,
                "points": tuple(points[target, sensor]),
            }
        )
        for (target, sensor), (status, method) in said.items()
    }


def _none(series: Series, end_at: datetime, status: Literal["no_champion", "cold"], reason: str) -> Forecast:
    """A forecast without points, and why."""
    return Forecast(
        target=series.target, sensor=series.sensor, issued_at=end_at, status=status, reason=reason
    )


def _without_champion(series: Series, end_at: datetime, why: str) -> Forecast:
    return _none(
        series,
        end_at,
        "no_champion",
        why or "no forecaster has been promoted, or the registry was never reached",
    )


def _not_yet(series: Series, end_at: datetime) -> Forecast:
    return _none(series, end_at, "cold", "the first forecast is still being computed")
