"""Observations: the sample, and the columns every frame and table of them has.

A frame is long: one row for each (target, sensor, instant). The grid is the spacing at which history is learnt from
and the live window is kept: the mean of a bin's samples, labelled by the bin's start, missing where there was none.
"""

from typing import Final, NamedTuple

from maximus_assets.contracts.base import Contract, Instant, Name

TARGET: Final = "target"
SENSOR: Final = "sensor"
OBSERVED_AT: Final = "observed_at"
VALUE: Final = "value"

FRAME_COLUMNS: Final[dict[str, str]] = {
    TARGET: "string",
    SENSOR: "string",
    OBSERVED_AT: "datetime[us, UTC]",
    VALUE: "float64",
}
"""Column -> type of a telemetry frame. Units are the sensor's (see `contracts.catalogue`)."""

GRID_SECONDS: Final = 300
"""Width of a grid bin: five minutes."""

COLLECT_SECONDS: Final = 15
"""How often live sensors are read unless configured otherwise."""


class Sample(NamedTuple):
    """One observation. A plain tuple, for twenty thousand of them cross every turn of a large fleet.

    Attributes:
        target: Name of the target observed.
        sensor: Name of a sensor of the catalogue.
        observed_at: Aware UTC instant at which the value was true.
        value: Finite number in the sensor's unit.
    """

    target: str
    sensor: str
    observed_at: Instant
    value: float


class Series(Contract):
    """Names one series: a sensor of a target."""

    target: Name
    sensor: Name

    def __str__(self) -> str:
        return f"{self.target}/{self.sensor}"
