"""What the readings and the forecast of a target amount to: one Situation, with a severity and its reasons.

Nothing is decided here, and no figure is made up: a sensor without a value adds nothing to the severity, but one that
must fail safe says that telemetry is lost, which forbids taking capacity away.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.situation import Reading, Situation
from maximus_assets.contracts.target import Target

Severity = Literal["normal", "warning", "critical"]

_ORDER: Final[tuple[Severity, ...]] = ("normal", "warning", "critical")


def analyze(target: Target, readings: Mapping[str, Reading], forecast: Forecast, now: datetime) -> Situation:
    """The situation of one target.

    Args:
        target: The target.
        readings: Sensor -> reading; the demand sensor counts as lost when it is not among them.
        forecast: What is expected of its demand.
        now: The turn's instant.
    """
    demand = readings.get(target.demand_sensor)
    known = dict(readings)
    if demand is None:
        known[target.demand_sensor] = Reading(
            sensor=target.demand_sensor, value=None, observed_at=None, is_fresh=False, must_fail_safe=True
        )
    severity: Severity = "normal"
    concerns: list[str] = []
    for name, reading in known.items():
        if reading.must_fail_safe and reading.value is None:
            concerns.append(f"{name} is missing")
        reached = _severity(name, reading)
        if reached != "normal":
            concerns.append(f"{name} is at or beyond its {reached} threshold")
            severity = max(severity, reached, key=_ORDER.index)
    return Situation(
        target=target.name,
        at=now,
        readings=known,
        demand_sensor=target.demand_sensor,
        forecast=forecast,
        severity=severity,
        concerns=tuple(concerns),
        telemetry_lost=any(reading.must_fail_safe and reading.value is None for reading in known.values()),
    )


def _severity(name: str, reading: Reading) -> Severity:
    thresholds = CATALOGUE[name].thresholds
    if thresholds is None or reading.value is None:
        return "normal"
    return thresholds.severity(reading.value)
