"""Decisions: filters, pages, one by its id."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from maximus_assets.contracts.decision import DecisionRecord
from serving.knowledge.store import KnowledgeStore

DECISIONS = "/api/v1/governance/decisions"


@pytest.mark.anyio
async def test_a_decision_is_answered_as_it_was_recorded(database, store, serve, clock, decided):
    record = decided(clock.now(), kind="propose")
    await store.restore_decisions([record])
    async with serve(database, clock=clock) as served:
        one = await served.client.get(f"{DECISIONS}/{record.id}")
        page = await served.client.get(DECISIONS)
        none = await served.client.get(f"{DECISIONS}/{uuid4()}")
    assert DecisionRecord.model_validate(one.json()) == record
    assert DecisionRecord.model_validate(page.json()["decisions"][0]) == record
    assert page.json()["next_cursor"] is None
    assert (none.status_code, none.json()["code"]) == (404, "decision_not_found")


@pytest.mark.anyio
async def test_decisions_are_filtered_by_target_kind_and_time(database, store, serve, clock, decided):
    now = clock.now()
    records = {
        "long no-op": decided(now - timedelta(hours=3), lasts=timedelta(hours=2, minutes=30), count=600),
        "host": decided(now - timedelta(hours=2), target="host"),
        "change": decided(now - timedelta(minutes=20), kind="propose"),
    }
    await store.restore_decisions(list(records.values()))

    async def found(**query):
        answer = await served.client.get(DECISIONS, params=query)
        assert answer.status_code == 200, answer.text
        by_id = {str(record.id): name for name, record in records.items()}
        return [by_id[one["id"]] for one in answer.json()["decisions"]]

    async with serve(database, clock=clock) as served:
        assert await found() == ["change", "host", "long no-op"]
        assert await found(target="host") == ["host"]
        assert await found(kind="propose") == ["change"]
        assert await found(target="host", kind="propose") == []
        assert await found(since=(now - timedelta(hours=1)).isoformat()) == ["change", "long no-op"]
        assert await found(until=(now - timedelta(hours=1)).isoformat()) == ["host", "long no-op"]
        assert await found(target="gone-for-good") == []


async def _pages(client, query, limit):
    listed, cursor = [], None
    while True:
        params = {**query, "limit": limit} | ({"cursor": cursor} if cursor else {})
        page = (await client.get(DECISIONS, params=params)).json()
        listed.append([one["id"] for one in page["decisions"]])
        cursor = page["next_cursor"]
        if cursor is None:
            return listed


def test_pages_put_together_are_the_whole(database, serve, clock, decided):
    """A law, on many decisions of which several share their instant: nothing twice, nothing missing, in order."""
    records = [
        decided(
            clock.now() - timedelta(minutes=step // 4),
            target="host" if step % 3 else "demo-shop",
            kind="propose" if step % 5 == 0 else "noop",
        )
        for step in range(60)
    ]
    with asyncio.Runner() as runner:

        async def fill():
            async with KnowledgeStore(database.app) as store:
                await store.restore_decisions(records)

        runner.run(fill())

        @given(
            limit=st.integers(1, 61),
            target=st.sampled_from([None, "host", "demo-shop"]),
            kind=st.sampled_from([None, "noop", "propose"]),
        )
        @examples(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        def law(limit, target, kind):
            query = {key: value for key, value in {"target": target, "kind": kind}.items() if value}
            pages = runner.run(_pages(served.client, query, limit))
            expected = sorted(
                (r for r in records if target in {None, r.target} and kind in {None, r.kind}),
                key=lambda r: (r.first_at, r.id),
                reverse=True,
            )
            assert [one for page in pages for one in page] == [str(r.id) for r in expected]
            assert all(len(page) == limit for page in pages[:-1])

        running = serve(database, clock=clock)
        served = runner.run(running.__aenter__())
        try:
            law()
        finally:
            runner.run(running.__aexit__(None, None, None))


@pytest.mark.anyio
async def test_a_decision_taken_meanwhile_shifts_no_page(database, store, serve, clock, decided):
    await store.restore_decisions([decided(clock.now() - timedelta(minutes=n)) for n in range(1, 5)])
    async with serve(database, clock=clock) as served:
        first = (await served.client.get(DECISIONS, params={"limit": 2})).json()
        await store.restore_decisions([decided(clock.now())])
        second = (
            await served.client.get(DECISIONS, params={"limit": 2, "cursor": first["next_cursor"]})
        ).json()
    ids = [one["id"] for one in (*first["decisions"], *second["decisions"])]
    assert len(set(ids)) == 4
    assert second["next_cursor"] is None
