"""Sensors of processors, of the host's and of a service's replicas.

Shares that are cut off at one (a full processor) may rest there; what the kernel counts only when something goes wrong
may rest at zero.
"""

from typing import Final

from maximus_assets.contracts.catalogue.declare import (
    FAIL_SAFE,
    FULL,
    HOLD,
    HOST,
    IDLE,
    IDLE_OR_FULL,
    SHORT,
    SOON,
    declare,
    host_rate,
)
from maximus_assets.contracts.sensors import Category, Sensor

_COMPUTE: Final = Category.COMPUTE

CORES: Final = 64
"""So many processors are shown one by one; of a larger machine the first ones, and the busiest of all."""

PROCESSOR: Final[tuple[Sensor, ...]] = (
    declare(
        "cpu_used_cores",
        _COMPUTE,
        "cores",
        "Processor time used each second, of the container where there is one, else of the host.",
        *HOST,
        kind="rate",
        maximum=4096.0,
        missing=FAIL_SAFE,
        frozen=SOON,
        rests_at=IDLE,
    ),
    declare(
        "cpu_limit_cores",
        _COMPUTE,
        "cores",
        "Processors it may use.",
        *HOST,
        maximum=4096.0,
        missing=HOLD,
    ),
    declare(
        "cpu_used_ratio",
        _COMPUTE,
        "ratio",
        "Processor time used, of what it may use.",
        *HOST,
        kind="rate",
        thresholds=(0.8, 0.95),
        missing=SHORT,
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "cpu_busiest_core_ratio",
        _COMPUTE,
        "ratio",
        "Busy share of the busiest processor.",
        "host",
        kind="rate",
        frozen=SOON,
        rests_at=FULL,
    ),
    host_rate("cpu_kernel_ratio", _COMPUTE, "ratio", "Share of processor time spent inside the kernel."),
    host_rate(
        "cpu_waiting_ratio", _COMPUTE, "ratio", "Share of processor time idle while a disk was waited for."
    ),
    host_rate(
        "cpu_stolen_ratio",
        _COMPUTE,
        "ratio",
        "Share of processor time the hypervisor gave to other machines.",
        thresholds=(0.1, 0.3),
    ),
    declare(
        "cpu_throttled_ratio",
        _COMPUTE,
        "ratio",
        "Share of scheduling periods in which the container was held back by its limit.",
        *HOST,
        kind="rate",
        thresholds=(0.1, 0.5),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "cpu_pressure_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last 10 s in which some task waited for a processor (PSI).",
        *HOST,
        thresholds=(0.5, 0.9),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "load_1m",
        _COMPUTE,
        "load",
        "Mean run-queue length over one minute.",
        *HOST,
        maximum=1e6,
    ),
    declare(
        "context_switches_per_second",
        _COMPUTE,
        "per_second",
        "Times a processor went over to another task.",
        *HOST,
        kind="rate",
        maximum=1e10,
        frozen=SOON,
    ),
    declare(
        "processes_count",
        _COMPUTE,
        "count",
        "Processes there are.",
        *HOST,
        maximum=1e8,
    ),
)

EACH_CORE: Final[tuple[Sensor, ...]] = tuple(
    declare(
        f"cpu_core_{number}_used_ratio",
        _COMPUTE,
        "ratio",
        f"Busy share of processor {number}.",
        "host",
        kind="rate",
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    )
    for number in range(CORES)
)
"""One sensor a processor."""

REPLICAS: Final[tuple[Sensor, ...]] = (
    declare(
        "replica_cpu_used_ratio",
        _COMPUTE,
        "ratio",
        "Mean processor use of the replicas.",
        "simulated",
        "prometheus",
        thresholds=(0.85, 0.97),
        missing=SHORT,
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "replica_memory_used_ratio",
        _COMPUTE,
        "ratio",
        "Mean memory use of the replicas.",
        "simulated",
        "prometheus",
        thresholds=(0.85, 0.95),
        missing=SHORT,
    ),
)
"""Means over a service's replicas."""
