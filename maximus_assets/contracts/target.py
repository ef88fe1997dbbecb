"""What is watched and sized: a target, where its telemetry comes from, and what its capacity is counted in."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, model_validator

from maximus_assets.contracts.base import Contract, Name
from maximus_assets.contracts.catalogue import CATALOGUE

PRODUCT: Final = "maximus"
"""The name under which the product observes itself: its database, its cache, its models. It is never sized, and no
target may have it."""


class ReplicaSizing(Contract):
    """Capacity is a number of equal replicas behind one queue.

    Attributes:
        service_time_ms: Mean time one replica works on one request.
        slo_p95_ms: Response time that 95 % of requests must stay within.
        minimum: Fewest replicas.
        maximum: Most replicas.
        startup_seconds: From the decision to a replica that serves: the lead a forecast must cover.
    """

    kind: Literal["replicas"] = "replicas"
    service_time_ms: float = Field(default=50.0, gt=0)
    slo_p95_ms: float = Field(default=250.0, gt=0)
    minimum: int = Field(default=2, ge=1)
    maximum: int = Field(default=60, ge=1, le=1000)
    startup_seconds: float = Field(default=120.0, gt=0)

    @model_validator(mode="after")
    def _feasible(self) -> "ReplicaSizing":
        if self.minimum > self.maximum:
            msg = f"minimum {self.minimum} is above maximum {self.maximum}"
            raise ValueError(msg)
        return self


class CoreSizing(Contract):
    """Capacity is a number of processor cores, of which a share should be busy.

    Attributes:
        utilization: Busy share to plan for.
        minimum: Fewest cores.
        maximum: Most cores.
        startup_seconds: From the decision to the new limit in force.
    """

    kind: Literal["cores"] = "cores"
    utilization: float = Field(default=0.7, gt=0, le=1)
    minimum: float = Field(default=0.5, ge=0.05)
    maximum: float = Field(default=1024.0, le=1024.0)
    startup_seconds: float = Field(default=15.0, gt=0)

    @model_validator(mode="after")
    def _feasible(self) -> "CoreSizing":
        if self.minimum > self.maximum:
            msg = f"minimum {self.minimum} is above maximum {self.maximum}"
            raise ValueError(msg)
        return self


Sizing = Annotated[ReplicaSizing | CoreSizing, Field(discriminator="kind")]


class Target(Contract):
    """One thing the loop watches and sizes.

    Attributes:
        name: Unique name.
        group: The cluster or host it belongs to.
        source: Where its telemetry comes from.
        demand_sensor: The sensor it is sized by, in the catalogue.
        sizing: What its capacity is counted in, and within which bounds.
        seed: Of the simulation, for a simulated target.
    """

    name: Name
    group: Name = "default"
    source: Literal["host", "simulated", "prometheus"]
    demand_sensor: Name
    sizing: Sizing
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _known_sensor(self) -> "Target":
        if self.demand_sensor not in CATALOGUE:
            msg = f"demand_sensor {self.demand_sensor} is not in the sensor catalogue"
            raise ValueError(msg)
        return self


TARGETS: Final = TypeAdapter(tuple[Target, ...])
"""Reads and writes a list of targets as JSON, the form in which one process hands it to another."""

DEFAULT_TARGETS: Final[tuple[Target, ...]] = (
    Target(name="host", group="local", source="host", demand_sensor="cpu_used_cores", sizing=CoreSizing()),
    Target(
        name="demo-shop",
        group="simulated",
        source="simulated",
        demand_sensor="request_rate_per_second",
        sizing=ReplicaSizing(),
    ),
)
"""What a machine without a `maximus.toml` watches: itself, and a simulated shop."""
