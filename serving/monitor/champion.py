"""How the loop's own models fare, as a source: how fast, for how many, how wrong, how old; and how long turns take.

Everything here is judged when a grid bin closes, and carries that instant. The forecasts judged are those that were in
force before, so nothing is compared with an answer that already knew it. Before there was a forecast and an outcome,
there is no error: absent, not zero.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
from prometheus_client import Histogram

from maximus_assets.contracts.catalogue import CATALOGUE, collected_by
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import GRID_SECONDS, Sample, Series
from serving.monitor.source import History
from serving.monitor.window import GridWindows
from serving.observability import LOOP_CYCLE_SECONDS, PREDICTORS_FORECAST_SECONDS

Floats = npt.NDArray[np.float64]

_HOUR: Final = 3600 // GRID_SECONDS
_WEEK: Final = 7 * 24 * _HOUR
_LEAST: Final = 24 * _HOUR
"""Bins a series must have seen before the last hour, for the last hour to be called unusual."""

_DRIFT_TURNS: Final = 2
"""How many turns after a bin closed its drift is looked at: the one that closes it asks for forecasts and the next one
takes them over; and in a thread, for quantiles of a thousand windows take longer than the event loop may stand still."""

_OUTERMOST: Final = 0.005
"""On either side: a hundredth altogether."""


class ChampionSource:
    """Judges the forecasts in force, once a closed bin.

    Args:
        target: The target the sensors belong to.
        windows: Gives what was seen.
        forecasts: Gives the forecasts in force, target -> forecast.
        trained_at: Gives when the champion in use was learnt; None without one, or if that is not known.
    """

    name = "loop"

    def __init__(
        self,
        target: str,
        *,
        windows: Callable[[], GridWindows],
        forecasts: Callable[[], Mapping[str, Forecast]],
        trained_at: Callable[[], datetime | None],
    ) -> None:
        self._target = target
        self._windows = windows
        self._forecasts = forecasts
        self._trained_at = trained_at
        self._last: dict[str, tuple[float, float]] = {}
        self._bin: datetime | None = None
        self._turns_to_drift = 0
        self._samples: list[Sample] = []

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """What the loop tells of itself."""
        return {self._target: collected_by("loop")}

    async def collect(self, now: datetime) -> list[Sample]:
        """What was judged of the last closed bin; the same until the next one closes."""
        windows = self._windows()
        closed = windows.last_closed_at(now)
        if closed != self._bin:
            self._bin, self._turns_to_drift = closed, _DRIFT_TURNS
            found = self._of_forecasts(windows, windows.last_values(now), closed)
            self._samples = self._told(found | self._of_time(closed), closed)
        elif self._turns_to_drift:
            self._turns_to_drift -= 1
            if not self._turns_to_drift:
                drift = await asyncio.to_thread(drift_ratio, windows.values(now))
                self._samples = [*self._samples, *self._told({"model_input_drift_ratio": drift}, closed)]
        return self._samples

    def _told(self, found: Mapping[str, float | None], closed: datetime) -> list[Sample]:
        """What was found of a bin, as of its end; what is not known is left out."""
        at = closed + timedelta(seconds=GRID_SECONDS)
        return [
            Sample(self._target, sensor, at, value)
            for sensor, value in found.items()
            if value is not None and CATALOGUE[sensor].is_plausible(value)
        ]

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: what was judged before is in the knowledge base."""
        return None

    def _of_forecasts(
        self, windows: GridWindows, actual: Floats, closed: datetime
    ) -> dict[str, float | None]:
        """How the forecasts in force did, over the series of which something came."""
        forecasts = self._forecasts()
        asked = [forecasts[one.target] for one in windows.series if one.target in forecasts]
        found: dict[str, float | None] = {"model_series_count": float(len(asked)) if asked else None}
        if not asked:
            return found
        found["model_cold_series_ratio"] = sum(one.status != "ok" for one in asked) / len(asked)
        pairs: list[tuple[ForecastPoint, float]] = []
        for one, came in zip(windows.series, actual.tolist(), strict=True):
            point = _point(forecasts.get(one.target), closed)
            if point is not None and not np.isnan(came):
                pairs.append((point, came))
        if pairs:
            error = sum(abs(point.mean - came) for point, came in pairs)
            size = sum(abs(came) for _, came in pairs)
            found["model_forecast_error_ratio"] = error / size if size > 0 else None
            inside = sum(point.lower <= came <= point.upper for point, came in pairs)
            found["model_interval_coverage_ratio"] = inside / len(pairs)
        return found

    def _of_time(self, closed: datetime) -> dict[str, float | None]:
        trained_at = self._trained_at()
        age = None if trained_at is None else (closed - trained_at).total_seconds()
        return {
            "model_inference_ms": self._mean_ms(PREDICTORS_FORECAST_SECONDS),
            "loop_turn_ms": self._mean_ms(LOOP_CYCLE_SECONDS),
            "model_champion_age_seconds": None if age is None else max(0.0, age),
        }

    def _mean_ms(self, instrument: Histogram) -> float | None:
        """Mean of what an instrument of this process observed since it was asked last; None if nothing was."""
        (family,) = instrument.collect()
        told = {sample.name.rpartition("_")[2]: sample.value for sample in family.samples}
        total, count = told["sum"], told["count"]
        total_before, count_before = self._last.get(family.name, (0.0, 0.0))
        self._last[family.name] = (total, count)
        return 1000.0 * (total - total_before) / (count - count_before) if count > count_before else None


def drift_ratio(values: Floats) -> float | None:
    """Share of series whose last hour lies outside all but the outermost hundredth of the week before it.

    Args:
        values: Bin means, shape (series, bins), oldest first, NaN where nothing was seen.

    Returns:
        0 to 1 over the series that have a day of history and a last hour; None without any.
    """
    before, hour = values[:, -(_WEEK + _HOUR) : -_HOUR], values[:, -_HOUR:]
    known = (np.count_nonzero(~np.isnan(before), axis=1) >= _LEAST) & (~np.isnan(hour)).any(axis=1)
    if not known.any():
        return None
    low, high = np.nanquantile(before[known], (_OUTERMOST, 1.0 - _OUTERMOST), axis=1)
    level = np.nanmean(hour[known], axis=1)
    return float(np.mean((level < low) | (level > high)))


def _point(forecast: Forecast | None, at: datetime) -> ForecastPoint | None:
    """What a forecast issued before says of a bin."""
    if forecast is None or forecast.issued_at >= at:
        return None
    return next((point for point in forecast.points if point.at == at), None)
