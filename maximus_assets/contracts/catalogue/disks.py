"""Sensors of disks and of the file system that holds the data. Sizes may stand still; rates may only at zero."""

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

_STORAGE: Final = Category.STORAGE

DISKS: Final[tuple[Sensor, ...]] = (
    declare(
        "disk_used_ratio",
        _STORAGE,
        "ratio",
        "Data file system in use.",
        *HOST,
        thresholds=(0.85, 0.95),
        missing=SHORT,
    ),
    declare(
        "disk_used_bytes",
        _STORAGE,
        "bytes",
        "Data file system in use.",
        *HOST,
        maximum=PIB,
        missing=SHORT,
    ),
    declare(
        "disk_limit_bytes",
        _STORAGE,
        "bytes",
        "Data file system's size.",
        *HOST,
        maximum=PIB,
        missing=HOLD,
    ),
    declare(
        "disk_inodes_used_ratio",
        _STORAGE,
        "ratio",
        "Files the data file system holds, of those it has room for.",
        *HOST,
        thresholds=(0.85, 0.95),
    ),
    host_rate(
        "disk_read_bytes_per_second", _STORAGE, "bytes_per_second", "Bytes read from disks.", maximum=TERABYTE
    ),
    host_rate(
        "disk_write_bytes_per_second",
        _STORAGE,
        "bytes_per_second",
        "Bytes written to disks.",
        maximum=TERABYTE,
    ),
    host_rate(
        "disk_operations_per_second", _STORAGE, "per_second", "Reads and writes finished.", maximum=1e9
    ),
    declare(
        "disk_operation_ms",
        _STORAGE,
        "ms",
        "Mean time of a finished read or write.",
        *HOST,
        kind="rate",
        maximum=1e6,
    ),
    declare(
        "disk_busy_ratio",
        _STORAGE,
        "ratio",
        "Share of time in which the busiest disk had something to do.",
        *HOST,
        kind="rate",
        thresholds=(0.9, 0.99),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "io_pressure_ratio",
        _STORAGE,
        "ratio",
        "Share of the last 10 s in which some task waited for a disk (PSI).",
        *HOST,
        thresholds=(0.3, 0.7),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "io_stalled_ratio",
        _STORAGE,
        "ratio",
        "Share of the last 10 s in which every task waited for a disk (PSI, full).",
        *HOST,
        thresholds=(0.2, 0.5),
        frozen=SOON,
        rests_at=IDLE_OR_FULL,
    ),
    declare(
        "file_handles_used_ratio",
        _STORAGE,
        "ratio",
        "File handles in use, of what the kernel allows.",
        *HOST,
        thresholds=(0.8, 0.95),
    ),
)
"""In the order in which they are shown."""
