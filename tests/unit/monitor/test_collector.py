"""Collecting from many sources: none may harm or hold up another."""

import asyncio
from datetime import UTC, datetime

import pytest

from maximus_assets.contracts.telemetry import Sample
from serving.monitor.source import Collector

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.anyio


class Source:
    """A source that answers, fails, or waits until it is let go."""

    def __init__(self, name, answer=None, *, gate=None):
        self.name = name
        self.sensors = {name: ("load_1m",)}
        self.gate = gate
        self.answer = answer
        self.rounds = 0

    async def collect(self, now):
        self.rounds += 1
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return [Sample(self.name, "load_1m", now, 1.0)]

    async def history(self, series, start, end):
        return None


async def test_one_failing_source_never_stops_the_others():
    collector = Collector([Source("a"), Source("b", OSError("gone")), Source("c")])
    collected = await collector.collect(NOON)
    assert [sample.target for sample in collected.samples] == ["a", "c"]
    assert collected.failures == {"b": "OSError: gone"}
    assert collector.failures["b", "OSError"] == 1


async def test_a_source_that_hangs_costs_its_timeout_and_is_left_alone_until_it_comes_back():
    gate = asyncio.Event()
    stuck = Source("stuck", gate=gate)
    collector = Collector([stuck, Source("a")], timeout_seconds=0.01)
    first = await collector.collect(NOON)
    second = await collector.collect(NOON)
    assert (
        [sample.target for sample in first.samples] == [sample.target for sample in second.samples] == ["a"]
    )
    assert stuck.rounds == 1
    assert collector.failures["stuck", "busy"] == 1
    gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    third = await collector.collect(NOON)
    assert {sample.target for sample in third.samples} == {"a", "stuck"}
    await collector.aclose()


async def test_a_late_failure_is_counted_and_then_forgotten():
    gate = asyncio.Event()
    stuck = Source("stuck", ValueError("late"), gate=gate)
    collector = Collector([stuck], timeout_seconds=0.01)
    await collector.collect(NOON)
    gate.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stuck.answer = None
    assert (await collector.collect(NOON)).failures == {}
    assert collector.failures["stuck", "ValueError"] == 1


async def test_cancelling_a_round_is_not_taken_for_a_failure():
    collector = Collector([Source("stuck", gate=asyncio.Event())], timeout_seconds=60)
    task = asyncio.create_task(collector.collect(NOON))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not collector.failures


async def test_a_series_two_sources_read_is_told_by_the_first_alone():
    first, second = Source("a"), Source("b")
    second.sensors = {"a": ("load_1m",), "b": ("load_1m",)}

    async def both(now):
        return [Sample(name, "load_1m", now, 2.0) for name in ("a", "b")]

    second.collect = both
    collected = await Collector([first, second]).collect(NOON)

    assert [(it.target, it.value) for it in collected.samples] == [("a", 1.0), ("b", 2.0)]
