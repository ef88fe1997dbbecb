"""What is kept out of a turn, because a large fleet's would be slow with it."""

import gc

import pytest

pytestmark = pytest.mark.anyio


async def test_garbage_is_looked_for_between_turns_and_never_in_one(house, monkeypatch):
    seen = []

    async def points():
        seen.append(gc.isenabled())

    monkeypatch.setattr(house.collector, "points", points)
    await house.turn(2)
    assert seen == [False, False]
    assert gc.isenabled()


async def test_garbage_is_looked_for_again_after_a_turn_that_was_broken_off(house, crash):
    house.points.crash_at = house.points.passed
    with pytest.raises(crash):
        await house.turn()
    assert gc.isenabled()


async def test_what_is_slow_begins_when_the_turn_is_over_and_cannot_end_the_loop(house, monkeypatch):
    order = []
    store_beat = house.store.beat

    async def beat(heartbeat):
        order.append("beat")
        await store_beat(heartbeat)

    def proceed():
        order.append("proceed")
        raise ZeroDivisionError

    monkeypatch.setattr(house.store, "beat", beat)
    monkeypatch.setattr(house.cycle, "proceed", proceed)
    assert await house.turn(2) == [15, 15]
    assert order == ["beat", "proceed"] * 2


async def test_a_new_champion_is_left_out_of_collections_once_after_the_turn_it_came_in(house, monkeypatch):
    settled = []
    monkeypatch.setattr("serving.loop.garbage.settle", lambda: settled.append(gc.isenabled()))
    await house.turn(2)
    assert settled == []
    monkeypatch.setattr(house.champion, "version", lambda: "8")
    await house.turn(3)
    assert settled == [True]
