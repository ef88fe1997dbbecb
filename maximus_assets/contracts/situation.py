"""What the rooms of the loop hand to one another: the window that was seen, and what it amounts to."""

from typing import Literal, NamedTuple

from pydantic import Field, SkipValidation

from maximus_assets.contracts.base import Contract, Instant, Name
from maximus_assets.contracts.prediction import Forecast


class Reading(NamedTuple):
    """The present value of one sensor after its missing-data policy was applied.

    A plain tuple, for ten thousand are made every turn of a large fleet, each from a sample that was checked when it
    came in: the sensor is in the catalogue, the value plausible, the instant aware.

    Attributes:
        sensor: The sensor.
        value: Its value in its unit, or None where the policy leaves none.
        observed_at: When that value was true; None where it never was.
        is_fresh: Whether it is within the sensor's staleness limit and not frozen.
        is_frozen: Whether it has shown one value for longer than what it measures can stand still.
        must_fail_safe: Whether its absence forbids taking capacity away.
    """

    sensor: Name
    value: float | None
    observed_at: Instant | None
    is_fresh: bool
    is_frozen: bool = False
    must_fail_safe: bool = False


class Window(Contract):
    """The recent past of one series on the grid.

    Attributes:
        target: The target.
        sensor: The sensor.
        end_at: Start of the last whole bin.
        values: One for each bin, oldest first, None where nothing was seen.
    """

    target: Name
    sensor: Name
    end_at: Instant
    values: tuple[float | None, ...]


class TelemetryState(Contract):
    """How far the telemetry of all targets together can be believed.

    Attributes:
        is_lost: Whether so much of it is stale or frozen that nothing may be taken away from any target.
        reason: Why, in words without figures; empty while it is not lost.
        blind_targets: How many targets lack a sensor that must fail safe.
        good_turns: How many turns in a row it has been whole since it was lost; 0 while it never was.
    """

    is_lost: bool = False
    reason: str = ""
    blind_targets: int = Field(default=0, ge=0)
    good_turns: int = Field(default=0, ge=0)


class Situation(Contract):
    """What is known of one target in one turn, ready to be planned for.

    Attributes:
        target: The target.
        at: The turn's instant.
        readings: Sensor -> reading; taken as it is, for it is made in the same turn.
        demand_sensor: The sensor the target is sized by.
        forecast: What is expected of it.
        severity: `normal`, `warning` or `critical`: the worst of the readings against the catalogue's thresholds.
        concerns: Why the severity is what it is, in words.
        telemetry_lost: Whether a sensor that must fail safe has no value: then nothing may be taken away.
        freeze_reason: Why nothing may be taken away from any target this turn, in words; empty when it may.
    """

    target: Name
    at: Instant
    readings: SkipValidation[dict[str, Reading]]
    demand_sensor: Name
    forecast: Forecast
    severity: Literal["normal", "warning", "critical"] = "normal"
    concerns: tuple[str, ...] = ()
    telemetry_lost: bool = Field(default=False)
    freeze_reason: str = ""
