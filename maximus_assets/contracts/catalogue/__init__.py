"""The sensor catalogue: every sensor there is. Data alone; what its fields mean is said in `contracts.sensors`.

A sensor that is not listed here is never stored, forecast or sized by. Each module lists some of one category; here they are
put together and asked about.
"""

from typing import Final

from maximus_assets.contracts.catalogue.application import APPLICATION
from maximus_assets.contracts.catalogue.compute import CORES, EACH_CORE, PROCESSOR, REPLICAS
from maximus_assets.contracts.catalogue.databases import DATABASE, REDIS
from maximus_assets.contracts.catalogue.disks import DISKS
from maximus_assets.contracts.catalogue.memory import GPU, MEMORY
from maximus_assets.contracts.catalogue.models import MODELS
from maximus_assets.contracts.catalogue.network import NETWORK
from maximus_assets.contracts.sensors import Origin, Sensor

__all__ = [
    "CATALOGUE",
    "CORES",
    "DEMAND_SENSORS",
    "HOST_SENSORS",
    "SERVICE_SENSORS",
    "collected_by",
]

CATALOGUE: Final[dict[str, Sensor]] = {
    sensor.name: sensor
    for sensor in (
        *PROCESSOR,
        *EACH_CORE,
        *MEMORY,
        *GPU,
        *REPLICAS,
        *NETWORK,
        *APPLICATION,
        *MODELS,
        *DISKS,
        *DATABASE,
        *REDIS,
    )
}
"""Name -> sensor. Nothing outside it is ever stored."""


def collected_by(origin: Origin) -> tuple[str, ...]:
    """The sensors a source of this kind reads, as far as the machine has them; in the catalogue's order."""
    return tuple(sensor.name for sensor in CATALOGUE.values() if origin in sensor.collected_by)


HOST_SENSORS: Final[tuple[str, ...]] = collected_by("host")
"""What the host source collects, as far as the kernel has it."""

SERVICE_SENSORS: Final[tuple[str, ...]] = (
    "request_rate_per_second",
    "request_error_ratio",
    "request_p95_ms",
    "request_queue_count",
    "ready_replicas_count",
    "replica_cpu_used_ratio",
    "replica_memory_used_ratio",
    "database_connections_used_ratio",
)
"""What the simulated service reports, in the order in which it does."""

DEMAND_SENSORS: Final[tuple[str, ...]] = ("request_rate_per_second", "cpu_used_cores", "demand_count")
"""Sensors a target can be sized by: these are the ones that are forecast."""
