"""The host source: each sensor by itself, rates from counters, and the container's figures inside a container."""

import os

import psutil
import pytest

from maximus_assets.contracts.catalogue import CATALOGUE, CORES, HOST_SENSORS
from serving.monitor.host import HostSource
from serving.monitor.instruments import AbsentError, Counters, Round

GIB = 2**30


class Container:
    """A made-up file system of a version 2 container whose counters a test moves."""

    def __init__(self, root):
        self.root = root
        self.write("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        self.write("proc/self/cgroup", "0::/\n")
        self.group("cgroup.type", "domain")
        self.group("cpu.max", "50000 100000")
        self.group("memory.max", 2 * GIB)
        self.group("memory.current", GIB)
        self.group("memory.stat", f"inactive_file {GIB // 2}\n")
        self.group("memory.pressure", "some avg10=25.00 avg60=0 avg300=0 total=0\n")
        self.group("io.stat", "8:0 rbytes=0 wbytes=0 rios=0 wios=0\n")
        self.cpu(0, periods=0, throttled=0)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(text))

    def group(self, name, text):
        self.write(f"sys/fs/cgroup/{name}", text)

    def cpu(self, seconds, *, periods, throttled):
        self.group(
            "cpu.stat", f"usage_usec {int(seconds * 1e6)}\nnr_periods {periods}\nnr_throttled {throttled}\n"
        )


@pytest.fixture
def container(tmp_path):
    return Container(tmp_path)


@pytest.fixture
def source(container, clock, tmp_path):
    return HostSource("host", clock=clock, data_dir=tmp_path, root=container.root)


def values(source, clock):
    return {sample.sensor: sample.value for sample in source.read(clock.now())}


def test_the_figures_of_a_container_are_its_own(source, container, clock):
    source.read(clock.now())
    clock.advance(10)
    container.cpu(4, periods=100, throttled=25)
    container.group("io.stat", "8:0 rbytes=1000 wbytes=2000 rios=10 wios=20\n")
    read = values(source, clock)
    cores = min(0.5, len(os.sched_getaffinity(0)))
    assert read["cpu_used_cores"] == pytest.approx(0.4)
    assert read["cpu_limit_cores"] == cores
    assert read["cpu_used_ratio"] == pytest.approx(0.4 / cores)
    assert read["cpu_throttled_ratio"] == 0.25
    assert read["memory_used_bytes"] == GIB // 2
    assert read["memory_limit_bytes"] == 2 * GIB
    assert read["memory_used_ratio"] == 0.25
    assert read["memory_pressure_ratio"] == 0.25
    assert read["disk_read_bytes_per_second"] == 100
    assert read["disk_operations_per_second"] == 3


def test_what_the_kernel_knows_of_the_whole_machine_only_is_not_declared_in_a_container(source):
    declared = source.sensors["host"]
    assert not {"load_1m", "cpu_busiest_core_ratio", "disk_operation_ms", "cpu_pressure_ratio"} & set(
        declared
    )


def test_a_sensor_that_cannot_be_read_is_absent_alone_and_its_reason_counted(source, container, clock):
    source.read(clock.now())
    clock.advance(10)
    (container.root / "sys/fs/cgroup/memory.current").unlink()
    container.group("memory.pressure", "nonsense")
    read = values(source, clock)
    assert not {"memory_used_bytes", "memory_used_ratio", "memory_pressure_ratio"} & set(read)
    assert {"cpu_used_cores", "memory_limit_bytes", "disk_used_ratio"} <= set(read)
    assert source.absences["memory_used_bytes", "FileNotFoundError"] == 1


def test_a_counter_that_went_back_gives_no_rate_once(source, container, clock):
    container.cpu(100, periods=1, throttled=0)
    source.read(clock.now())
    clock.advance(10)
    container.cpu(1, periods=1, throttled=0)
    assert "cpu_used_cores" not in values(source, clock)
    assert source.absences["cpu_used_cores", "the counter went back"] == 1
    clock.advance(10)
    container.cpu(3, periods=1, throttled=0)
    assert values(source, clock)["cpu_used_cores"] == pytest.approx(0.2)


