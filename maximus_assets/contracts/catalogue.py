"""The sensor catalogue: every sensor there is. Data alone; what its fields mean is said in `contracts.sensors`.

A sensor that is not listed here is never stored, forecast or sized by.
"""

from typing import Final, Literal

from maximus_assets.contracts.sensors import (
    Category,
    Exclude,
    FailSafe,
    Hold,
    LastGood,
    MissingPolicy,
    Sensor,
    Thresholds,
    Unit,
)

_SHORT: Final = LastGood(limit_seconds=120.0)
_EXCLUDE: Final = Exclude()
_HOLD: Final = Hold()
_FAIL_SAFE: Final = FailSafe()
_PIB: Final = float(2**50)


def _sensor(
    name: str,
    category: Category,
    unit: Unit,
    description: str,
    *,
    kind: Literal["gauge", "rate"] = "gauge",
    maximum: float = 1.0,
    thresholds: tuple[float, float] | None = None,
    missing: MissingPolicy = _SHORT,
) -> Sensor:
    return Sensor(
        name=name,
        category=category,
        unit=unit,
        kind=kind,
        description=description,
        minimum=0.0,
        maximum=maximum,
        thresholds=Thresholds(warning=thresholds[0], critical=thresholds[1]) if thresholds else None,
        missing=missing,
    )


_COMPUTE, _NETWORK, _APPLICATION, _STORAGE = (
    Category.COMPUTE,
    Category.NETWORK,
    Category.APPLICATION,
    Category.STORAGE,
)

_HOST: tuple[Sensor, ...] = (
    _sensor(
        "cpu_used_cores",
        _COMPUTE,
        "cores",
        "Processor time used each second, of the container where there is one, else of the host.",
        kind="rate",
        maximum=4096.0,
        missing=_FAIL_SAFE,
    ),
    _sensor("cpu_limit_cores", _COMPUTE, "cores", "Processors it may use.", maximum=4096.0, missing=_HOLD),
    _sensor(
        "cpu_used_ratio",
        _COMPUTE,
        "ratio",
        "Processor time used, of what it may use.",
        kind="rate",
        thresholds=(0.8, 0.95),
    ),
    _sensor(
        "cpu_busiest_core_ratio",
        _COMPUTE,
        "ratio",
        "Busy share of the busiest processor.",
        kind="rate",
        missing=_EXCLUDE,
    ),
    _sensor(
        "cpu_throttled_ratio",
        _COMPUTE,
        "ratio",
        "Share of scheduling periods in which the container was held back by its limit.",
        kind="rate",
        thresholds=(0.1, 0.5),
        missing=_EXCLUDE,
    ),
    _sensor(
        "cpu_pressure_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last 10 s in which some task waited for a processor (PSI).",
        thresholds=(0.5, 0.9),
        missing=_EXCLUDE,
    ),
    _sensor(
        "load_1m", _COMPUTE, "load", "Mean run-queue length over one minute.", maximum=1e6, missing=_EXCLUDE
    ),
    _sensor("memory_used_bytes", _COMPUTE, "bytes", "Memory in use that cannot be reclaimed.", maximum=_PIB),
    _sensor("memory_limit_bytes", _COMPUTE, "bytes", "Memory it may use.", maximum=_PIB, missing=_HOLD),
    _sensor(
        "memory_used_ratio", _COMPUTE, "ratio", "Memory in use, of what it may use.", thresholds=(0.85, 0.95)
    ),
    _sensor(
        "memory_pressure_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last 10 s in which some task waited for memory (PSI).",
        thresholds=(0.1, 0.4),
        missing=_EXCLUDE,
    ),
    _sensor(
        "swap_used_ratio",
        _COMPUTE,
        "ratio",
        "Swap in use, of what there is.",
        thresholds=(0.5, 0.9),
        missing=_EXCLUDE,
    ),
    _sensor("disk_used_ratio", _STORAGE, "ratio", "Data file system in use.", thresholds=(0.85, 0.95)),
    _sensor(
        "disk_read_bytes_per_second",
        _STORAGE,
        "bytes_per_second",
        "Bytes read from disks.",
        kind="rate",
        maximum=1e12,
        missing=_EXCLUDE,
    ),
    _sensor(
        "disk_write_bytes_per_second",
        _STORAGE,
        "bytes_per_second",
        "Bytes written to disks.",
        kind="rate",
        maximum=1e12,
        missing=_EXCLUDE,
    ),
    _sensor(
        "disk_operations_per_second",
        _STORAGE,
        "per_second",
        "Reads and writes finished.",
        kind="rate",
        maximum=1e9,
        missing=_EXCLUDE,
    ),
    _sensor(
        "disk_operation_ms",
        _STORAGE,
        "ms",
        "Mean time of a finished read or write.",
        kind="rate",
        maximum=1e6,
        missing=_EXCLUDE,
    ),
    _sensor(
        "io_pressure_ratio",
        _STORAGE,
        "ratio",
        "Share of the last 10 s in which some task waited for a disk (PSI).",
        thresholds=(0.3, 0.7),
        missing=_EXCLUDE,
    ),
    _sensor(
        "network_receive_bytes_per_second",
        _NETWORK,
        "bytes_per_second",
        "Bytes received.",
        kind="rate",
        maximum=1e12,
        missing=_EXCLUDE,
    ),
    _sensor(
        "network_transmit_bytes_per_second",
        _NETWORK,
        "bytes_per_second",
        "Bytes sent.",
        kind="rate",
        maximum=1e12,
        missing=_EXCLUDE,
    ),
    _sensor(
        "network_packets_per_second",
        _NETWORK,
        "per_second",
        "Packets received and sent.",
        kind="rate",
        maximum=1e10,
        missing=_EXCLUDE,
    ),
    _sensor(
        "network_errors_per_second",
        _NETWORK,
        "per_second",
        "Packets damaged, received or sent.",
        kind="rate",
        maximum=1e9,
        thresholds=(1.0, 100.0),
        missing=_EXCLUDE,
    ),
    _sensor(
        "network_drops_per_second",
        _NETWORK,
        "per_second",
        "Packets dropped, received or sent.",
        kind="rate",
        maximum=1e9,
        thresholds=(10.0, 1000.0),
        missing=_EXCLUDE,
    ),
)

