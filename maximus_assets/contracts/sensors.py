"""What a sensor is: its unit, what is plausible, from where it is worth a warning, what to do when it goes missing.

A value outside a sensor's valid range is a measurement error, never a state of the world. A threshold is a state of the
world worth naming. An absent value is neither zero nor the last value until the sensor's policy says so. A value that
never changes is a broken instrument if the quantity cannot stand still, and says nothing if it can.

Which sensors there are is said in `contracts.catalogue`.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from maximus_assets.contracts.base import Contract, Name


class Category(StrEnum):
    """The five kinds of thing measured."""

    COMPUTE = "compute"
    NETWORK = "network"
    APPLICATION = "application"
    MODELS = "models"
    STORAGE = "storage"


class Hold(Contract):
    """Keep the last value however old: for quantities that change only when somebody changes them."""

    kind: Literal["hold"] = "hold"


class LastGood(Contract):
    """Keep the last value for a while, then have none."""

    kind: Literal["last_good"] = "last_good"
    limit_seconds: float = Field(gt=0)


class FailSafe(Contract):
    """Have no value, and forbid taking capacity away until there is one."""

    kind: Literal["fail_safe"] = "fail_safe"


class Exclude(Contract):
    """Have no value and decide without it."""

    kind: Literal["exclude"] = "exclude"


MissingPolicy = Annotated[Hold | LastGood | FailSafe | Exclude, Field(discriminator="kind")]


class Thresholds(Contract):
    """From where a value is worth a warning and from where it is critical; crossing means reaching.

    Attributes:
        warning: First threshold, in the sensor's unit.
        critical: Second threshold, further out.
        is_high_bad: Whether larger is worse.
    """

    warning: float
    critical: float
    is_high_bad: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> "Thresholds":
        if (self.critical >= self.warning) != self.is_high_bad and self.critical != self.warning:
            msg = "the critical threshold must lie beyond the warning threshold"
            raise ValueError(msg)
        return self

    def severity(self, value: float) -> Literal["normal", "warning", "critical"]:
        """Where `value` lies."""
        sign = 1.0 if self.is_high_bad else -1.0
        if sign * value >= sign * self.critical:
            return "critical"
        if sign * value >= sign * self.warning:
            return "warning"
        return "normal"


Unit = Literal[
    "ratio",
    "cores",
    "bytes",
    "bytes_per_second",
    "per_second",
    "ms",
    "seconds",
    "count",
    "load",
    "celsius",
    "watts",
]

Origin = Literal["host", "gpu", "database", "redis", "loop", "simulated", "prometheus", "files"]
"""Who reads a sensor. The first six are sources the product brings; `prometheus` needs a server of yours and a mapping
of its metrics to targets; `files` are what you hand to be learnt from."""


class Sensor(Contract):
    """One thing that is measured.

    Attributes:
        name: Its name; ends in its unit.
        category: Which of the five kinds.
        unit: SI unit or `ratio`.
        kind: `gauge` (true at an instant) or `rate` (a mean since the reading before).
        description: What it measures, in one sentence.
        minimum: Smallest plausible value.
        maximum: Largest plausible value.
        collected_by: Who reads it, at least one.
        thresholds: From where it is worth naming, if anywhere.
        staleness_limit_seconds: Age beyond which a value is no longer fresh.
        frozen_after_seconds: How long it may show one and the same value before it counts as frozen; None where it may
            stand still by nature (a limit, a total, a count of things that seldom change).
        rests_at: The values at which it may stand still all the same: an idle service's rate is zero for hours, and the
            share of a full processor is one. Only with `frozen_after_seconds`.
        missing: What stands in for an absent, stale or frozen value.
    """

    name: Name
    category: Category
    unit: Unit
    kind: Literal["gauge", "rate"]
    description: str
    minimum: float
    maximum: float
    collected_by: tuple[Origin, ...] = Field(min_length=1)
    thresholds: Thresholds | None = None
    staleness_limit_seconds: float = Field(default=60.0, gt=0)
    frozen_after_seconds: float | None = Field(default=None, gt=0)
    rests_at: tuple[float, ...] = ()
    missing: MissingPolicy

    @model_validator(mode="after")
    def _coherent(self) -> "Sensor":
        if self.minimum >= self.maximum:
            msg = f"minimum {self.minimum:g} is not below maximum {self.maximum:g}"
            raise ValueError(msg)
        if self.frozen_after_seconds is None and self.rests_at:
            msg = "a sensor that may stand still anywhere needs no values to rest at"
            raise ValueError(msg)
        if self.frozen_after_seconds is not None and self.frozen_after_seconds < self.staleness_limit_seconds:
            msg = "a value cannot be frozen before it could be stale"
            raise ValueError(msg)
        return self

    def is_plausible(self, value: float) -> bool:
        """Whether `value` is within the valid range; not-a-number never is."""
        return self.minimum <= value <= self.maximum

    def is_frozen(self, value: float, unchanged_seconds: float) -> bool:
        """Whether showing `value` and nothing else for so long means that nobody measures any more.

        Args:
            value: What it shows.
            unchanged_seconds: From when it showed that first to when it showed it last, by the values' own instants.
        """
        limit = self.frozen_after_seconds
        return limit is not None and unchanged_seconds > limit and value not in self.rests_at
