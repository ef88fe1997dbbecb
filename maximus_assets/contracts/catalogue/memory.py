"""Sensors of memory, swap and GPUs.

Memory in use may stand still anywhere: a quiet container's does. What the kernel counts only when something goes wrong
may rest at zero.
"""

from typing import Final

from maximus_assets.contracts.catalogue.declare import (
    HOLD,
    HOST,
    IDLE_OR_FULL,
    PIB,
    SHORT,
    SOON,
    TERABYTE,
    declare,
    host_rate,
)
from maximus_assets.contracts.sensors import Category, Sensor

_COMPUTE: Final = Category.COMPUTE

MEMORY: Final[tuple[Sensor, ...]] = (
    declare(
        "memory_used_bytes",
        _COMPUTE,
        "bytes",
        "Memory in use that cannot be reclaimed.",
        *HOST,
        maximum=PIB,
        missing=SHORT,
    ),
    declare(
        "memory_limit_bytes",
        _COMPUTE,
        "bytes",
        "Memory it may use.",
        *HOST,
        maximum=PIB,
        missing=HOLD,
    ),
    declare(
        "memory_used_ratio",
        _COMPUTE,
        "ratio",
        "Memory in use, of what it may use.",
        *HOST,
        thresholds=(0.85, 0.95),
        missing=SHORT,
    ),
    declare(
        "memory_pressure_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last 10 s in which some task waited for memory (PSI).",
        *HOST,
        thresholds=(0.1, 0.4),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "memory_stalled_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last 10 s in which every task waited for memory (PSI, full).",
        *HOST,
        thresholds=(0.05, 0.2),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    host_rate(
        "memory_major_faults_per_second",
        _COMPUTE,
        "per_second",
        "Pages that had to be read from a disk because they were not in memory.",
        maximum=1e9,
    ),
    host_rate(
        "memory_oom_kills_per_second",
        _COMPUTE,
        "per_second",
        "Processes the kernel ended for want of memory.",
        maximum=1e6,
        thresholds=(0.001, 0.1),
    ),
    declare(
        "swap_used_ratio",
        _COMPUTE,
        "ratio",
        "Swap in use, of what there is.",
        *HOST,
        thresholds=(0.5, 0.9),
    ),
    host_rate(
        "swap_in_bytes_per_second",
        _COMPUTE,
        "bytes_per_second",
        "Bytes brought back from swap.",
        maximum=TERABYTE,
    ),
    host_rate(
        "swap_out_bytes_per_second", _COMPUTE, "bytes_per_second", "Bytes written to swap.", maximum=TERABYTE
    ),
)
"""Of the container where there is one, else of the host."""

GPU: Final[tuple[Sensor, ...]] = (
    declare("gpu_count", _COMPUTE, "count", "GPUs that answer.", "gpu", maximum=1024.0),
    declare(
        "gpu_used_ratio",
        _COMPUTE,
        "ratio",
        "Share of the last sampling period in which a kernel ran, mean over the GPUs.",
        "gpu",
        thresholds=(0.9, 0.99),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "gpu_busiest_ratio",
        _COMPUTE,
        "ratio",
        "The same of the busiest GPU.",
        "gpu",
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "gpu_memory_used_bytes",
        _COMPUTE,
        "bytes",
        "GPU memory in use, all GPUs together.",
        "gpu",
        maximum=PIB,
    ),
    declare(
        "gpu_memory_limit_bytes",
        _COMPUTE,
        "bytes",
        "GPU memory there is, all GPUs together.",
        "gpu",
        maximum=PIB,
        missing=HOLD,
    ),
    declare(
        "gpu_memory_used_ratio",
        _COMPUTE,
        "ratio",
        "Memory in use of the fullest GPU, of what it has.",
        "gpu",
        thresholds=(0.9, 0.98),
    ),
    declare(
        "gpu_temperature_celsius",
        _COMPUTE,
        "celsius",
        "Temperature of the hottest GPU.",
        "gpu",
        minimum=-40.0,
        maximum=150.0,
        thresholds=(83.0, 90.0),
    ),
    declare(
        "gpu_power_watts",
        _COMPUTE,
        "watts",
        "Power drawn by all GPUs together.",
        "gpu",
        maximum=1e6,
    ),
)
"""Over all GPUs of the host."""