_SERVICE: tuple[Sensor, ...] = (
    _sensor(
        "request_rate_per_second",
        _APPLICATION,
        "per_second",
        "Requests received.",
        kind="rate",
        maximum=1e8,
        missing=_FAIL_SAFE,
    ),
    _sensor(
        "request_error_ratio",
        _APPLICATION,
        "ratio",
        "Share of requests that failed.",
        kind="rate",
        thresholds=(0.01, 0.05),
    ),
    _sensor("request_p95_ms", _APPLICATION, "ms", "95th percentile of response time.", maximum=1e7),
    _sensor("request_queue_count", _APPLICATION, "count", "Requests waiting.", maximum=1e9),
    _sensor(
        "ready_replicas_count", _APPLICATION, "count", "Replicas that serve.", maximum=1e6, missing=_FAIL_SAFE
    ),
    _sensor(
        "replica_cpu_used_ratio",
        _COMPUTE,
        "ratio",
        "Mean processor use of the replicas.",
        thresholds=(0.85, 0.97),
    ),
    _sensor(
        "replica_memory_used_ratio",
        _COMPUTE,
        "ratio",
        "Mean memory use of the replicas.",
        thresholds=(0.85, 0.95),
    ),
    _sensor(
        "database_connections_used_ratio",
        _STORAGE,
        "ratio",
        "Database connections in use, of the pool.",
        thresholds=(0.8, 0.95),
        missing=_EXCLUDE,
    ),
)

_IMPORTED: tuple[Sensor, ...] = (
    Sensor(
        name="demand_count",
        category=_APPLICATION,
        unit="count",
        kind="gauge",
        description="Demand as a file of the user's states it, in that file's own unit.",
        minimum=-1e15,
        maximum=1e15,
        missing=_FAIL_SAFE,
    ),
)

HOST_SENSORS: Final[tuple[str, ...]] = tuple(sensor.name for sensor in _HOST)
"""What the host source collects, as far as the kernel has it."""

SERVICE_SENSORS: Final[tuple[str, ...]] = tuple(sensor.name for sensor in _SERVICE)
"""What a service reports; the simulated service reports all of them."""

CATALOGUE: Final[dict[str, Sensor]] = {sensor.name: sensor for sensor in (*_HOST, *_SERVICE, *_IMPORTED)}
"""Name -> sensor. Nothing outside it is ever stored."""

DEMAND_SENSORS: Final[tuple[str, ...]] = ("request_rate_per_second", "cpu_used_cores", "demand_count")
"""Sensors a target can be sized by: these are the ones that are forecast."""
