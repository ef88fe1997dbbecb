"""The event stream: what the store records reaches every client; what was missed is sent or owned up to."""

import asyncio
from datetime import timedelta

import pytest

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import GRID_SECONDS
from serving.gateway.cursor import Position, encode
from serving.gateway.events import EventHub
from serving.knowledge.store import KnowledgeStore

pytestmark = pytest.mark.anyio
STREAM = "/api/v1/stream/events"


async def listening(served):
    await asyncio.wait_for(served.gateway.listener.is_listening.wait(), 10)


async def test_a_recorded_decision_reaches_every_stream_whole(database, store, serve, clock, decided):
    record = decided(clock.now(), kind="propose")
    async with serve(database, clock=clock) as served, served.stream() as one, served.stream() as other:
        await listening(served)
        await store.restore_decisions([record])
        for stream in (one, other):
            await stream.until(str(record.id))
            [(name, data, identity)] = stream.events()
            assert name == "decision"
            assert DecisionRecord.model_validate(data) == record
            assert identity == encode(Position(record.first_at, record.id))
        assert one.status == 200
        assert one.headers["content-type"].startswith("text/event-stream")
        assert one.headers["cache-control"] == "no-store"
        assert served.gateway.hub.open_streams == 2
    assert served.gateway.hub.open_streams == 0


async def test_a_repeated_no_op_is_told_again_with_its_count(database, store, serve, clock, decided):
    record = decided(clock.now())
    async with serve(database, clock=clock) as served, served.stream() as stream:
        await listening(served)
        await store.restore_decisions([record])
        await stream.until('"count":1')
        await store.restore_decisions([record.model_copy(update={"count": 2})])
        await stream.until('"count":2')
        assert [data["count"] for _, data, _ in stream.events()] == [1, 2]


async def test_heartbeats_and_forecasts_are_told(database, store, serve, clock, beat):
    now = clock.now()
    point = ForecastPoint(at=now + timedelta(seconds=GRID_SECONDS), mean=2, lower=1, upper=3)
    forecast = Forecast(
        target="host", sensor="cpu_used_cores", issued_at=now, status="ok", model_version="3", points=(point,)
    )
    async with serve(database, clock=clock) as served, served.stream() as stream:
        await listening(served)
        await store.beat(beat(now))
        await store.record_forecasts([forecast])
        await stream.until("event: forecast")
        (first, told, _), (second, about, _) = stream.events()
    assert (first, told["state"], told["name"]) == ("heartbeat", "leading", "loop:8001")
    assert (second, about["targets"]) == ("forecast", ["host"])


async def test_a_client_that_comes_back_gets_what_it_missed_oldest_first(
    database, store, serve, clock, decided
):
    records = [decided(clock.now() - timedelta(minutes=5 - n)) for n in range(4)]
    await store.restore_decisions(records)
    seen = encode(Position(records[1].first_at, records[1].id))
    async with serve(database, clock=clock) as served, served.stream(seen) as stream:
        await stream.until(str(records[3].id))
        assert [data["id"] for _, data, _ in stream.events()] == [str(record.id) for record in records[2:]]


async def test_a_client_that_missed_too_much_is_told_to_read_anew(database, store, serve, clock, decided):
    await store.restore_decisions([decided(clock.now() - timedelta(seconds=n)) for n in range(501)])
    first = decided(clock.now() - timedelta(days=1))
    async with (
        serve(database, clock=clock) as served,
        served.stream(encode(Position(first.first_at, first.id))) as stream,
    ):
        await stream.until("event: resync")
        assert [name for name, _, _ in stream.events()] == ["resync"]


async def test_an_id_that_is_none_of_ours_is_refused(database, serve):
    async with serve(database) as served:
        answer = await served.client.get(STREAM, headers={"last-event-id": "17"})
        assert served.gateway.hub.open_streams == 0
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_one_stream_too_many_is_refused_and_told_when_to_come_back(database, serve):
    async with serve(database, hub=EventHub(streams=1)) as served, served.stream():
        answer = await served.client.get(STREAM)
    assert (answer.status_code, answer.json()["code"]) == (503, "too_many_streams")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_client_too_slow_for_what_happens_is_ended_with_the_reason(
    database, store, serve, clock, decided
):
    records = [decided(clock.now() - timedelta(seconds=n)) for n in range(5)]
    async with serve(database, clock=clock, hub=EventHub(capacity=3)) as served, served.stream() as stream:
        await listening(served)
        await store.restore_decisions(records)  # announced at once: more than the queue holds
        await stream.until("event: end")
        assert "slow client" in bytes(stream.text).decode()
        assert stream.has_ended


async def test_streams_end_when_the_gateway_closes(database, serve):
    async with serve(database) as served, served.stream() as stream:
        served.gateway.hub.close()
        await stream.until("event: end")
        assert stream.has_ended


async def test_noise_on_the_channel_harms_nobody(database, store, serve, clock, decided):
    record = decided(clock.now())
    async with serve(database, clock=clock) as served, served.stream() as stream:
        await listening(served)
        async with store._connection() as connection:
            for noise in ("", "{", "[]", '{"kind":"other"}', '{"kind":"decision","ids":["no"]}'):
                await connection.execute("SELECT pg_notify('maximus_events', %s)", (noise,))
        await store.restore_decisions([record])
        await stream.until(str(record.id))
        assert [name for name, _, _ in stream.events()] == ["decision"]


async def test_a_killed_database_is_told_and_after_its_return_events_come_again(
    spare_postgres, serve, decided, clock
):
    spare_postgres.migrate()
    record = decided(clock.now())
    async with serve(spare_postgres.urls) as served, served.stream() as stream:
        await listening(served)
        spare_postgres.kill()
        await stream.until('{"is_reachable":false}')
        spare_postgres.start()
        await stream.until("event: resync")
        async with KnowledgeStore(spare_postgres.urls.app) as store:
            await store.restore_decisions([record])
        await stream.until(str(record.id))
        assert [name for name, _, _ in stream.events()] == ["database", "database", "resync", "decision"]
        answer = await served.client.get(f"/api/v1/governance/decisions/{record.id}")
        assert answer.status_code == 200
