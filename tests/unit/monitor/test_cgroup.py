"""Control groups read from made-up file systems: both versions, nested, unlimited, seen from inside and outside."""

import pytest

from serving.monitor.cgroup import pressure_ratio
from serving.monitor.own_cgroup import find_cgroup

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 {root} /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 {root} /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup rw,blkio
"""
V1_MEMBERSHIP = "4:memory:{path}\n3:cpu,cpuacct:{path}\n2:blkio:{path}\n1:name=systemd:{path}\n"
V2_MOUNTS = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
GIB = 2**30


@pytest.fixture
def tree(tmp_path):
    """Writes files below a made-up root: `tree({"proc/self/cgroup": "..."})` answers the root."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(text))
        return tmp_path

    return write


def v2(path, **groups):
    """Files of a version 2 tree; keyword `a__b` is the group a/b, `top` the topmost visible one."""
    files = {"proc/self/mountinfo": V2_MOUNTS, "proc/self/cgroup": f"0::{path}\n"}
    for name, contents in groups.items():
        folder = "" if name == "top" else name.replace("__", "/") + "/"
        files |= {f"sys/fs/cgroup/{folder}{file}": text for file, text in contents.items()}
    return files


def v2_group(*, cpu="max 100000", memory="max", used=GIB, inactive=0, **more):
    return {
        "cgroup.type": "domain\n",
        "cpu.max": cpu,
        "cpu.stat": "usage_usec 2500000\nuser_usec 2000000\nnr_periods 40\nnr_throttled 10\nthrottled_usec 5\n",
        "memory.max": memory,
        "memory.current": used,
        "memory.stat": f"anon 5\ninactive_file {inactive}\n",
        **more,
    }


def v1(path, root, groups):
    files = {
        "proc/self/mountinfo": V1_MOUNTS.format(root=root),
        "proc/self/cgroup": V1_MEMBERSHIP.format(path=path),
    }
    for folder, contents in groups.items():
        files |= {f"sys/fs/cgroup/{folder}/{file}": text for file, text in contents.items()}
    return files


def v1_cpu(quota):
    return {
        "cpu.cfs_quota_us": quota,
        "cpu.cfs_period_us": 100000,
        "cpu.stat": "nr_periods 40\nnr_throttled 10\nthrottled_time 5\n",
        "cpuacct.usage": 2_500_000_000,
    }


def v1_memory(limit, *, used=GIB, inactive=0):
    return {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": used,
        "memory.stat": f"hierarchical_memory_limit {limit}\ntotal_inactive_file {inactive}\n",
    }


