"""The process dies at every single await of a turn, before and after its effect; nothing is lost, doubled or done."""

import pytest

pytestmark = pytest.mark.anyio


async def live_through(house):
    """A look, two turns, an outage of two turns, two turns after it."""
    await house.turn(3)
    house.store.is_away = True
    await house.turn(2)
    house.store.is_away = False
    await house.turn(2)


async def points_of_a_life(make_house):
    house = make_house(-1)
    await live_through(house)
    return house.points.passed


async def test_no_crash_anywhere_loses_or_doubles_a_decision(make_house, crash):
    points = await points_of_a_life(make_house)
    assert points > 40
    crashes = 0
    for crash_at in range(points):
        house = make_house(crash_at)
        try:
            await live_through(house)
        except crash:
            crashes += 1
        # What the dead process took for decided is safe somewhere.
        remembered = house.runner.memory.last.values()
        safe = house.kept()
        assert all(safe[record.id].count >= record.count for record in remembered), crash_at

        house.store.is_away = False
        house.start(epoch=2)
        await house.turn(4)
        assert house.spool.depth == 0
        decisions = house.store.decisions.values()
        for target in ("busy", "calm"):
            mine = [record for record in decisions if record.target == target]
            turns = {at for name, at in house.store.turns if name == target}
            # Every turn that was decided is counted once, in one record.
            assert sum(record.count for record in mine) == len(turns), crash_at
        assert all(record.is_dry_run for record in decisions)
    assert crashes == points


async def test_a_restart_proposes_anew_under_its_own_epoch(house):
    await house.turn(4)
    house.start(epoch=2)
    await house.turn(2)
    epochs = [record.epoch for record in house.store.decisions.values() if record.target == "busy"]
    kinds = [record.kind for record in house.store.decisions.values() if record.target == "busy"]
    assert epochs == [1, 1, 2]
    assert kinds == ["propose", "noop", "propose"]
