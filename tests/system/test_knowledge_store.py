"""The writer against a real server: twice is once, a leader that was writes nothing, a kill loses nothing."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from maximus_assets.contracts.action import Action, ActionKind, ActionPlan, Effect
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast, ForecastPoint, JudgedForecasts
from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry.outcomes import read_outcomes
from serving.knowledge.connect import CHANNEL, KnowledgeUnavailableError
from serving.knowledge.queries import KnowledgeQueries
from serving.knowledge.spool import Spool
from serving.knowledge.store import Heartbeat, KnowledgeStore, StaleEpochError

NOW = datetime.now(UTC).replace(microsecond=0)
pytestmark = pytest.mark.anyio


def plan() -> ActionPlan:
    effect = Effect(sensor="request_p95_ms", before=300.0, expected=200.0, settles_within_seconds=180)
    action = Action(kind=ActionKind.SET_REPLICAS, target="web", current=2, desired=4, effects=(effect,))
    return ActionPlan(
        id=uuid4(),
        target="web",
        proposer="sizing",
        actions=(action,),
        reason="demand rises: “40 %”",
        confidence=0.8,
        direction="protective",
    )


def decision(
    *, target: str = "web", at: datetime = NOW, count: int = 1, epoch: int = 1, **fields
) -> DecisionRecord:
    values = {
        "id": uuid4(),
        "kind": "noop",
        "is_dry_run": True,
        "reason": "capacity fits demand",
        "confidence": 0.9,
        "verdicts": (
            Verdict(name="within_bounds", passed=False, reasons=("too many",), measured={"replicas": 3}),
        ),
        "state": {"replicas": 3, "demand": 1.5, "is_lost": False, "p95_ms": None, "note": "a\nb"},
        "model_version": "7",
    }
    return DecisionRecord(
        target=target,
        first_at=at,
        last_at=at + timedelta(seconds=15 * (count - 1)),
        count=count,
        epoch=epoch,
        **(values | fields),
    )


def lead(urls, epoch: int) -> None:
    with psycopg.connect(urls.owner) as connection:
        connection.execute(
            "UPDATE knowledge.lease SET epoch = %s, holder = 'x', expires_at = 'infinity'", (epoch,)
        )


def rows(urls, statement: str) -> list[tuple]:
    with psycopg.connect(urls.read) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
async def store(database):
    lead(database, 1)
    async with KnowledgeStore(database.app) as opened:
        yield opened


async def test_samples_written_twice_are_kept_once(store, database):
    first = [Sample("web", "cpu", NOW + timedelta(seconds=15 * i), float(i)) for i in range(10)]
    await store.record_samples(first)
    await store.record_samples(
        [*first[5:], Sample("web", "cpu", NOW - timedelta(seconds=15), 0.1), *first[:2]]
    )
    assert rows(database, "SELECT count(*), sum(value) FROM knowledge.metrics") == [(11, 45.1)]


async def test_a_sample_that_is_known_keeps_its_first_value(store, database):
    await store.record_samples([Sample("web", "cpu", NOW, 1.0)])
    await store.record_samples([Sample("web", "cpu", NOW, 2.0)])
    assert rows(database, "SELECT value FROM knowledge.metrics") == [(1.0,)]


async def test_samples_keep_every_digit_and_microsecond(store, database):
    at = NOW.replace(microsecond=123457)
    values = [0.1 + 0.2, 1e-300, -1.7976931348623157e308, 0.0, 5e-324]
    await store.record_samples([Sample("web", f"s{i}", at, value) for i, value in enumerate(values)])
    found = rows(database, "SELECT value, observed_at FROM knowledge.metrics ORDER BY sensor")
    assert found == [(value, at) for value in values]


@pytest.mark.parametrize(
    "sample",
    [
        Sample("web\tx", "cpu", NOW, 1.0),
        Sample("web", "cpu\n", NOW, 1.0),
        Sample("\\N", "cpu", NOW, 1.0),
        Sample("web", "cpu", NOW.replace(tzinfo=None), 1.0),
        Sample("web", "cpu", NOW, float("nan")),
        Sample("web", "cpu", NOW, float("inf")),
    ],
)
async def test_a_sample_that_is_none_is_refused_with_the_whole_batch(store, database, sample):
    with pytest.raises(ValueError, match=r"name|zone|finite"):
        await store.record_samples([Sample("web", "cpu", NOW, 1.0), sample])
    assert rows(database, "SELECT count(*) FROM knowledge.metrics") == [(0,)]


async def test_rows_of_a_month_without_a_partition_make_it(store, database):
    old = datetime(2021, 3, 31, 23, 59, 59, tzinfo=UTC)
    await store.record_samples(
        [Sample("web", "cpu", old, 1.0), Sample("web", "cpu", old + timedelta(days=1), 2.0)]
    )
    await store.record_decisions([decision(at=old)], epoch=1)
    assert rows(database, "SELECT count(*) FROM knowledge.metrics") == [(2,)]
    dropped = await store.drop_expired()
    # Tests that live at another date may have left months of their own, which have expired too.
    assert [name for name in dropped if "_2021_" in name] == [
        "forecasts_2021_03",
        "forecasts_2021_04",
        "judged_forecasts_2021_03",
        "judged_forecasts_2021_04",
        "metrics_2021_03",
        "metrics_2021_04",
    ]


async def test_forecasts_written_twice_are_kept_once(store, database):
    points = tuple(
        ForecastPoint(at=NOW + timedelta(minutes=5 * i), mean=2.0, lower=1.0, upper=3.0) for i in range(1, 4)
    )
    ok = Forecast(
        target="web",
        sensor="cpu",
        issued_at=NOW,
        status="ok",
        method="sarima",
        model_version="7\t\\N\r\n",  # a column's end, a null and a row's end, if it were not marked
        points=points,
    )
    new = ok.model_copy(update={"target": "shop"})
    cold = Forecast(target="db", sensor="cpu", issued_at=NOW, status="cold", reason="too short")
    await store.record_forecasts([ok, cold])
    assert rows(database, "SELECT DISTINCT mean, lower, upper, model_version FROM knowledge.forecasts") == [
        (2.0, 1.0, 3.0, ok.model_version)
    ]
    await store.record_forecasts([ok, new])
    assert rows(database, "SELECT target, count(*) FROM knowledge.forecasts GROUP BY 1 ORDER BY 1") == [
        ("shop", 3),
        ("web", 3),
    ]


async def test_a_decision_comes_back_as_it_was(store, database):
    records = [decision(), decision(kind="propose", plan=plan(), target="db")]
    await store.record_decisions(records, epoch=1)
    async with KnowledgeQueries(database.read) as queries:
        assert await queries.decision(records[0].id) == records[0]
        assert await queries.decision(records[1].id) == records[1]
        assert await queries.decision(uuid4()) is None
    assert rows(database, "SELECT plan_digest FROM knowledge.decisions WHERE plan IS NOT NULL") == [
        (records[1].plan.digest(),)
    ]


async def test_a_repeated_no_op_moves_its_count_and_nothing_else(store, database):
    first = decision(state={"demand": 1.0})
    again = first.model_copy(
        update={
            "count": 2,
            "last_at": NOW + timedelta(seconds=15),
            "state": {"demand": 2.0},
            "reason": "other",
        }
    )
    await store.record_decisions([first], epoch=1)
    await store.record_decisions([again], epoch=1)
    await store.record_decisions([first], epoch=1)  # an old state that arrives late
    assert rows(database, "SELECT count, last_at, state->>'demand', reason FROM knowledge.decisions") == [
        (2, NOW + timedelta(seconds=15), "2.0", "capacity fits demand")
    ]


async def test_several_states_of_one_decision_in_one_call_leave_the_latest(store, database):
    first = decision()
    states = [
        first.model_copy(update={"count": count, "last_at": NOW + timedelta(seconds=count)})
        for count in (1, 3, 2)
    ]
    await store.record_decisions(states, epoch=1)
    assert rows(database, "SELECT count FROM knowledge.decisions") == [(3,)]


async def test_a_leader_that_was_writes_nothing(store, database):
    lead(database, 2)
    with pytest.raises(StaleEpochError):
        await store.record_decisions([decision()], epoch=1)
    assert rows(database, "SELECT count(*) FROM knowledge.decisions") == [(0,)]


async def test_a_record_cannot_borrow_another_epoch(store, database):
    lead(database, 2)
    with pytest.raises(ValueError, match="epoch"):
        await store.record_decisions([decision(epoch=1), decision(epoch=2)], epoch=2)


async def test_a_successor_waits_for_the_writes_of_the_leader_before_it(store, database):
    """While a decision is being written under an epoch, that epoch cannot end; so none lands after its end."""
    lead(database, 1)
    with psycopg.connect(database.app) as slow, psycopg.connect(database.app) as successor:
        slow.execute("SELECT 1 FROM knowledge.lease WHERE name = 'loop' AND epoch = 1 FOR SHARE")
        successor.execute("SET lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            successor.execute("UPDATE knowledge.lease SET epoch = epoch + 1 WHERE name = 'loop'")


async def test_decisions_of_a_former_epoch_are_restored_as_history(store, database):
    lead(database, 5)
    await store.restore_decisions([decision(epoch=3)])
    assert rows(database, "SELECT epoch FROM knowledge.decisions") == [(3,)]


async def test_new_decisions_are_announced(store, database):
    record = decision()
    async with await psycopg.AsyncConnection.connect(database.read, autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANNEL}")
        await store.record_decisions([record], epoch=1)
        notes = [note async for note in listener.notifies(timeout=5, stop_after=1)]
    assert json.loads(notes[0].payload) == {"kind": "decision", "count": 1, "ids": [str(record.id)]}


async def test_a_thousand_decisions_are_announced_within_the_limit_of_a_notification(store, database):
    await store.record_decisions([decision(target=f"t{i}") for i in range(1000)], epoch=1)
    assert rows(database, "SELECT count(*) FROM knowledge.decisions") == [(1000,)]


async def test_a_heartbeat_replaces_the_one_before_it(store, database):
    beat = Heartbeat("loop", "me", 1, 42, NOW, NOW, None, None, 0, "starting", {"targets": {"web": "cold"}})
    later = beat._replace(
        beat_at=NOW + timedelta(seconds=15), turn_at=NOW, turn_seconds=0.1, turns=1, state="leading"
    )
    await store.beat(beat)
    await store.beat(later)
    async with KnowledgeQueries(database.read) as queries:
        assert await queries.heartbeats() == [later]


async def test_no_decision_said_to_be_kept_is_lost_when_the_server_is_killed(spare_postgres, tmp_path):
    """The path of the loop: write, spool what cannot be written, hand on when the server is back."""
    spare_postgres.migrate()
    lead(spare_postgres.urls, 1)
    spool = Spool(tmp_path / "spool")
    acknowledged: set[UUID] = set()
    async with KnowledgeStore(spare_postgres.urls.app, timeout_seconds=0.2) as store:
        for turn in range(60):
            if turn == 20:
                asyncio.get_running_loop().run_in_executor(None, spare_postgres.kill)
            if turn == 30:
                await asyncio.to_thread(spare_postgres.process.wait)
                await asyncio.to_thread(spare_postgres.start)
            records = [decision(target=f"t{i}") for i in range(5)]
            try:
                await store.record_decisions(records, epoch=1)
            except KnowledgeUnavailableError:
                spool.keep_decisions(records)
            acknowledged |= {record.id for record in records}
        await spool.hand_on(store)
    with psycopg.connect(spare_postgres.urls.read) as connection:
        kept = {row[0] for row in connection.execute("SELECT id FROM knowledge.decisions")}
    assert acknowledged <= kept
    assert spool.depth == 0


async def test_the_store_may_be_opened_before_the_server_is_there(spare_postgres):
    spare_postgres.migrate()
    spare_postgres.kill()
    store = KnowledgeStore(spare_postgres.urls.app, timeout_seconds=2)
    await store.open()
    try:
        with pytest.raises(KnowledgeUnavailableError):
            await store.record_samples([Sample("web", "cpu", NOW, 1.0)])
        await asyncio.to_thread(spare_postgres.start)
        await store.record_samples([Sample("web", "cpu", NOW, 1.0)])
    finally:
        await store.close()


def judged(version, *, role="champion", mean=1.0, hours=(1.0,), at=NOW):
    return JudgedForecasts(
        model_version=version,
        role=role,
        issued_at=at,
        series=(Series(target="web", sensor="demand_count"),),
        next_mean=(mean,),
        next_lower=(0.0,),
        next_upper=(2.0,),
        hour_mean=hours,
    )


async def test_what_one_version_answers_badly_costs_the_others_nothing(store, database):
    """Beyond what `real` holds, of unequal lengths, or in a role there is not; the month has no partition yet."""
    at = datetime(2021, 3, 31, 12, tzinfo=UTC)
    refused = await store.record_judged(
        [
            judged("1", at=at),
            judged("huge", role="challenger-huge", mean=1e300, at=at),
            judged("short", role="challenger-short", hours=(), at=at),
            judged("odd", role="nobody", at=at),
            judged("2", role="challenger-nightly", at=at),
        ]
    )

    assert set(refused) == {"huge", "short", "odd"}
    assert "out of range" in refused["huge"]
    known = rows(database, "SELECT model_version FROM knowledge.judged_forecasts ORDER BY 1")
    assert known == [("1",), ("2",)]
    found = read_outcomes(database.read, at - timedelta(hours=1), at + timedelta(hours=1))
    assert found.covered == dict.fromkeys(("1", "2"), frozenset({"web/demand_count"}))
