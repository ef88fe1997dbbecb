"""The machine or container this process runs on, as a source.

Inside a container, or where a control group's limit binds, processor and memory are the group's, never the machine's
(see `cgroup`). Every sensor is read by itself: one that cannot be read is absent this time, its reason is counted, and
the others are not touched. Which sensors this host can have at all is settled once, at the start.

Sources: proc(5), proc_pressure(5), psutil's documentation of `cpu_times` and `virtual_memory`.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import psutil

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.cgroup import Cgroup, PressureKind, PressureWho, pressure_ratio
from serving.monitor.instruments import AbsentError, Counters, Instruments, Round
from serving.monitor.kernel import Kernel, busy_seconds
from serving.monitor.own_cgroup import find_cgroup
from serving.monitor.source import History

_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, psutil.Error)
"""What reading a kernel's file can raise: gone, forbidden, of an unexpected shape, or unknown to this kernel."""


_PRESSURES: Final[dict[str, tuple[PressureKind, PressureWho]]] = {
    "cpu_pressure_ratio": ("cpu", "some"),
    "memory_pressure_ratio": ("memory", "some"),
    "memory_stalled_ratio": ("memory", "full"),
    "io_pressure_ratio": ("io", "some"),
    "io_stalled_ratio": ("io", "full"),
}


