"""What keeps the loop turning: leading, standing by, failing, stopping."""

import asyncio
from datetime import timedelta

import pytest

from maximus_assets.contracts.errors import Permanent, Retryable
from maximus_assets.contracts.telemetry import Sample
from serving.analyze import RECOVERY_TURNS
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.loop.watchdog import EXIT_CODE

pytestmark = pytest.mark.anyio


async def test_the_first_look_decides_nothing(house):
    await house.turn()
    assert house.runner.progress.state == "observing"
    assert not house.store.decisions
    assert house.store.samples
    await house.turn()
    assert house.runner.progress.state == "leading"
    assert {record.target for record in house.store.decisions.values()} == {"busy", "calm"}


async def test_unchanged_no_ops_are_one_record_with_a_count(house):
    await house.turn(11)
    calm = [record for record in house.store.decisions.values() if record.target == "calm"]
    assert [(record.kind, record.count) for record in calm] == [("noop", 10)]
    assert (calm[0].last_at - calm[0].first_at).total_seconds() == 9 * 15


async def test_a_proposal_is_made_once_and_then_stands(house):
    await house.turn(6)
    busy = [record for record in house.store.decisions.values() if record.target == "busy"]
    assert [(record.kind, record.count) for record in busy] == [("propose", 1), ("noop", 4)]
    assert busy[0].verdicts[-1].reasons == ("no actuators: dry run only",)


async def test_a_changed_reason_is_a_record_of_its_own(house):
    await house.turn(3)
    house.rates["calm"] = 500.0
    await house.turn(1)
    assert [record.kind for record in house.store.decisions.values() if record.target == "calm"] == [
        "noop",
        "propose",
    ]


async def test_nothing_is_decided_without_the_lease(house):
    house.lease.leads = False
    await house.turn(5)
    assert house.runner.progress.state == "standby"
    assert not house.store.decisions
    assert not house.store.samples
    assert house.runner.is_ready()


async def test_a_standby_that_has_looked_decides_in_its_first_turn_as_leader(house):
    house.lease.leads = False
    await house.turn(3)
    house.lease.leads = True
    await house.turn(1)
    assert house.runner.progress.state == "leading"
    assert len(house.store.decisions) == 2


async def test_a_lease_that_runs_out_while_deciding_voids_the_turn(house):
    await house.turn(2)
    answers = iter([True, False])
    house.lease.is_leading = lambda: next(answers, False)
    before = dict(house.store.decisions)
    await house.turn(1)
    assert house.store.decisions == before
    assert house.runner.progress.state == "suspended"


async def test_a_stale_epoch_voids_the_turn(house):
    await house.turn(2)
    before = dict(house.store.decisions)
    house.store.epoch = 2  # another leads by now
    await house.turn(1)
    assert house.store.decisions == before
    assert house.spool.depth == 0
    assert house.runner.progress.state == "standby"


async def test_decisions_taken_while_the_store_is_away_wait_on_disk_and_go_in_first(house):
    await house.turn(2)
    house.store.is_away = True
    await house.turn(2)
    assert house.spool.depth > 0
    house.store.is_away = False
    await house.turn(1)
    assert house.spool.depth == 0
    calm = [record for record in house.store.decisions.values() if record.target == "calm"]
    assert [record.count for record in calm] == [4]
    assert len({at for target, _, at in house.store.samples if target == "calm"}) == 5


async def test_with_the_lease_run_out_and_the_store_away_the_loop_is_suspended_and_keeps_what_it_sees(house):
    await house.turn(2)
    house.store.is_away = True
    house.lease.leads = False
    await house.turn(3)
    assert house.runner.progress.state == "suspended"
    house.store.is_away = False
    house.lease.leads = True
    await house.turn(2)
    seen = {at for target, _, at in house.store.samples if target == "calm"}
    assert len(seen) == 7


async def test_an_unknown_error_slows_the_loop_and_never_ends_it(house):
    await house.turn(2)
    house.collector.error = ZeroDivisionError("nobody foresaw this")
    assert await house.turn(4) == [15, 30, 30, 30]
    assert house.runner.is_alive()
    house.collector.error = None
    assert await house.turn(1) == [15]
    assert house.runner.progress.state == "leading"


async def test_a_retryable_error_waits_as_long_as_it_asks_within_reason(house):
    house.collector.error = Retryable("later", delay_seconds=20)
    assert await house.turn(1) == [20]
    house.collector.error = Retryable("much later", delay_seconds=3600)
    assert await house.turn(1) == [30]
    house.collector.error = Permanent("never")
    assert await house.turn(1) == [30]


