"""What the kernel accounts for one's own control group: pure readers of files under a given root.

Why it is hard: libraries report the machine's totals inside a container, so a job dies at a tenth of "its" memory. The
truth lies in the control group, and where that is depends on the version (v1 has one tree for each controller, v2 one
for all; `monitor.own_cgroup` finds it) and on how deep one sits in it: the limit that binds may be a parent's, and then the
parent's usage is what runs into it.

Sources: Linux `Documentation/admin-guide/cgroup-v1/{cgroups,memory,blkio-controller}.rst`,
`Documentation/admin-guide/cgroup-v2.rst`, `Documentation/accounting/psi.rst`, `Documentation/scheduler/sched-bwc.rst`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

_V1_UNLIMITED_BYTES: Final = 2**60
"""Version 1 writes "no limit" as the largest multiple of a page that fits 63 bits."""

PressureKind = Literal["cpu", "memory", "io"]
PressureWho = Literal["some", "full"]
"""Whether some task waited, or every one that could have run."""


class Throttling(NamedTuple):
    """Scheduling periods since the group exists, and in how many of them it was held back."""

    periods: int
    throttled: int


class Io(NamedTuple):
    """Block input and output since the group exists."""

    read_bytes: int
    write_bytes: int
    operations: int


@dataclass(frozen=True)
class Cgroup:
    """The control groups one runs in.

    Attributes:
        version: Of the interface that accounts for processor and memory.
        is_container: Whether the process runs in a container, so that the machine's figures are not its own.
        sees_machine: Whether the topmost visible group is the machine's own root, not that of a container.
        chains: Controller (`cpu`, `cpuacct`, `memory`, `blkio`; in version 2 all the same) -> directories, own group
            first, each followed by its parent, up to the topmost that is visible.
    """

    version: Literal[1, 2]
    is_container: bool
    sees_machine: bool
    chains: dict[str, tuple[Path, ...]]

    # -- processor ----------------------------------------------------------------------------------------------------

    def cpu_limit_cores(self) -> float | None:
        """The tightest quota on the way up, in cores; None without one."""
        return self._tightest("cpu")[0]

    def cpu_used_seconds(self) -> float:
        """Processor time used by the group whose quota binds, or by the container as a whole.

        Raises:
            OSError: If the file cannot be read.
            ValueError: If it holds something else than expected.
        """
        if self.version == 2:
            return _stat(self._binding("cpu") / "cpu.stat")["usage_usec"] / 1e6
        # The accounting tree has the same shape as the quota tree but may be another mount.
        chain, where = self.chains["cpuacct"], self._binding("cpu")
        depth = min(self.chains["cpu"].index(where), len(chain) - 1)
        return int((chain[depth] / "cpuacct.usage").read_text()) / 1e9

    def throttling(self) -> Throttling:
        """How often the group whose quota binds was held back.

        Raises:
            OSError: If the file cannot be read.
            KeyError: If the kernel does not account for it.
        """
        stat = _stat(self._binding("cpu") / "cpu.stat")
        return Throttling(stat["nr_periods"], stat["nr_throttled"])

    # -- memory -------------------------------------------------------------------------------------------------------

    def memory_limit_bytes(self) -> float | None:
        """The tightest limit on the way up; None without one."""
        return self._tightest("memory")[0]

    def memory_used_bytes(self) -> float:
        """Memory of the group whose limit binds, without file pages the kernel would drop first (`inactive_file`).

        This is the working set by which container runtimes judge, not the raw usage, which fills up with cache.

        Raises:
            OSError: If a file cannot be read.
            ValueError: If it holds something else than expected.
            KeyError: If the statistics have no such line.
        """
        directory = self._binding("memory")
        usage, inactive = (
            ("memory.current", "inactive_file")
            if self.version == 2
            else ("memory.usage_in_bytes", "total_inactive_file")
        )
        used = int((directory / usage).read_text()) - _stat(directory / "memory.stat")[inactive]
        return float(max(0, used))

    def swap_used_ratio(self) -> float | None:
        """Share of the allowed swap in use; None where no limit of its own is set (version 2 only).

        Raises:
            OSError: If a file cannot be read.
            ValueError: If it holds something else than expected.
        """
        if self.version == 1:
            return None
        directory = self._binding("memory")
        limit = _number_or_max((directory / "memory.swap.max").read_text())
        if not 0.0 < limit < math.inf:
            return None
        return min(1.0, int((directory / "memory.swap.current").read_text()) / limit)

    # -- disks and pressure ---------------------------------------------------------------------------------------------

    def io(self) -> Io:
        """Block input and output of the container as a whole.

        Raises:
            OSError: If the files cannot be read.
            ValueError: If they hold something else than expected.
        """
        directory = self._whole("blkio")
        if self.version == 2:
            return _io_v2(directory / "io.stat")
        moved, served = (_blkio_v1(directory, name) for name in ("io_service_bytes", "io_serviced"))
        return Io(moved["Read"], moved["Write"], served["Read"] + served["Write"])

    def pressure_file(self, kind: PressureKind) -> Path | None:
        """The group's own pressure file; version 1 has none."""
        if self.version == 1:
            return None
        path = self._binding("cpu" if kind == "io" else kind) / f"{kind}.pressure"
        return path if path.exists() else None

    # -- the way up -----------------------------------------------------------------------------------------------------

    def _whole(self, controller: str) -> Path:
        """The group of the container as a whole: the topmost visible one, or one's own beside the machine's others.

        Raises:
            FileNotFoundError: If no group accounts for this.
        """
        chain = self.chains.get(controller)
        if not chain:
            msg = f"no control group accounts for {controller}"
            raise FileNotFoundError(msg)
        return chain[0] if self.sees_machine else chain[-1]

    def _binding(self, controller: str) -> Path:
        """The group whose limit binds, or the container as a whole."""
        return self._tightest(controller)[1] or self._whole(controller)

    def _tightest(self, controller: str) -> tuple[float | None, Path | None]:
        best: float | None = None
        where: Path | None = None
        for directory, limit in self._limits(controller):
            if limit is not None and (best is None or limit <= best):
                best, where = limit, directory
        return best, where

    def _limits(self, controller: str) -> Iterator[tuple[Path, float | None]]:
        """Each group on the way up that has the controller, with its own limit."""
        for directory in self.chains.get(controller, ()):
            try:
                limit = (
                    self._own_cpu_limit(directory)
                    if controller == "cpu"
                    else self._own_memory_limit(directory)
                )
            except FileNotFoundError:
                continue  # the root of a tree has no such file, and a controller may stop half-way down
            yield directory, limit

    def _own_cpu_limit(self, directory: Path) -> float | None:
        if self.version == 2:
            quota, period = (directory / "cpu.max").read_text().split()
            return None if quota == "max" else float(quota) / float(period)
        quota_us = int((directory / "cpu.cfs_quota_us").read_text())
        return None if quota_us < 0 else quota_us / int((directory / "cpu.cfs_period_us").read_text())

    def _own_memory_limit(self, directory: Path) -> float | None:
        if self.version == 2:
            limit = _number_or_max((directory / "memory.max").read_text())
            return None if math.isinf(limit) else limit
        own = int((directory / "memory.limit_in_bytes").read_text())
        # A parent that is out of sight still shows here.
        effective = min(own, _stat(directory / "memory.stat").get("hierarchical_memory_limit", own))
        return None if effective >= _V1_UNLIMITED_BYTES else float(effective)


