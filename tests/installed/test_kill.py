"""Any one process killed with -9: the product recovers or the next `up` does, and no recorded decision is lost."""

import os
import signal
import time

import pytest

from serving.supervisor import processes

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nothing_is_lost(installation):
    """What holds around every one of these tests: it was up, and after recovery every decision is there and no orphan."""
    installation.wait(lambda: installation.health()["status"] == "live", "the loop was live")
    before = installation.decisions()
    assert before
    yield
    installation.wait(lambda: installation.health()["status"] == "live", "the loop was live again")
    after = installation.decisions()
    assert before.keys() <= after.keys()
    assert all(after[one] >= count for one, count in before.items())
    installation.wait(lambda: not installation.orphans(), "no orphan remained", 30)


def turned_since(installation, moment):
    """Whether the loop has ended a turn, and recorded it, since then."""
    from datetime import datetime

    latest = [target["latest_decision"]["last_at"] for target in installation.health()["targets"]]
    return latest and all(datetime.fromisoformat(at).timestamp() > moment for at in latest)


@pytest.mark.parametrize(
    "name", ["postgres", "valkey", "loop", "gateway", "mlflow", "dagster-daemon", "dagster-code"]
)
def test_a_killed_child_comes_back_and_the_loop_goes_on(installation, name):
    """For `loop` and `gateway` the child is BentoML's parent: its workers must not outlive it."""
    installation.wait(lambda: installation.child(name).state == "ready", f"{name} was ready")
    killed = installation.child(name).identity
    family = processes.family(killed)
    os.kill(killed.pid, signal.SIGKILL)
    moment = time.time()
    installation.wait(
        lambda: installation.child(name).identity != killed and installation.child(name).state == "ready",
        f"{name} came back",
    )
    assert not any(processes.is_alive(member) for member in family)
    installation.wait(lambda: turned_since(installation, moment), "the loop turned again")


@pytest.mark.parametrize("name", ["loop", "gateway"])
def test_a_killed_worker_is_replaced(installation, name):
    workers = installation.workers(name)
    os.kill(workers[0].pid, signal.SIGKILL)
    moment = time.time()
    installation.wait(
        lambda: (
            len(installation.workers(name)) == len(workers) and workers[0] not in installation.workers(name)
        ),
        f"the worker of {name} was replaced",
    )
    installation.wait(lambda: installation.child(name).state == "ready", f"{name} was ready")
    installation.wait(lambda: turned_since(installation, moment), "the loop turned again")


def test_after_a_killed_supervisor_its_children_die_and_the_next_up_goes_on(installation):
    killed = installation.look()
    os.kill(killed.supervisor.pid, signal.SIGKILL)
    installation.wait(
        lambda: not any(processes.is_alive(leader) for leader in killed.leaders()),
        "the children died with it",
        60,
    )
    status = installation.run("status")
    assert status.returncode == 3
    installation.up()
    assert installation.look().supervisor != killed.supervisor
    assert not any(processes.family(leader) for leader in killed.leaders())


def test_up_stops_what_a_killed_supervisor_left_running(installation):
    """A leader that does not die by itself: stopped (SIGSTOP), it cannot react to its death signal."""
    installation.wait(lambda: installation.child("dagster-web").state == "ready", "the page was up")
    killed = installation.look()
    stuck = installation.child("dagster-web").identity
    os.kill(stuck.pid, signal.SIGSTOP)
    os.kill(killed.supervisor.pid, signal.SIGKILL)
    installation.wait(lambda: not processes.is_alive(killed.supervisor), "the supervisor died", 10)
    assert processes.is_alive(stuck)
    installation.up()
    assert not processes.is_alive(stuck)


def test_down_stops_everything_and_the_next_up_finds_every_decision(installation):
    supervisor = installation.look().supervisor
    assert installation.run("down").stdout.rstrip().endswith("stopped")
    assert installation.ours() == set()
    assert not processes.is_alive(supervisor)
    assert installation.run("down").stdout == "nothing is running\n"
    installation.up()
