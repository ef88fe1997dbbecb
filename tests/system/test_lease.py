"""The lease against a real server: never two leaders of one epoch, and none past its deadline."""

import asyncio
import time
from contextlib import suppress

import psycopg
import pytest

from maximus_assets.contracts.clock import SystemClock
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.loop.lease import Lease, LeaseTiming

SHORT = LeaseTiming(lease_seconds=0.3, renew_deadline_seconds=0.2, retry_seconds=0.05)
pytestmark = pytest.mark.anyio


@pytest.fixture
async def leases(database, clock):
    made: list[Lease] = []

    def make(**options) -> Lease:
        made.append(Lease(options.pop("url", database.app), options.pop("clock", clock), **options))
        return made[-1]

    yield make
    for lease in made:
        await lease.release()


def expire(urls) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute(
            "UPDATE knowledge.lease SET expires_at = clock_timestamp() - interval '1 microsecond'"
        )


async def test_the_first_to_ask_leads_and_the_second_waits(leases):
    first, second = leases(), leases()
    assert await first.tend()
    assert first.epoch == 1
    assert not await second.tend()
    assert (second.is_leading(), second.epoch) == (False, 0)


async def test_after_a_release_the_next_leads_at_once_under_a_higher_epoch(leases):
    first, second = leases(), leases()
    await first.tend()
    await first.release()
    assert not first.is_leading()
    assert await second.tend()
    assert second.epoch == 2


async def test_a_holder_that_renews_keeps_its_epoch(leases, clock):
    lease = leases()
    await lease.tend()
    for _ in range(5):
        clock.advance(2)
        assert await lease.tend()
    assert lease.epoch == 1


async def test_a_holder_stops_claiming_at_its_deadline_before_the_lease_expires(leases, clock):
    lease, other = leases(), leases()
    await lease.tend()
    clock.advance(9.9)
    assert lease.is_leading()
    clock.advance(0.1)
    assert not lease.is_leading()
    assert not await other.tend()  # by PostgreSQL's clock the lease still runs


async def test_a_jump_of_the_wall_clock_moves_neither_side(leases, clock):
    lease, other = leases(), leases()
    await lease.tend()
    clock.jump(3600)
    assert lease.is_leading()
    assert not await other.tend()


async def test_a_paused_holder_comes_back_as_a_follower(leases, clock, database):
    paused, other = leases(), leases()
    await paused.tend()
    expire(database)
    assert await other.tend()
    assert paused.is_leading()  # it cannot know yet: the store refuses its epoch meanwhile
    assert not await paused.tend()
    assert not paused.is_leading()
    assert (paused.epoch, other.epoch) == (1, 2)


async def test_an_expired_lease_is_not_renewed_but_taken_anew(leases, clock, database):
    lease = leases()
    await lease.tend()
    expire(database)
    assert not await lease.tend()
    assert await lease.tend()
    assert lease.epoch == 2


async def test_time_spent_asking_counts_against_the_holder(leases, clock, database):
    lease = leases()
    with psycopg.connect(database.owner) as blocker:
        blocker.execute("SELECT 1 FROM knowledge.lease FOR UPDATE")
        asking = asyncio.create_task(lease.tend())
        await asyncio.sleep(0)
        clock.advance(10)
        blocker.rollback()
        assert await asking is False
    assert not lease.is_leading()
    assert await lease.tend()  # its own row: no need to wait for the expiry
    assert lease.epoch == 2


async def test_a_database_that_does_not_answer_is_given_up_within_the_deadline(leases, clock, database):
    lease = leases(timing=SHORT)
    with psycopg.connect(database.owner) as blocker:
        blocker.execute("SELECT 1 FROM knowledge.lease FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(KnowledgeUnavailableError):
            await lease.tend()
        assert time.monotonic() - began < 3


async def test_a_killed_server_is_waited_for_and_the_holder_stops_in_time(spare_postgres, leases, clock):
    spare_postgres.migrate()
    lease = leases(url=spare_postgres.urls.app)
    assert await lease.tend()
    spare_postgres.kill()
    with pytest.raises(KnowledgeUnavailableError):
        await lease.tend()
    assert lease.is_leading()  # until its deadline, as nobody else can have it
    clock.advance(10)
    assert not lease.is_leading()
    await asyncio.to_thread(spare_postgres.start)
    assert await lease.tend()
    assert lease.epoch == 2


async def test_of_many_contenders_one_leads_each_epoch(leases, database):
    """Twelve contenders, some of them pausing, crashing or releasing: every epoch has one leader, and they only grow."""
    led: list[tuple[int, str]] = []
    everybody = [leases(clock=SystemClock(), timing=SHORT) for _ in range(12)]

    async def contend(number: int) -> None:
        lease = everybody[number]
        for turn in range(25):
            with suppress(KnowledgeUnavailableError):  # the server was too busy to answer in time: go on
                await lease.tend()
            if lease.is_leading():
                if (lease.epoch, lease.holder) not in led:
                    led.append((lease.epoch, lease.holder))
                assert [other.holder for other in everybody if other.is_leading()] in ([lease.holder], [])
            if (turn + number) % 7 == 0:
                await lease.release()
            elif (turn + number) % 5 == 0:
                await asyncio.sleep(0.35)  # paused for longer than its lease
            else:
                await asyncio.sleep(0.02)

    await asyncio.gather(*(contend(number) for number in range(12)))
    epochs = [epoch for epoch, _ in led]
    assert epochs == sorted(epochs)
    assert len(epochs) == len(set(epochs)) > 5


def test_timing_out_of_order_is_refused():
    with pytest.raises(ValueError, match="retry < renew deadline < lease"):
        LeaseTiming(lease_seconds=10, renew_deadline_seconds=10)
