"""What a fleet promises: order, equality with the serial run, and that nothing that befalls one series befalls another."""

import os
import signal
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from maximus_assets.contracts.errors import Permanent
from maximus_assets.models import crew as crew_module
from maximus_assets.models.crew import BackendMissingError, BackendUnreachableError, Crew, crew_for
from maximus_assets.models.fleet import Finished, each
from maximus_assets.models.forecasting.learn import learn

PROCESSES = Crew("processes", 2)
HERE = Crew("here", 1)
START = datetime(2026, 3, 2, tzinfo=UTC)


def fleet_frame(count: int) -> pl.DataFrame:
    """Four-hourly series of eight days, one of them too short, one all missing."""
    rng, parts = np.random.default_rng(3), []
    for index in range(count):
        length = 6 if index == 2 else 6 * 9
        at = np.arange(length)
        values = 50 + 20 * np.sin(2 * np.pi * at / 6 + index) + rng.normal(0, 1, length)
        parts.append(
            pl.DataFrame(
                {
                    "target": [f"t{index}"] * length,
                    "sensor": ["demand_count"] * length,
                    "observed_at": [START + timedelta(hours=4 * int(i)) for i in at],
                    "value": np.full(length, np.nan) if index == 4 else values,
                },
                schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
            )
        )
    return pl.concat(parts)


def test_processes_learn_the_very_numbers_the_serial_run_learns():
    frame, told = fleet_frame(9), []
    alone = learn(frame, 14_400, crew=HERE)
    together = learn(frame, 14_400, crew=PROCESSES, progress=told.append)
    assert [state.target for state in together.states] == ["t0", "t1", "t3", "t5", "t6", "t7", "t8"]
    for one, other in zip(alone.states, together.states, strict=True):
        assert one.equals(other)
    assert together.report.equals(alone.report)
    assert together.skipped == alone.skipped
    assert together.skipped.keys() == {"t2/demand_count", "t4/demand_count"}
    assert {done.name for done in told} == {f"t{index}/demand_count" for index in range(9)} - {
        "t4/demand_count"
    }
    assert [done.number for done in told] == list(range(1, 9))


def test_one_that_fails_hangs_or_kills_its_worker_is_left_out_with_its_reason_and_the_others_are_done():
    # Nested, so that it is sent by value: workers cannot import a test.
    def work(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)  # as the out-of-memory killer would
        if number == 5:
            raise KeyError("gone")
        if number == 7:
            while True:
                pass
        return number * 2

    told: list[Finished] = []
    outcomes = each(
        work, [str(n) for n in range(12)], int, crew=Crew("processes", 2, seconds=1.0), on_done=told.append
    )
    assert [outcome.name for outcome in outcomes] == [str(n) for n in range(12)]
    failed = {outcome.name: outcome.reason for outcome in outcomes if outcome.value is None}
    assert failed == {
        "3": "its worker was lost, also when it worked alone: SIGKILL(-9)",
        "5": "KeyError: 'gone'",
        "7": "it did not finish within 1 s",
    }
    assert all(outcome.value == 2 * int(outcome.name) for outcome in outcomes if outcome.name not in failed)
    assert sorted(done.number for done in told) == list(range(1, 13))


def test_native_code_that_never_returns_is_ended_with_its_worker():
    def work(number):
        if number == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})  # nothing reaches Python any more
            time.sleep(60)
        return number

    crew = Crew("processes", 2, seconds=0.3, grace_seconds=0.3)
    outcomes = each(work, ["0", "1", "2"], int, crew=crew)
    assert [outcome.value for outcome in outcomes] == [0, None, 2]
    assert "its worker was lost" in outcomes[1].reason


def test_a_worker_lost_for_want_of_memory_costs_nobody_and_fewer_work_on(tmp_path):
    mark = tmp_path / "once"

    def work(number):
        if number == 4 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    outcomes = each(work, [str(n) for n in range(8)], int, crew=PROCESSES)
    assert [outcome.value for outcome in outcomes] == list(range(8))
    assert Crew("processes", 64).narrower().width == 32
    assert Crew("processes", 2).narrower().width == 2


def test_workers_that_never_live_are_an_error_and_no_verdict_on_the_series():
    def work(_number):
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(BackendUnreachableError, match=r"no worker survives.*SIGKILL"):
        each(work, [str(n) for n in range(50)], int, crew=PROCESSES)


def test_items_are_loaded_as_they_are_needed_and_not_all_at_once():
    loaded, most = [], []

    def load(name):
        loaded.append(name)
        return int(name)

    def on_done(done):
        most.append(len(loaded) - done.number)

    each(
        lambda number: time.sleep(0.01) or number,
        [str(n) for n in range(40)],
        load,
        crew=PROCESSES,
        on_done=on_done,
    )
    assert sorted(loaded, key=int) == [str(n) for n in range(40)]
    assert max(most) < 20, "what was loaded and not yet told, which lags a little on a busy machine"


def test_a_worker_uses_one_thread_for_linear_algebra():
    def threads(_number):
        import numpy as np
        from threadpoolctl import threadpool_info

        np.dot(np.ones((64, 64)), np.ones((64, 64)))
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}, os.getpid()

    outcomes = each(threads, ["a", "b", "c"], str, crew=PROCESSES)
    assert [outcome.value[0] for outcome in outcomes] == [{1}] * 3
    assert os.getpid() not in {outcome.value[1] for outcome in outcomes}


def test_a_small_fleet_is_learnt_here_a_large_one_by_as_many_processes_as_there_are_cores(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert crew_for(7).place == "here"
    monkeypatch.setattr(crew_module.joblib, "cpu_count", lambda: 16)
    assert crew_for(1000) == Crew("processes", 16)
    assert crew_for(9) == Crew("processes", 9)
    monkeypatch.setattr(crew_module.joblib, "cpu_count", lambda: 1)
    assert crew_for(1000) == Crew("processes", 2), "a single one would be run inside this process"
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert crew_for(1000).place == "ray"
    assert crew_for(7).place == "here"


def test_ray_asked_for_and_not_installed_names_the_extra(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendMissingError, match=r"maximus\[ray\].*unset RAY_ADDRESS") as caught:
        each(int, ["1"], str, crew=Crew("ray", 1))
    assert isinstance(caught.value, Permanent)


def test_a_time_limit_leaves_the_signal_handler_and_other_threads_alone():
    before = signal.getsignal(signal.SIGALRM)
    limited = Crew("here", 1, seconds=0.2)
    (slow,) = each(lambda _: time.sleep(30), ["slow"], str, crew=limited)
    assert slow.reason == "it did not finish within 0.2 s"
    assert signal.getsignal(signal.SIGALRM) is before
    found = []
    thread = threading.Thread(target=lambda: found.extend(each(int, ["7"], str, crew=limited)))
    thread.start()
    thread.join()
    assert [outcome.value for outcome in found] == [7]


def test_a_log_is_told_of_milestones_and_of_every_failure():
    told = [
        done
        for n in range(1, 1001)
        if (done := Finished(f"t{n}", "short" if n == 7 else "", n, 1000)).is_milestone
    ]
    assert len(told) == 21
    assert str(told[0]) == "7 of 1000: t7 left out, short"
    assert all(Finished("t", "", n, 3).is_milestone for n in (1, 2, 3))