def pressure_ratio(path: Path, who: PressureWho = "some") -> float:
    """Share of the last 10 s in which tasks waited (`avg10` of a PSI file), 0 to 1.

    Args:
        path: The file.
        who: Its first line or its second.

    Raises:
        OSError: If it cannot be read, also where the kernel was built with PSI but started without.
        ValueError: If it holds something else than expected.
    """
    lines = [line.split() for line in path.read_text().splitlines()]
    first = next((line for line in lines if line[:1] == [who]), [])
    label, _, average = first[1].partition("=") if len(first) > 1 else ("", "", "")
    if label != "avg10":
        msg = f"{path} has no line that starts with '{who} avg10='"
        raise ValueError(msg)
    return float(average) / 100.0


# -- file formats ---------------------------------------------------------------------------------------------------------


def _stat(path: Path) -> dict[str, int]:
    """A file of `name number` lines; other lines (per-device tables) are left out."""
    pairs = (line.split() for line in path.read_text().splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number_or_max(text: str) -> float:
    return math.inf if text.strip() == "max" else float(text)


def _io_v2(path: Path) -> Io:
    totals = dict.fromkeys(("rbytes", "wbytes", "rios", "wios"), 0)
    for line in path.read_text().splitlines():
        for pair in line.split()[1:]:
            name, _, figure = pair.partition("=")
            if name in totals:
                totals[name] += int(figure)
    return Io(totals["rbytes"], totals["wbytes"], totals["rios"] + totals["wios"])


def _blkio_v1(directory: Path, name: str) -> dict[str, int]:
    """Sums over devices of one of version 1's `device operation number` tables."""
    path = directory / f"blkio.throttle.{name}_recursive"
    if not path.exists():
        path = directory / f"blkio.throttle.{name}"
    totals = {"Read": 0, "Write": 0}
    for line in path.read_text().splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[1] in totals:
            totals[fields[1]] += int(fields[2])
    return totals
