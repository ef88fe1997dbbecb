import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from serving.supervisor import processes, spawn

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def started(process):
    assert process.stdout.readline() == "up\n"
    return processes.identify(process.pid)


def test_an_identity_is_the_start_time_as_much_as_the_pid(lone_process):
    identity = started(lone_process(SLEEP))
    assert processes.is_alive(identity)
    assert not processes.is_alive(replace(identity, started_ticks=identity.started_ticks - 1))


def test_a_process_whose_pid_was_handed_out_again_is_never_signalled(lone_process):
    identity = started(lone_process(SLEEP))
    earlier = replace(identity, started_ticks=identity.started_ticks - 1)
    processes.send(earlier, signal.SIGKILL)
    assert processes.end([earlier], grace_seconds=0.1) == 0
    assert processes.is_alive(identity)


def test_a_zombie_is_not_alive(lone_process):
    process = lone_process("print('up', flush=True)")
    identity = started(process)
    assert processes.wait_gone([identity], 5.0)
    assert processes.read(process.pid).is_zombie


def test_the_family_is_found_when_its_leader_is_already_dead(lone_process):
    process = lone_process("import os, time\nif os.fork(): print('up', flush=True)\ntime.sleep(600)")
    leader = started(process)
    worker = next(member for member in processes.family(leader) if member != leader)
    process.kill()
    process.wait()
    assert processes.family(leader) == [worker]
    assert processes.end([leader], grace_seconds=5.0) == 1
    assert not processes.is_alive(worker)


def test_a_worker_with_a_session_of_its_own_is_family_and_is_killed_with_a_leader_that_ignores_it(
    lone_process,
):
    code = (
        "import os, signal, time\n"
        "pid = os.fork()\n"
        "if pid == 0: os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while pid and os.getsid(pid) != pid: time.sleep(0.01)\n"
        "if pid: print('up', flush=True)\n"
        "time.sleep(600)"
    )
    leader = started(lone_process(code))
    worker = next(member for member in processes.family(leader) if member != leader)
    assert os.getsid(worker.pid) == worker.pid
    assert processes.end([leader], grace_seconds=0.3) == 2
    assert not processes.is_alive(worker)


def test_a_name_with_brackets_and_spaces_is_read_right(tmp_path):
    program = tmp_path / "a) b (c"
    program.symlink_to("/bin/sleep")
    process = subprocess.Popen([program, "600"])
    try:
        assert processes.read(process.pid).parent == os.getpid()
    finally:
        process.kill()
        process.wait()


def test_end_reports_how_many_it_found_and_leaves_none(lone_process):
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP
    leaders = [started(lone_process(code)) for code in (SLEEP, stubborn)]
    assert processes.end(leaders, grace_seconds=0.2) == 2
    assert not any(processes.is_alive(leader) for leader in leaders)


def test_one_that_stands_still_ends_by_the_polite_signal(lone_process):
    process = lone_process(SLEEP)
    leader = started(process)
    processes.send(leader, signal.SIGSTOP)
    os.waitid(os.P_PID, leader.pid, os.WSTOPPED | os.WNOWAIT)
    assert processes.end([leader], grace_seconds=1.0) == 1
    assert process.wait() == -signal.SIGTERM, "not SIGKILL"


def test_strays_are_killed_and_families_of_living_children_are_spared():
    """A process that adopts orphans: it kills those whose session is over and spares those of a known leader."""
    script = textwrap.dedent("""
        import os, subprocess, sys, time
        from serving.supervisor import processes
        processes.adopt_orphans()
        leave = "import os, time\\nif os.fork() == 0: time.sleep(600)"
        def orphan():
            leader = subprocess.Popen([sys.executable, "-I", "-S", "-c", leave], start_new_session=True)
            identity = processes.identify(leader.pid)
            leader.wait()
            return identity
        known, unknown = orphan(), orphan()
        assert processes.kill_strays({known.pid}) == 1
        assert processes.wait_gone(processes.family(unknown), 5.0)
        processes.reap_orphans({known.pid})
        assert not any(entry.session == unknown.pid for entry in processes.everyone())
        assert len(processes.family(known)) == 1
        processes.kill([known])
    """)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def spawned(parent, *command):
    path = Path(spawn.__file__)
    return [sys.executable, "-I", "-S", str(path), str(parent), str(int(signal.SIGKILL)), "0", "-", *command]


def test_a_spawned_process_dies_with_the_one_that_started_it(tmp_path):
    script = textwrap.dedent(f"""
        import os, subprocess, time
        command = {spawned("PARENT", "sleep", "600")!r}
        command = [str(os.getpid()) if part == "PARENT" else part for part in command]
        child = subprocess.Popen(command, start_new_session=True)
        while open(f"/proc/{{child.pid}}/comm").read() != "sleep\\n": time.sleep(0.01)
        print(child.pid, flush=True)
        time.sleep(600)
    """)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = processes.identify(int(parent.stdout.readline()))
    assert processes.is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert processes.wait_gone([child], 5.0)


def test_a_spawned_process_whose_parent_is_already_gone_does_not_start():
    somebody_else = 1
    ended = subprocess.run(spawned(somebody_else, "sleep", "600"), check=False, timeout=10)
    assert ended.returncode == spawn.PARENT_IS_GONE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change its user")
def test_a_spawned_process_keeps_its_death_signal_when_it_changes_its_user():
    nobody = 65534
    command = spawned(os.getpid(), "/bin/sleep", "600")
    command[7] = f"{nobody}:{nobody}"
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 10
        while processes_name(process.pid) != "sleep" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert Path(f"/proc/{process.pid}").stat().st_uid == nobody
    finally:
        process.kill()
        process.wait()


def processes_name(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()
