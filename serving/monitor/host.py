"""The machine or container this process runs on, as a source.

Inside a container, or where a control group's limit binds, processor and memory are the group's, never the machine's
(see `cgroup`). Every sensor is read by itself: one that cannot be read is absent this time, its reason is counted, and
the others are not touched. Which sensors this host can have at all is settled once, at the start.

Sources: proc(5), proc_pressure(5), psutil's documentation of `cpu_times` and `virtual_memory`.
"""

import asyncio
import math
import os
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from maximus_assets.contracts.catalogue import CATALOGUE, HOST_SENSORS
from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.cgroup import Cgroup, PressureKind, find_cgroup, pressure_ratio
from serving.monitor.source import History

_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, psutil.Error)
"""What reading a kernel's file can raise: gone, forbidden, of an unexpected shape, or unknown to this kernel."""


class AbsentError(Exception):
    """A sensor has no value this time, for a reason that is no error."""


class Counters:
    """Rates from successive readings of counters that only grow.

    A counter that went back was reset (a reboot of what it counts, a wrap-around): then there is no rate this once.

    Args:
        monotonic: The clock's monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: dict[str, tuple[float, float]] = {}

    def growth(self, name: str, value: float) -> tuple[float, float]:
        """How much a counter grew, and in how many seconds, since it was read before.

        Raises:
            AbsentError: On its first reading, after a reset, or if no time has passed.
        """
        at = self._monotonic()
        before = self._last.get(name)
        if before is not None and value >= before[0] and at <= before[1]:
            msg = "no time has passed since the reading before"
            raise AbsentError(msg)
        self._last[name] = (value, at)
        if before is None:
            msg = "a rate needs two readings"
            raise AbsentError(msg)
        if value < before[0]:
            msg = "the counter went back"
            raise AbsentError(msg)
        return value - before[0], at - before[1]

    def growths(self, **values: float) -> tuple[float, ...]:
        """How much several counters grew; all are remembered, also if one of them has no growth this time.

        Raises:
            AbsentError: As `growth`, for any of them.
        """
        grown: list[float] = []
        absent: AbsentError | None = None
        for name, value in values.items():
            try:
                grown.append(self.growth(name, value)[0])
            except AbsentError as error:
                absent = error
        if absent is not None:
            raise absent
        return tuple(grown)

    def read_at(self, name: str) -> float:
        """When a counter was read last, on the monotonic clock; minus infinity if never."""
        return self._last.get(name, (0.0, -math.inf))[1]

    def rate(self, name: str, value: float) -> float:
        """Growth per second.

        Raises:
            AbsentError: As `growth`.
        """
        grown, seconds = self.growth(name, value)
        return grown / seconds


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
        self.absences: Counter[tuple[str, str]] = Counter()
        """How often each (sensor, reason) was absent."""

        group = find_cgroup(root)
        self._cpu_group = group if group and (group.is_container or group.cpu_limit_cores()) else None
        self._memory_group = (
            group if group and (group.is_container or self._has_memory_limit(group)) else None
        )
        self._container = group if group and group.is_container else None
        self._readers = self._declared()

    @staticmethod
    def _has_memory_limit(group: Cgroup) -> bool:
        limit = group.memory_limit_bytes()
        return limit is not None and limit < psutil.virtual_memory().total

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """The sensors this host has."""
        return {self._target: tuple(self._readers)}

    async def collect(self, now: datetime) -> list[Sample]:
        """Read every sensor once, off the event loop; a file system that hangs cannot hold up the turn."""
        return await asyncio.to_thread(self.read, now)

    def read(self, now: datetime) -> list[Sample]:
        """Read every sensor once; each stands by itself.

        Args:
            now: The instant the samples carry.
        """
        samples: list[Sample] = []
        for sensor, reader in self._readers.items():
            try:
                value = float(reader())
            except AbsentError as absent:
                self.absences[sensor, str(absent)] += 1
            except _UNREADABLE as error:
                self.absences[sensor, type(error).__name__] += 1
            else:
                if CATALOGUE[sensor].is_plausible(value):
                    samples.append(Sample(self._target, sensor, now, value))
                else:
                    self.absences[sensor, "implausible"] += 1
        return samples

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:  # noqa: ARG002
        """None: the kernel keeps no past."""
        return None

    # -- what this host has -----------------------------------------------------------------------------------------------

    def _declared(self) -> dict[str, Callable[[], float]]:
        """Sensor -> reader, in the catalogue's order, for what this kernel and container can tell."""
        readers: dict[str, Callable[[], float]] = {
            "cpu_used_cores": self._cpu_used_cores,
            "cpu_limit_cores": self._cpu_limit_cores,
            "cpu_used_ratio": self._cpu_used_ratio,
            "memory_used_bytes": self._memory_used_bytes,
            "memory_limit_bytes": self._memory_limit_bytes,
            "memory_used_ratio": lambda: self._memory_used_bytes() / self._memory_limit_bytes(),
            "disk_used_ratio": lambda: psutil.disk_usage(str(self._data_dir)).percent / 100.0,
            "disk_read_bytes_per_second": lambda: self._counters.rate("read", self._io()[0]),
            "disk_write_bytes_per_second": lambda: self._counters.rate("write", self._io()[1]),
            "disk_operations_per_second": lambda: self._counters.rate("operations", self._io()[2]),
        }
        # /proc/net is the network namespace's own, so these are right inside a container too.
        for sensor, fields in (
            ("network_receive_bytes_per_second", ("bytes_recv",)),
            ("network_transmit_bytes_per_second", ("bytes_sent",)),
            ("network_packets_per_second", ("packets_recv", "packets_sent")),
            ("network_errors_per_second", ("errin", "errout")),
            ("network_drops_per_second", ("dropin", "dropout")),
        ):
            readers[sensor] = self._network_reader(sensor, fields)
        if self._cpu_group and self._cpu_group.cpu_limit_cores():
            readers["cpu_throttled_ratio"] = self._cpu_throttled_ratio
        for sensor, pressure in (
            ("cpu_pressure_ratio", self._pressure_path("cpu")),
            ("memory_pressure_ratio", self._pressure_path("memory")),
            ("io_pressure_ratio", self._pressure_path("io")),
        ):
            if pressure is not None:
                readers[sensor] = self._pressure_reader(pressure)
        if self._container is None:
            # The kernel has these for the whole machine only, so a container has none of them.
            readers["load_1m"] = lambda: os.getloadavg()[0]
            readers["cpu_busiest_core_ratio"] = self._cpu_busiest_core_ratio
            readers["disk_operation_ms"] = self._disk_operation_ms
            if psutil.swap_memory().total > 0:
                readers["swap_used_ratio"] = lambda: psutil.swap_memory().percent / 100.0
        elif self._container.version == 2:
            readers["swap_used_ratio"] = self._group_swap_ratio
        return {sensor: readers[sensor] for sensor in HOST_SENSORS if sensor in readers}

    # -- processor --------------------------------------------------------------------------------------------------------

    def _cpu_seconds(self) -> float:
        if self._cpu_group:
            return self._cpu_group.cpu_used_seconds()
        return _busy(psutil.cpu_times())

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

    def _cpu_busiest_core_ratio(self) -> float:
        before = self._counters.read_at("core_0")
        cores = psutil.cpu_times(percpu=True)
        grown = self._counters.growths(**{f"core_{n}": _busy(times) for n, times in enumerate(cores)})
        seconds = self._counters.read_at("core_0") - before
        return min(1.0, max(grown) / seconds)

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
    def _pressure_reader(path: Path) -> Callable[[], float]:
        return lambda: pressure_ratio(path)

    # -- disks, network -----------------------------------------------------------------------------------------------------

    def _io(self) -> tuple[float, float, float]:
        """Bytes read, bytes written, operations finished, since the start of what counts them."""
        if self._container:
            return self._container.io()
        disks = psutil.disk_io_counters(nowrap=False)
        if disks is None:
            raise AbsentError("the kernel lists no disk")
        return disks.read_bytes, disks.write_bytes, disks.read_count + disks.write_count

    def _disk_operation_ms(self) -> float:
        disks = psutil.disk_io_counters(nowrap=False)
        if disks is None:
            raise AbsentError("the kernel lists no disk")
        spent_ms, operations = self._counters.growths(
            disk_ms=disks.read_time + disks.write_time, disk_operations=disks.read_count + disks.write_count
        )
        if operations == 0:
            raise AbsentError("no operation finished")
        return spent_ms / operations

    def _network_reader(self, sensor: str, fields: tuple[str, ...]) -> Callable[[], float]:
        def read() -> float:
            cards = psutil.net_io_counters(pernic=True, nowrap=False)
            # What a machine tells itself over the loopback is no traffic.
            total = sum(
                getattr(card, field) for nic, card in cards.items() if nic != "lo" for field in fields
            )
            return self._counters.rate(sensor, float(total))

        return read


def _busy(times: object) -> float:
    """Processor seconds spent on work: not idle, not waiting for a disk, not taken by another machine.

    The kernel counts a guest's time in `user` and `nice` already.
    """
    return float(sum(getattr(times, field, 0.0) for field in ("user", "nice", "system", "irq", "softirq")))