async def test_an_error_while_recording_forgets_nothing_it_had_promised(house):
    """A decision whose record failed was not taken: the next turn takes it, once."""
    await house.turn(1)
    house.store.error = ValueError("bad row")
    await house.turn(1)
    house.store.error = None
    await house.turn(2)
    calm = [record for record in house.store.decisions.values() if record.target == "calm"]
    assert [record.count for record in calm] == [2]


async def test_what_a_source_remembers_is_recorded_by_a_leader_once_it_can_be(house):
    past = house.clock.now() - timedelta(hours=1)
    house.remembered = tuple(
        Sample("busy", "request_rate_per_second", past + timedelta(seconds=15 * n), 300.0 + n)
        for n in range(4)
    )
    house.lease.leads = False
    await house.turn(1)
    assert not any(at < house.clock.now() - timedelta(minutes=30) for _, _, at in house.store.samples)
    house.lease.leads = True
    house.store.is_away = True
    await house.turn(2)
    house.store.is_away = False
    await house.turn(2)
    assert {sample[:3] for sample in house.remembered} <= house.store.samples
    assert house.runner._remembered == ()


async def test_a_large_past_is_recorded_over_many_turns(house, monkeypatch):
    monkeypatch.setattr("serving.loop.runner._REMEMBERED_AT_ONCE", 3)
    past = house.clock.now() - timedelta(hours=1)
    house.remembered = tuple(
        Sample("busy", "request_rate_per_second", past + timedelta(seconds=15 * n), 300.0) for n in range(8)
    )
    recorded = []
    for _ in range(3):
        await house.turn(1)
        recorded.append(len({sample[:3] for sample in house.remembered} & house.store.samples))
    assert recorded == [3, 6, 8]


async def test_a_past_that_could_not_be_asked_for_is_asked_for_again_by_a_leader(house):
    house.knows_the_past = False
    house.lease.leads = False
    await house.turn(3)
    assert house.warm_ups == 1
    house.lease.leads = True
    await house.turn(2)
    assert house.warm_ups == 3
    house.knows_the_past = True
    await house.turn(3)
    assert house.warm_ups == 4


async def test_what_was_seen_is_kept_though_deciding_failed(house, monkeypatch):
    await house.turn(2)

    async def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(house.cycle, "decide", fail)
    await house.turn(2)
    assert len({at for target, _, at in house.store.samples if target == "calm"}) == 4


async def test_a_loop_whose_turns_fail_does_not_claim_to_lead(house):
    await house.turn(2)
    house.collector.error = ZeroDivisionError("password=hunter2")
    await house.turn(2)
    beat = house.store.beats[-1]
    assert (beat.state, beat.detail["failures_in_a_row"], beat.detail["failure"]) == (
        "suspended",
        2,
        "ZeroDivisionError",
    )
    house.collector.error = None
    await house.turn(1)
    beat = house.store.beats[-1]
    assert (beat.state, beat.detail["failures_in_a_row"], beat.detail["failure"]) == ("leading", 0, "")


async def test_a_decision_that_is_recorded_counts_though_something_failed_after_it(house):
    await house.turn(2)
    house.runner._recorder._forecasts.append(("poison",))

    async def refuse(_):
        raise ValueError("not a forecast")

    house.store.record_forecasts = refuse
    await house.turn(1)
    assert house.runner.progress.state == "leading"
    assert await house.turn(1) == [15], (
        "what is refused for what it is does not stand before all that follows"
    )


async def test_no_record_goes_on_for_longer_than_a_day(house):
    await house.turn(2)
    house.clock.advance(24 * 3600)
    await house.turn(2)
    calm = [record for record in house.store.decisions.values() if record.target == "calm"]
    assert [record.count for record in calm] == [1, 2]


async def test_a_short_period_does_not_make_the_watchdog_hasty(house):
    """A server that hangs costs a turn some ten seconds; it must not cost the process."""
    quick = type(house.runner)(
        name="quick",
        cycle=house.cycle,
        recorder=house.runner._recorder,
        lease=house.lease,
        champion=house.champion,
        clock=house.clock,
        period_seconds=1,
        warm_up=house._warm_up,
        exit_process=house.exits.append,
    )
    house.clock.advance(29)
    assert quick.is_alive()
    house.clock.advance(2)
    assert not quick.is_alive()


