"""What the kernel counts for the whole machine or for this network namespace, as readers.

Belongs here: figures no control group limits. Does not: processor and memory in use, which are a container's own
(`host`). A container sees the machine's processors, disks and virtual memory here, so it is given none of those; the
network is its own.

Sources: proc(5) (`stat`, `vmstat`, `sys/fs/file-nr`); RFC 4022 for the counters of `net/snmp`; Linux
`Documentation/networking/snmp_counter.rst` for `net/netstat`; `Documentation/admin-guide/iostats.rst` for busy disks.
"""

import os
from pathlib import Path
from typing import Any, Final

import psutil

from maximus_assets.contracts.catalogue import CORES
from serving.monitor.instruments import AbsentError, Counters, Reader, Round

_BITS: Final = 8.0
_MEGA: Final = 1e6


class Kernel:
    """Readers over one root.

    Args:
        root: The file system's root.
        counters: Remembers counters.
        round_: Shares what one round reads.
    """

    def __init__(self, root: Path, counters: Counters, round_: Round) -> None:
        self._root = root
        self._counters = counters
        self._once = round_.once

    # -- processors and memory of the machine -----------------------------------------------------------------------------

    def machine(self) -> dict[str, Reader]:
        """What only the machine as a whole has."""
        readers: dict[str, Reader] = {
            "load_1m": lambda: os.getloadavg()[0],
            "cpu_busiest_core_ratio": self._busiest_core,
            "context_switches_per_second": lambda: self._counters.rate(
                "switches", psutil.cpu_stats().ctx_switches
            ),
            "disk_operation_ms": self._disk_operation_ms,
            "disk_busy_ratio": self._disk_busy,
        }
        for sensor, field in (
            ("cpu_kernel_ratio", "system"),
            ("cpu_waiting_ratio", "iowait"),
            ("cpu_stolen_ratio", "steal"),
        ):
            if hasattr(psutil.cpu_times(), field):
                readers[sensor] = self._processor_share(field)
        for number in range(min(CORES, psutil.cpu_count() or 0)):
            readers[f"cpu_core_{number}_used_ratio"] = self._core(number)
        vmstat = self._vmstat() if (self._root / "proc/vmstat").exists() else {}
        for sensor, name, factor in (
            ("memory_major_faults_per_second", "pgmajfault", 1),
            ("memory_oom_kills_per_second", "oom_kill", 1),
            ("swap_in_bytes_per_second", "pswpin", os.sysconf("SC_PAGE_SIZE")),
            ("swap_out_bytes_per_second", "pswpout", os.sysconf("SC_PAGE_SIZE")),
        ):
            if name in vmstat and (psutil.swap_memory().total > 0 or "swap" not in sensor):
                readers[sensor] = self._vmstat_rate(name, factor)
        if (self._root / "proc/sys/fs/file-nr").exists():
            readers["file_handles_used_ratio"] = self._file_handles
        return readers

    def _processor_share(self, field: str) -> Reader:
        def read() -> float:
            spent = self._counters.rate(f"cpu {field}", getattr(self._once(psutil.cpu_times), field))
            return min(1.0, spent / (psutil.cpu_count() or 1))

        return read

    def _cores(self) -> tuple[float, ...]:
        """Busy share of every processor since the round before."""
        before = self._counters.read_at("core_0")
        cores = psutil.cpu_times(percpu=True)
        grown = self._counters.growths(**{f"core_{n}": busy_seconds(times) for n, times in enumerate(cores)})
        seconds = self._counters.read_at("core_0") - before
        return tuple(min(1.0, busy / seconds) for busy in grown)

    def _busiest_core(self) -> float:
        return max(self._once(self._cores))

    def _core(self, number: int) -> Reader:
        return lambda: self._once(self._cores)[number]

    def _vmstat(self) -> dict[str, int]:
        pairs = (line.split() for line in (self._root / "proc/vmstat").read_text().splitlines())
        return {name: int(figure) for name, figure in pairs}

    def _vmstat_rate(self, name: str, factor: int) -> Reader:
        return lambda: self._counters.rate(name, self._once(self._vmstat)[name] * factor)

    def _file_handles(self) -> float:
        allocated, _, allowed = (self._root / "proc/sys/fs/file-nr").read_text().split()
        return int(allocated) / int(allowed)

    # -- disks of the machine ---------------------------------------------------------------------------------------------

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

    def _disk_busy(self) -> float:
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False)
        if not disks:
            raise AbsentError("the kernel lists no disk")
        first = next(iter(disks))
        before = self._counters.read_at(f"busy {first}")
        grown = self._counters.growths(**{f"busy {name}": disk.busy_time for name, disk in disks.items()})
        seconds = self._counters.read_at(f"busy {first}") - before
        return min(1.0, max(grown) / 1000.0 / seconds)

    # -- this network namespace -------------------------------------------------------------------------------------------

    def network(self) -> dict[str, Reader]:
        """What the network namespace counts: right inside a container too."""
        readers: dict[str, Reader] = {}
        for sensor, fields in (
            ("network_receive_bytes_per_second", ("bytes_recv",)),
            ("network_transmit_bytes_per_second", ("bytes_sent",)),
            ("network_packets_per_second", ("packets_recv", "packets_sent")),
            ("network_errors_per_second", ("errin", "errout")),
            ("network_drops_per_second", ("dropin", "dropout")),
        ):
            readers[sensor] = self._card_rate(sensor, fields)
        if self._link_speeds():
            readers["network_bandwidth_used_ratio"] = self._bandwidth
        tcp = self._table("snmp").get("Tcp", {})
        if {"RetransSegs", "OutSegs"} <= set(tcp):
            readers["network_loss_ratio"] = self._loss
        if "EstabResets" in tcp:
            readers["network_resets_per_second"] = self._table_rate("snmp", "Tcp", "EstabResets")
        if "CurrEstab" in tcp:
            readers["network_connections_count"] = lambda: float(self._once(self._snmp)["Tcp"]["CurrEstab"])
        if "ListenOverflows" in self._table("netstat").get("TcpExt", {}):
            readers["network_refused_per_second"] = self._table_rate("netstat", "TcpExt", "ListenOverflows")
        return readers

    def _card_rate(self, sensor: str, fields: tuple[str, ...]) -> Reader:
        def read() -> float:
            # What a machine tells itself over the loopback is no traffic.
            total = sum(
                getattr(card, field)
                for name, card in self._once(_cards).items()
                if name != "lo"
                for field in fields
            )
            return self._counters.rate(sensor, float(total))

        return read

    @staticmethod
    def _link_speeds() -> dict[str, float]:
        """Bytes per second each card's link can carry, where the driver says; virtual cards mostly do not."""
        return {
            name: card.speed * _MEGA / _BITS
            for name, card in psutil.net_if_stats().items()
            if name != "lo" and card.isup and 0 < card.speed < 65_535
        }

    def _bandwidth(self) -> float:
        cards, speeds = self._once(_cards), self._link_speeds()
        counted = {
            (name, field): float(getattr(cards[name], field))
            for name in speeds
            for field in ("bytes_recv", "bytes_sent")
        }
        if not counted:
            raise AbsentError("no card says how fast its link is")
        names = [f"link {name} {field}" for name, field in counted]
        before = self._counters.read_at(names[0])
        grown = self._counters.growths(**dict(zip(names, counted.values(), strict=True)))
        seconds = self._counters.read_at(names[0]) - before
        return min(
            1.0,
            max(bytes_ / seconds / speeds[name] for (name, _), bytes_ in zip(counted, grown, strict=True)),
        )

    def _loss(self) -> float:
        tcp = self._once(self._snmp)["Tcp"]
        # Segments that hold nothing but what was sent before are not among those counted as sent.
        return self._counters.share("loss", tcp["RetransSegs"], tcp["OutSegs"] + tcp["RetransSegs"])

    def _table_rate(self, file: str, group: str, name: str) -> Reader:
        ask = self._snmp if file == "snmp" else self._netstat
        return lambda: self._counters.rate(name, float(self._once(ask)[group][name]))

    def _snmp(self) -> dict[str, dict[str, int]]:
        return self._table("snmp")

    def _netstat(self) -> dict[str, dict[str, int]]:
        return self._table("netstat")

    def _table(self, file: str) -> dict[str, dict[str, int]]:
        """A file of pairs of lines, names over figures, each with its group before it; empty if there is none."""
        path = self._root / "proc/net" / file
        if not path.exists():
            return {}
        lines = [line.split() for line in path.read_text().splitlines()]
        return {
            names[0].rstrip(":"): dict(zip(names[1:], map(int, figures[1:]), strict=True))
            for names, figures in zip(lines[::2], lines[1::2], strict=True)
        }


def _cards() -> dict[str, Any]:
    """Counters of each network card, as psutil names them."""
    return dict(psutil.net_io_counters(pernic=True, nowrap=False))


def busy_seconds(times: object) -> float:
    """Processor seconds spent on work: not idle, not waiting for a disk, not taken by another machine.

    The kernel counts a guest's time in `user` and `nice` already.
    """
    return float(sum(getattr(times, field, 0.0) for field in ("user", "nice", "system", "irq", "softirq")))