class HostSource:
    """Reads the host, or the container, this process runs in.

    Args:
        target: The target's name.
        clock: Measures the time between two readings.
        data_dir: A directory on the file system whose fill level matters.
        root: The file system's root, under which control groups and pressure are looked up.
    """

    name = "host"

    def __init__(self, target: str, *, clock: Clock, data_dir: Path, root: Path = Path("/")) -> None:
        self._target = target
        self._data_dir = data_dir
        self._root = root
        self._counters = Counters(clock.monotonic)
        self._round = Round()
        group = find_cgroup(root)
        self._cpu_group = group if group and (group.is_container or group.cpu_limit_cores()) else None
        self._memory_group = (
            group if group and (group.is_container or self._has_memory_limit(group)) else None
        )
        self._container = group if group and group.is_container else None
        self._instruments = Instruments(target, self._declared(), _UNREADABLE)

    @staticmethod
    def _has_memory_limit(group: Cgroup) -> bool:
        limit = group.memory_limit_bytes()
        return limit is not None and limit < psutil.virtual_memory().total

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """The sensors this host has."""
        return {self._target: self._instruments.sensors}

    @property
    def absences(self) -> Counter[tuple[str, str]]:
        """How often each (sensor, reason) was absent."""
        return self._instruments.absences

    async def collect(self, now: datetime) -> list[Sample]:
        """Read every sensor once, off the event loop; a file system that hangs cannot hold up the turn."""
        return await asyncio.to_thread(self.read, now)

    def read(self, now: datetime) -> list[Sample]:
        """Read every sensor once; each stands by itself.

        Args:
            now: The instant the samples carry.
        """
        self._round.begin()
        return self._instruments.read(now)

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: the kernel keeps no past."""
        return None

    # -- what this host has -----------------------------------------------------------------------------------------------

    def _declared(self) -> dict[str, Callable[[], float]]:
        """Sensor -> reader, for what this kernel and container can tell."""
        readers: dict[str, Callable[[], float]] = {
            "cpu_used_cores": self._cpu_used_cores,
            "cpu_limit_cores": self._cpu_limit_cores,
            "cpu_used_ratio": self._cpu_used_ratio,
            "memory_used_bytes": self._memory_used_bytes,
            "memory_limit_bytes": self._memory_limit_bytes,
            "memory_used_ratio": lambda: self._memory_used_bytes() / self._memory_limit_bytes(),
            "processes_count": lambda: float(len(psutil.pids())),
            "disk_used_ratio": lambda: psutil.disk_usage(str(self._data_dir)).percent / 100.0,
            "disk_used_bytes": lambda: psutil.disk_usage(str(self._data_dir)).used,
            "disk_limit_bytes": lambda: psutil.disk_usage(str(self._data_dir)).total,
            "disk_inodes_used_ratio": self._inodes,
            "disk_read_bytes_per_second": lambda: self._counters.rate("read", self._io()[0]),
            "disk_write_bytes_per_second": lambda: self._counters.rate("write", self._io()[1]),
            "disk_operations_per_second": lambda: self._counters.rate("operations", self._io()[2]),
        }
        kernel = Kernel(self._root, self._counters, self._round)
        readers |= kernel.network()
        if self._cpu_group and self._cpu_group.cpu_limit_cores():
            readers["cpu_throttled_ratio"] = self._cpu_throttled_ratio
        for sensor, (kind, who) in _PRESSURES.items():
            pressure = self._pressure_path(kind)
            if pressure is not None:
                readers[sensor] = self._pressure_reader(pressure, who)
        if self._container is None:
            # The kernel has these for the whole machine only, so a container has none of them.
            readers |= kernel.machine()
            if psutil.swap_memory().total > 0:
                readers["swap_used_ratio"] = lambda: psutil.swap_memory().percent / 100.0
        elif self._container.version == 2:
            readers["swap_used_ratio"] = self._group_swap_ratio
        return readers

    # -- processor --------------------------------------------------------------------------------------------------------

    def _cpu_seconds(self) -> float:
        if self._cpu_group:
            return self._cpu_group.cpu_used_seconds()
        return busy_seconds(psutil.cpu_times())

    def _cpu_used_cores(self) -> float:
        return self._counters.rate("cpu", self._cpu_seconds())

    def _cpu_limit_cores(self) -> float:
        if self._cpu_group is None:
            return float(psutil.cpu_count() or len(os.sched_getaffinity(0)))
        allowed = float(len(os.sched_getaffinity(0)))
        return min(allowed, self._cpu_group.cpu_limit_cores() or allowed)

    def _cpu_used_ratio(self) -> float:
        # The two files are read moments apart, so a full processor can come out a hair above one.
        used = self._counters.rate("cpu of limit", self._cpu_seconds())
        return min(1.0, used / self._cpu_limit_cores())

    def _cpu_throttled_ratio(self) -> float:
        assert self._cpu_group is not None
        throttling = self._cpu_group.throttling()
        periods, held = self._counters.growths(periods=throttling.periods, throttled=throttling.throttled)
        return min(1.0, held / periods) if periods else 0.0

    # -- memory, pressure ---------------------------------------------------------------------------------------------------

    def _memory_used_bytes(self) -> float:
        if self._memory_group:
            return self._memory_group.memory_used_bytes()
        memory = psutil.virtual_memory()
        return float(memory.total - memory.available)

    def _memory_limit_bytes(self) -> float:
        total = float(psutil.virtual_memory().total)
        limit = self._memory_group.memory_limit_bytes() if self._memory_group else None
        return total if limit is None else min(total, limit)

    def _group_swap_ratio(self) -> float:
        assert self._container is not None
        ratio = self._container.swap_used_ratio()
        if ratio is None:
            raise AbsentError("the container may not swap, or without a limit of its own")
        return ratio

    def _pressure_path(self, kind: PressureKind) -> Path | None:
        group = self._container
        path = group.pressure_file(kind) if group else self._root / "proc/pressure" / kind
        return path if path is not None and path.exists() else None

    @staticmethod
    def _pressure_reader(path: Path, who: PressureWho) -> Callable[[], float]:
        return lambda: pressure_ratio(path, who)

    # -- disks ----------------------------------------------------------------------------------------------------------------

    def _io(self) -> tuple[float, float, float]:
        """Bytes read, bytes written, operations finished, since the start of what counts them."""
        if self._container:
            return self._container.io()
        disks = psutil.disk_io_counters(nowrap=False)
        if disks is None:
            raise AbsentError("the kernel lists no disk")
        return disks.read_bytes, disks.write_bytes, disks.read_count + disks.write_count

    def _inodes(self) -> float:
        files = os.statvfs(self._data_dir)
        if files.f_files == 0:
            raise AbsentError("the file system makes room for files as they come")
        return 1.0 - files.f_ffree / files.f_files
