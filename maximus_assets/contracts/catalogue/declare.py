"""How a line of the catalogue is written: what most sensors share is said here once.

Belongs here: defaults and the policies by name. Does not: any sensor.
"""

from typing import Final, Literal

from maximus_assets.contracts.sensors import (
    Category,
    Exclude,
    FailSafe,
    Hold,
    LastGood,
    MissingPolicy,
    Origin,
    Sensor,
    Thresholds,
    Unit,
)

SHORT: Final = LastGood(limit_seconds=120.0)
EXCLUDE: Final = Exclude()
HOLD: Final = Hold()
FAIL_SAFE: Final = FailSafe()

HOST: Final[tuple[Origin, ...]] = ("host", "prometheus")
"""Who reads what every host tells of itself."""

PIB: Final = float(2**50)
TERABYTE: Final = 1e12

SOON: Final = 600.0
"""Forty readings fifteen seconds apart: no busy counter grows by the same amount so often."""

IDLE: Final = (0.0,)
FULL: Final = (1.0,)
IDLE_OR_FULL: Final = (0.0, 1.0)


def declare(
    name: str,
    category: Category,
    unit: Unit,
    description: str,
    *by: Origin,
    kind: Literal["gauge", "rate"] = "gauge",
    minimum: float = 0.0,
    maximum: float = 1.0,
    thresholds: tuple[float, float] | None = None,
    is_high_bad: bool = True,
    missing: MissingPolicy = EXCLUDE,
    stale: float = 60.0,
    frozen: float | None = None,
    rests_at: tuple[float, ...] = (),
) -> Sensor:
    """One sensor; a ratio that nothing is decided on unless it says otherwise.

    Args:
        name: Ends in its unit.
        category: Which of the five kinds.
        unit: SI unit or `ratio`.
        description: What it measures, in one sentence.
        by: Who reads it, at least one.
        kind: `gauge` or `rate`.
        minimum: Smallest plausible value.
        maximum: Largest plausible value.
        thresholds: Warning and critical, if any.
        is_high_bad: Whether larger is worse.
        missing: What stands in for it.
        stale: Seconds after which a value is no longer fresh.
        frozen: Seconds after which an unchanged value is frozen, if it ever is.
        rests_at: Values at which it may stand still all the same.
    """
    return Sensor(
        name=name,
        category=category,
        unit=unit,
        kind=kind,
        description=description,
        minimum=minimum,
        maximum=maximum,
        collected_by=by,
        thresholds=None
        if thresholds is None
        else Thresholds(warning=thresholds[0], critical=thresholds[1], is_high_bad=is_high_bad),
        staleness_limit_seconds=stale,
        frozen_after_seconds=frozen,
        rests_at=rests_at,
        missing=missing,
    )


def host_rate(
    name: str,
    category: Category,
    unit: Unit,
    description: str,
    *,
    maximum: float = 1.0,
    thresholds: tuple[float, float] | None = None,
) -> Sensor:
    """How fast something a host counts goes up: idle at zero, and otherwise never the same for long.

    Args:
        name: Ends in its unit.
        category: Which of the five kinds.
        unit: SI unit or `ratio`.
        description: What it measures, in one sentence.
        maximum: Largest plausible value.
        thresholds: Warning and critical, if any.
    """
    return declare(
        name,
        category,
        unit,
        description,
        *HOST,
        kind="rate",
        maximum=maximum,
        thresholds=thresholds,
        frozen=SOON,
        rests_at=IDLE,
    )