def test_a_container_of_version_2_is_seen_by_its_own_namespace(tree):
    group = find_cgroup(tree(v2("/", top=v2_group(cpu="50000 100000", memory=2 * GIB, inactive=GIB // 4))))
    assert group.is_container
    assert group.cpu_limit_cores() == 0.5
    assert group.cpu_used_seconds() == 2.5
    assert tuple(group.throttling()) == (40, 10)
    assert group.memory_limit_bytes() == 2 * GIB
    assert group.memory_used_bytes() == GIB - GIB // 4


def test_max_is_no_limit(tree):
    group = find_cgroup(tree(v2("/", top=v2_group())))
    assert group.cpu_limit_cores() is None
    assert group.memory_limit_bytes() is None
    assert group.memory_used_bytes() == GIB


def test_the_parents_limit_binds_and_then_the_parents_usage_counts(tree):
    group = find_cgroup(
        tree(
            v2(
                "/pod/app",
                top=v2_group(),
                pod=v2_group(
                    cpu="100000 100000", memory=GIB, used=900, **{"cpu.stat": "usage_usec 9000000\n"}
                ),
                pod__app=v2_group(cpu="400000 100000", memory=4 * GIB, used=100),
            )
        )
    )
    assert group.cpu_limit_cores() == 1.0
    assert group.cpu_used_seconds() == 9.0
    assert group.memory_limit_bytes() == GIB
    assert group.memory_used_bytes() == 900


def test_the_childs_limit_binds_where_it_is_tighter(tree):
    group = find_cgroup(
        tree(v2("/pod", top=v2_group(cpu="400000 100000"), pod=v2_group(cpu="100000 100000", used=100)))
    )
    assert group.cpu_limit_cores() == 1.0


def test_a_login_on_a_plain_machine_is_no_container(tree):
    """The real root of version 2 has no cgroup.type, a login's slice below it has."""
    group = find_cgroup(
        tree(v2("/user.slice", top={"cgroup.procs": ""}, user__slice={}, **{"user.slice": v2_group()}))
    )
    assert not group.is_container
    assert group.memory_limit_bytes() is None


def test_a_service_with_a_limit_on_a_plain_machine_is_measured_by_it(tree):
    group = find_cgroup(tree(v2("/app.service", top={}, **{"app.service": v2_group(memory=GIB, used=300)})))
    assert not group.is_container
    assert (group.memory_limit_bytes(), group.memory_used_bytes()) == (GIB, 300)


def test_a_container_that_sees_the_machines_tree_counts_its_own_group_only(tree):
    files = v2(
        "/docker/me",
        top={"cpu.stat": "usage_usec 99\n"},
        docker__me=v2_group(used=300),
        docker=v2_group(used=900),
    )
    group = find_cgroup(tree(files | {".dockerenv": ""}))
    assert group.is_container
    assert group.memory_used_bytes() == 300
    assert group.cpu_used_seconds() == 2.5


def test_a_machine_built_from_a_containers_image_is_no_container(tree):
    files = v1(
        "/",
        "/",
        {
            "cpu,cpuacct": v1_cpu(-1) | {"release_agent": ""},
            "memory": v1_memory(2**63 - 4096) | {"release_agent": ""},
        },
    )
    group = find_cgroup(tree(files | {".dockerenv": ""}))
    assert not group.is_container


def test_a_container_of_version_1_finds_its_files_where_the_mount_starts_at_its_own_group(tree):
    group = find_cgroup(
        tree(
            v1(
                "/docker/abc",
                "/docker/abc",
                {"cpu,cpuacct": v1_cpu(150000), "memory": v1_memory(GIB, inactive=GIB // 2), "blkio": {}},
            )
        )
    )
    assert group.is_container
    assert group.version == 1
    assert group.cpu_limit_cores() == 1.5
    assert group.cpu_used_seconds() == 2.5
    assert tuple(group.throttling()) == (40, 10)
    assert group.memory_limit_bytes() == GIB
    assert group.memory_used_bytes() == GIB // 2


def test_the_largest_number_of_version_1_is_no_limit(tree):
    group = find_cgroup(
        tree(v1("/docker/abc", "/docker/abc", {"cpu,cpuacct": v1_cpu(-1), "memory": v1_memory(2**63 - 4096)}))
    )
    assert group.cpu_limit_cores() is None
    assert group.memory_limit_bytes() is None


def test_a_parents_limit_that_is_out_of_sight_still_counts_in_version_1(tree):
    files = v1("/pod/app", "/pod/app", {"cpu,cpuacct": v1_cpu(-1), "memory": v1_memory(2**63 - 4096)})
    files["sys/fs/cgroup/memory/memory.stat"] = f"hierarchical_memory_limit {GIB}\ntotal_inactive_file 0\n"
    assert find_cgroup(tree(files)).memory_limit_bytes() == GIB


def test_block_input_and_output_add_up_over_devices(tree):
    stat = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=5 wbytes=6 rios=3 wios=4 dbytes=9 dios=9\n"
    group = find_cgroup(tree(v2("/", top=v2_group(**{"io.stat": stat}))))
    assert tuple(group.io()) == (15, 26, 10)
    blkio = {
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n8:16 Read 5\nTotal 35\n",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
    }
    group = find_cgroup(
        tree(v1("/d", "/d", {"cpu,cpuacct": v1_cpu(-1), "memory": v1_memory(1), "blkio": blkio}))
    )
    assert tuple(group.io()) == (15, 20, 3)


def test_swap_counts_only_against_a_limit_of_its_own(tree):
    half = v2_group(**{"memory.swap.max": "200\n", "memory.swap.current": "100\n"})
    assert find_cgroup(tree(v2("/", top=half))).swap_used_ratio() == 0.5
    unlimited = v2_group(**{"memory.swap.max": "max\n", "memory.swap.current": "100\n"})
    assert find_cgroup(tree(v2("/", top=unlimited))).swap_used_ratio() is None


def test_pressure_is_the_share_of_the_last_ten_seconds(tree):
    root = tree(
        {"p": "some avg10=12.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=99.00 avg60=0 avg300=0 total=0\n"}
    )
    assert pressure_ratio(root / "p") == 0.125


def test_a_pressure_file_of_another_shape_is_refused(tree):
    with pytest.raises(ValueError, match="avg10"):
        pressure_ratio(tree({"p": "full avg10=1.0\n"}) / "p")


def test_a_kernel_without_control_groups_has_none(tree):
    assert find_cgroup(tree({"etc/hostname": "x"})) is None
    assert find_cgroup(tree({"proc/self/mountinfo": "", "proc/self/cgroup": ""})) is None
