import asyncio
import os
import signal
from pathlib import Path

import pytest

from serving.supervisor import processes
from serving.supervisor.failures import StartFailedError

pytestmark = pytest.mark.anyio

SERVE = "import pathlib, time; pathlib.Path('ready').touch(); time.sleep(600)"


async def test_a_child_is_ready_once_its_probe_says_so(make_spec, keep):
    child = keep(make_spec(SERVE))
    await child.start()
    assert child.state == "ready"
    assert processes.is_alive(child.identity)


async def test_a_killed_child_is_started_again_as_another_process(make_spec, keep, wait_until):
    child = keep(make_spec(SERVE))
    await child.start()
    first = child.identity
    os.kill(first.pid, signal.SIGKILL)
    await wait_until(lambda: child.identity != first and child.state == "ready")
    assert child.restarts == 1
    assert not processes.is_alive(first)


async def test_what_a_killed_child_had_started_dies_before_the_child_is_started_again(
    make_spec, keep, wait_until, tmp_path
):
    code = (
        "import os, pathlib, time\n"
        "pid = os.fork()\n"
        "if pid: pathlib.Path('worker').write_text(str(pid)); pathlib.Path('ready').touch()\n"
        "time.sleep(600)"
    )
    child = keep(make_spec(code))
    await child.start()
    first, worker = child.identity, processes.identify(int((tmp_path / "worker").read_text()))
    os.kill(first.pid, signal.SIGKILL)
    await wait_until(lambda: child.identity != first)
    assert not processes.is_alive(worker)


async def test_a_child_that_never_comes_up_is_given_up_with_its_last_words(make_spec, keep):
    child = keep(make_spec("import sys; sys.exit('the disk is on fire')"))
    with pytest.raises(StartFailedError, match="exit code 1 while starting: the disk is on fire"):
        await child.start()
    assert child.state == "stopped"
    assert child.restarts == 2


async def test_a_program_that_is_missing_is_named(make_spec, keep):
    child = keep(make_spec("", command=("/nowhere/to/be/found",)))
    with pytest.raises(StartFailedError, match="/nowhere/to/be/found cannot be run: No such file"):
        await child.start()


async def test_a_child_that_stops_answering_is_started_again(make_spec, keep, wait_until, tmp_path):
    child = keep(make_spec(SERVE, probe_failures=3))
    await child.start()
    first = child.identity
    (tmp_path / "ready").unlink()
    await wait_until(lambda: child.identity != first)
    assert not processes.is_alive(first)


async def test_a_child_that_is_unready_but_reacts_is_left_alone(make_spec, keep, wait_until, tmp_path):
    asked = 0

    async def alive():
        nonlocal asked
        asked += 1
        return True

    child = keep(make_spec(SERVE, probe_failures=2, alive=alive))
    await child.start()
    first = child.identity
    (tmp_path / "ready").unlink()
    await wait_until(lambda: asked > 6)
    assert child.identity == first
    assert child.state == "unwell"


async def test_a_child_that_could_not_be_launched_again_for_a_while_comes_back(
    make_spec, keep, wait_until, tmp_path
):
    """As on a full disk: its log cannot be opened, until it can."""
    folder = tmp_path / "log"
    child = keep(make_spec(SERVE, log=folder / "child.log"))
    await child.start()
    first = child.identity
    folder.rename(tmp_path / "away")
    folder.touch()
    os.kill(first.pid, signal.SIGKILL)
    await wait_until(lambda: "cannot be launched" in child.detail)
    folder.unlink()
    await wait_until(lambda: child.identity != first and child.state == "ready")


async def test_a_child_that_cannot_be_launched_again_can_be_stopped(make_spec, keep, wait_until, tmp_path):
    folder = tmp_path / "log"
    child = keep(make_spec(SERVE, log=folder / "child.log"))
    await child.start()
    folder.rename(tmp_path / "away")
    folder.touch()
    os.kill(child.identity.pid, signal.SIGKILL)
    await wait_until(lambda: "cannot be launched" in child.detail)
    await asyncio.wait_for(child.stop(), 5.0)
    assert child.state == "stopped"


async def test_stopping_asks_first_and_lets_the_child_finish(make_spec, keep, tmp_path):
    code = (
        "import pathlib, signal, sys, time\n"
        "def end(*_): pathlib.Path('said_goodbye').touch(); sys.exit(0)\n"
        "signal.signal(signal.SIGINT, end); pathlib.Path('ready').touch(); time.sleep(600)"
    )
    child = keep(make_spec(code, stop_signal=signal.SIGINT))
    await child.start()
    await child.stop()
    assert (tmp_path / "said_goodbye").exists()
    assert not processes.is_alive(child.identity)


async def test_a_child_that_ignores_the_asking_is_killed(make_spec, keep):
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE
    child = keep(make_spec(code, stop_seconds=0.2))
    await child.start()
    await child.stop()
    assert processes.family(child.identity) == []


async def test_stopping_while_it_waits_to_be_started_again_leaves_nothing(make_spec, keep, wait_until):
    child = keep(make_spec(SERVE))
    child.backoff.initial_seconds = child.backoff.maximum_seconds = 60.0
    await child.start()
    os.kill(child.identity.pid, signal.SIGKILL)
    await wait_until(lambda: child.state == "restarting")
    await asyncio.wait_for(child.stop(), 5.0)
    assert child.state == "stopped"


async def test_a_child_leads_a_session_of_its_own(make_spec, keep):
    child = keep(make_spec(SERVE))
    await child.start()
    assert os.getsid(child.identity.pid) == child.identity.pid != os.getsid(0)


async def test_its_environment_holds_nothing_of_ours(make_spec, keep, monkeypatch):
    monkeypatch.setenv("A_SECRET_OF_THE_SHELL", "1")
    child = keep(make_spec(SERVE))
    await child.start()
    assert b"A_SECRET_OF_THE_SHELL" not in environment_of(child.identity.pid)


def environment_of(pid):
    return Path(f"/proc/{pid}/environ").read_bytes()
