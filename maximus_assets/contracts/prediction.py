"""What models say: forecasts with intervals, and the columns that cross the model's signature.

The signature is declared here, never inferred. The caller hands over raw grid windows in long form; the model answers
one row for each series and step.
"""

from datetime import datetime
from typing import Final, Literal, NamedTuple

from pydantic import Field, model_validator

from maximus_assets.contracts.base import Contract, Instant, Name
from maximus_assets.contracts.telemetry import GRID_SECONDS, Series

FORECAST_INPUT: Final[dict[str, str]] = {
    "target": "string",
    "sensor": "string",
    "observed_at": "datetime",
    "value": "double",
}
"""Columns of the forecaster's input: one row for each series and grid bin, naive UTC instants (MLflow's `datetime`
has no zone), NaN where the bin is missing. Every series ends at the same bin."""

FORECAST_OUTPUT: Final[dict[str, str]] = {
    "target": "string",
    "sensor": "string",
    "step": "long",
    "mean": "double",
    "lower": "double",
    "upper": "double",
    "status": "string",
    "method": "string",
}
"""Columns of its answer: `step` counts bins after the window's last one, from 1. A series that cannot be forecast has
one row with step 0, NaN figures and a status other than `ok`."""

FORECAST_PARAMS: Final[dict[str, int]] = {"horizon_steps": 12}
"""Parameters of a call, with their defaults: how many steps ahead, 1 to 288."""

INTERVAL_COVERAGE: Final = 0.9
"""Share of outcomes a forecast interval is meant to hold."""

HOUR_STEPS: Final = 3600 // GRID_SECONDS
"""Bins of the hour ahead whose mean a forecaster is judged by, in the backtest and live."""

ForecastStatus = Literal["ok", "cold", "unknown_series"]
"""`cold`: the window is too short or too full of holes. `unknown_series`: the champion never learnt it."""


class ForecastPoint(Contract):
    """One step of a forecast, in the sensor's unit; `lower <= mean <= upper`."""

    at: Instant
    mean: float
    lower: float
    upper: float

    @model_validator(mode="after")
    def _ordered(self) -> "ForecastPoint":
        if not self.lower <= self.mean <= self.upper:
            msg = f"forecast bounds out of order: {self.lower} <= {self.mean} <= {self.upper}"
            raise ValueError(msg)
        return self


class Forecast(Contract):
    """What the champion expects of one series.

    Attributes:
        target: The target.
        sensor: The sensor.
        issued_at: Start of the last grid bin the forecast knew.
        status: `ok`, or why there are no points.
        reason: The status in words when it is not `ok`; else what is to be known of the champion, mostly nothing.
        method: How this series is forecast (`seasonal_naive`, `sarima`), empty when there are no points.
        model_version: Registry version of the champion, empty when there was none.
        coverage: Share of outcomes the interval is meant to hold.
        points: One for each step ahead, in order; empty unless `ok`.
    """

    target: Name
    sensor: Name
    issued_at: Instant
    status: ForecastStatus | Literal["no_champion"]
    reason: str = ""
    method: str = ""
    model_version: str = ""
    coverage: float = Field(default=INTERVAL_COVERAGE, gt=0.0, lt=1.0)
    points: tuple[ForecastPoint, ...] = ()

    @model_validator(mode="after")
    def _has_points_when_ok(self) -> "Forecast":
        if (self.status == "ok") != bool(self.points):
            msg = f"a forecast has points exactly when its status is ok, not {self.status} with {len(self.points)}"
            raise ValueError(msg)
        return self


class JudgedForecasts(NamedTuple):
    """What one version expected of many series at one bin: as little as judging it needs.

    Attributes:
        role: `champion` or `challenger-<recipe>`: what the version was when it said so.
        model_version: Registry version.
        issued_at: Start of the last bin it knew.
        series: Those it had a forecast for; each of what follows has one figure for each, in the sensor's unit.
        next_mean: Expected in the bin that follows, the one the loop plans by.
        next_lower: Lower bound of its interval.
        next_upper: Upper bound.
        hour_mean: Mean expected over the hour that follows.
    """

    role: str
    model_version: str
    issued_at: datetime
    series: tuple[Series, ...]
    next_mean: tuple[float, ...]
    next_lower: tuple[float, ...]
    next_upper: tuple[float, ...]
    hour_mean: tuple[float, ...]