async def test_a_clock_that_was_set_empties_the_window_and_fills_it_again(house):
    await house.turn(2)
    assert house.warm_ups == 1
    house.clock.jump(7200)
    await house.turn(1)
    assert house.warm_ups == 2
    house.clock.jump(5)
    await house.turn(1)
    assert house.warm_ups == 2


async def test_a_clock_set_back_never_ends_a_decision_before_it_began(house):
    await house.turn(3)
    house.clock.jump(-7200)
    await house.turn(2)
    assert all(record.last_at >= record.first_at for record in house.store.decisions.values())


async def test_a_loop_that_stopped_turning_ends_its_process(house):
    await house.turn(2)
    house.clock.advance(45)
    assert house.runner.watchdog.check()
    house.clock.advance(1)
    assert not house.runner.watchdog.check()
    assert house.exits == [EXIT_CODE]
    assert not house.runner.is_alive()
    assert not house.runner.is_ready()


async def test_a_failing_turn_is_progress_all_the_same(house):
    house.collector.error = RuntimeError
    for _ in range(5):
        await house.turn(1)
        house.clock.advance(30)
    assert house.runner.watchdog.check()


async def test_readiness_needs_a_look_and_a_sight_of_the_lease(house):
    house.runner.progress.has_seen_lease = False
    assert not house.runner.is_ready()
    await house.turn(1)
    assert not house.runner.is_ready()
    house.runner.progress.has_seen_lease = True
    assert house.runner.is_ready()


async def test_the_heartbeat_tells_what_a_reader_needs(house):
    await house.turn(3)
    beat = house.store.beats[-1]
    assert (beat.name, beat.holder, beat.epoch, beat.state, beat.turns) == (
        "loop:test",
        "me",
        1,
        "leading",
        2,
    )
    assert beat.detail["champion_version"] == "7"
    assert beat.detail["is_dry_run"]
    assert beat.detail["targets"]["busy"]["status"] == "no_champion"
    assert beat.detail["targets"]["busy"]["severity"] == "normal"


async def settle():
    for _ in range(50):
        await asyncio.sleep(0)


async def test_it_turns_every_period_and_gives_the_lease_back_when_stopped(house):
    task = asyncio.create_task(house.runner.run())
    await settle()
    assert house.runner.progress.observations == 1
    for expected in (2, 3, 4):
        house.clock.advance(15)
        await settle()
        assert house.runner.progress.observations == expected
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert house.lease.releases == 1
    assert house.exits == []


async def test_a_lease_that_cannot_be_asked_for_is_asked_for_again(house):
    house.runner.progress.has_seen_lease = False
    house.lease.error = KnowledgeUnavailableError("away")
    house.lease.leads = False
    task = asyncio.create_task(house.runner.run())
    await settle()
    assert house.runner.progress.state == "suspended"
    assert not house.runner.is_ready()
    house.lease.error = None
    house.clock.advance(2)
    await settle()
    assert house.runner.is_ready()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_unforeseen_error_beside_the_turns_ends_nothing(house, monkeypatch):
    async def at_once(_):
        return None

    monkeypatch.setattr("serving.loop.runner.asyncio.sleep", at_once)
    house.lease.error = ZeroDivisionError("driver bug")
    task = asyncio.create_task(house.runner.run())
    await settle()
    assert not task.done()
    house.lease.error = None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_new_champion_is_told_of_at_once(house):
    task = asyncio.create_task(house.runner.run())
    await settle()
    beats = len(house.store.beats)
    house.champion.changes = 1
    house.clock.advance(15 - 0.001)
    await settle()
    house.clock.advance(0.001)
    await settle()
    assert len(house.store.beats) == beats + 2  # one for the turn, one for the champion
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_restart_in_the_middle_of_a_loss_does_not_end_it(house):
    whole, house.rates = dict(house.rates), {}
    house.collector.rates = house.rates
    await house.turn(3)
    assert house.store.beats[-1].detail["telemetry"]["is_lost"]

    house.rates = whole
    house.start(epoch=2)
    await house.turn(2)
    assert house.runner.memory.telemetry.is_lost, "it has been whole for one turn alone"
    assert house.runner.memory.telemetry.good_turns == 1
    await house.turn(RECOVERY_TURNS - 1)
    assert not house.runner.memory.telemetry.is_lost