def test_an_implausible_value_is_no_state_of_the_world(source, container, clock):
    container.group("memory.pressure", "some avg10=4000.00 avg60=0 avg300=0 total=0\n")
    assert "memory_pressure_ratio" not in values(source, clock)
    assert source.absences["memory_pressure_ratio", "implausible"] == 1


def test_this_machine_reads_every_sensor_it_declares(clock, tmp_path):
    source = HostSource("host", clock=clock, data_dir=tmp_path)
    source.read(clock.now())
    clock.advance(15)
    read = values(source, clock)
    may_be_idle = {"disk_operation_ms", "network_loss_ratio"}  # no value while nothing finishes or is sent
    assert set(source.sensors["host"]) - set(read) <= may_be_idle
    assert set(read) <= set(HOST_SENSORS)
    assert all(CATALOGUE[sensor].is_plausible(value) for sensor, value in read.items())
    assert read["memory_limit_bytes"] <= psutil.virtual_memory().total


def test_what_the_network_lost_refused_and_holds_open_is_read_from_the_namespace(container, clock, tmp_path):
    def tcp(sent, again, resets, refused):
        container.write(
            "proc/net/snmp",
            "Ip: Forwarding DefaultTTL\nIp: 1 64\n"
            "Tcp: MaxConn EstabResets CurrEstab OutSegs RetransSegs\n"
            f"Tcp: -1 {resets} 12 {sent} {again}\n",
        )
        container.write("proc/net/netstat", f"TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 0 {refused}\n")

    tcp(1000, 50, 5, 0)
    source = HostSource("host", clock=clock, data_dir=tmp_path, root=container.root)
    assert values(source, clock)["network_connections_count"] == 12
    clock.advance(10)
    tcp(1090, 60, 7, 20)
    read = values(source, clock)
    assert read["network_loss_ratio"] == pytest.approx(10 / 100)
    assert (read["network_resets_per_second"], read["network_refused_per_second"]) == (0.2, 2.0)
    clock.advance(10)
    assert "network_loss_ratio" not in values(
        source, clock
    )  # nothing was sent: no share, not a share of zero
    assert source.absences["network_loss_ratio", "nothing was counted since the reading before"] == 1


def test_every_processor_of_this_machine_is_shown_and_the_busiest_is_one_of_them(clock, tmp_path):
    source = HostSource("host", clock=clock, data_dir=tmp_path)
    source.read(clock.now())
    clock.advance(15)
    read = values(source, clock)
    cores = [read[f"cpu_core_{number}_used_ratio"] for number in range(min(CORES, psutil.cpu_count()))]
    assert read["cpu_busiest_core_ratio"] >= max(cores)
    assert 0.0 <= read["cpu_kernel_ratio"] + read["cpu_waiting_ratio"] + read["cpu_stolen_ratio"] <= 1.0


def test_the_waiting_of_all_tasks_is_told_from_that_of_some(source, container, clock, tmp_path):
    container.group("memory.pressure", "some avg10=25.00 avg60=0\nfull avg10=5.00 avg60=0\n")
    read = values(source, clock)
    assert (read["memory_pressure_ratio"], read["memory_stalled_ratio"]) == (0.25, 0.05)


def test_a_figure_that_several_sensors_share_is_asked_for_once_a_round_even_if_it_is_absent():
    shared, asked = Round(), []

    def ask():
        asked.append(1)
        if len(asked) < 2:
            raise AbsentError("not yet")
        return 7.0

    for _ in range(3):
        with pytest.raises(AbsentError, match="not yet"):
            shared.once(ask)
    shared.begin()
    assert [shared.once(ask), shared.once(ask)] == [7.0, 7.0]
    assert len(asked) == 2


def test_a_rate_needs_two_readings_and_time_between_them(clock):
    counters = Counters(clock.monotonic)
    with pytest.raises(AbsentError, match="two readings"):
        counters.rate("x", 5)
    with pytest.raises(AbsentError, match="no time"):
        counters.rate("x", 6)
    clock.advance(2)
    assert counters.rate("x", 9) == 2.0


def test_the_wall_clock_being_set_does_not_bend_a_rate(source, container, clock):
    source.read(clock.now())
    clock.advance(10)
    clock.jump(3600)
    container.cpu(4, periods=1, throttled=0)
    assert values(source, clock)["cpu_used_cores"] == pytest.approx(0.4)
