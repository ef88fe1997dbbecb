"""The whole loop keeps what capacity there is while telemetry is lost or frozen, and lets go of it slowly after."""

from datetime import timedelta

import pytest

from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.contracts.telemetry import Sample
from serving.analyze import RECOVERY_TURNS
from serving.loop.cycle import Cycle, Memory
from serving.monitor.source import Collected
from serving.predictors.inference import Forecasts

pytestmark = pytest.mark.anyio

RATE, REPLICAS = "request_rate_per_second", "ready_replicas_count"
NAMES = ("a", "b", "c", "d")
TARGETS = tuple(
    Target(name=name, source="simulated", demand_sensor=RATE, sizing=ReplicaSizing()) for name in NAMES
)


class Meters:
    """One source for all targets: a little demand for twelve replicas each, as far as it is asked to show them."""

    def __init__(self, name="meters", names=NAMES):
        self.name = name
        self.sensors = dict.fromkeys(names, (RATE, REPLICAS))
        self.silent = set()
        self.stuck = set()
        self.idle = set()
        self.rounds = 0

    async def collect(self, now):
        self.rounds += 1
        return [
            sample
            for name in self.sensors
            if name not in self.silent
            for sample in (Sample(name, RATE, now, self._rate(name)), Sample(name, REPLICAS, now, 12.0))
        ]

    def _rate(self, name):
        return 0.0 if name in self.idle else 20.0 if name in self.stuck else 20.0 + self.rounds % 7

    async def history(self, series, start, end):
        return None


class Loop:
    """A cycle turned by hand."""

    def __init__(self, clock, *sources):
        self.sources = sources
        self.clock = clock
        self.cycle = Cycle(TARGETS, collector=self, forecaster=self, period_seconds=15)
        self.memory = Memory()

    async def collect(self, now):
        return Collected([sample for source in self.sources for sample in await source.collect(now)], {})

    async def forecasts(self, series, windows, end_at):
        none = {
            one.target: Forecast(target=one.target, sensor=RATE, issued_at=end_at, status="no_champion")
            for one in series
        }
        return Forecasts(none, is_new=False)

    async def turn(self, turns=1):
        for _ in range(turns):
            self.clock.advance(15)
            now = self.clock.now()
            await self.cycle.observe(now)
            turn = await self.cycle.decide(now, 1, self.memory)
            self.memory.keep(turn)
        return turn, {record.target: record for record in turn.records}

    def wants_less(self, record):
        return bool(record.plan and record.plan.direction == "saving") or (
            "the change proposed before still stands" in record.reason
        )


async def test_one_blind_target_of_many_holds_up_only_itself(clock):
    meters = Meters()
    meters.silent = {"a"}
    loop = Loop(clock, meters)
    turn, records = await loop.turn(2)
    assert not turn.telemetry.is_lost
    assert [loop.wants_less(records[name]) for name in NAMES] == [False, True, True, True]


async def test_a_third_of_the_targets_blind_holds_up_every_target_with_the_reason(clock):
    meters = Meters()
    loop = Loop(clock, meters)
    _, records = await loop.turn(2)
    assert all(map(loop.wants_less, records.values()))
    meters.silent = {"a", "b"}
    turn, records = await loop.turn(5)  # a minute until they are stale
    assert turn.telemetry.is_lost
    assert turn.telemetry.blind_targets == 2
    for name in ("c", "d"):
        assert records[name].kind == "noop"
        assert "nothing is taken away from any target: a third of the targets" in records[name].reason
        assert records[name].state["freeze_reason"]


async def test_a_source_that_is_gone_as_a_whole_holds_up_the_targets_of_the_others_too(clock):
    gone, rest = Meters("gone", ("a",)), Meters("rest", ("b", "c", "d"))
    gone.silent = {"a"}
    loop = Loop(clock, gone, rest)
    turn, records = await loop.turn(2)
    assert turn.telemetry.reason == "nothing can be seen through the source gone"
    assert not any(map(loop.wants_less, records.values()))


async def test_capacity_may_go_again_only_after_some_whole_turns(clock):
    meters = Meters()
    loop = Loop(clock, meters)
    meters.silent = set(NAMES)
    await loop.turn(2)
    meters.silent = set()
    states = [(await loop.turn())[0].telemetry.is_lost for _ in range(RECOVERY_TURNS)]
    assert states == [True] * (RECOVERY_TURNS - 1) + [False]
    _, records = await loop.turn()
    assert all(map(loop.wants_less, records.values()))


async def test_a_source_that_comes_and_goes_stays_lost(clock):
    meters = Meters()
    loop = Loop(clock, meters)
    for _ in range(4):
        meters.silent = set(NAMES)
        assert (await loop.turn(5))[0].telemetry.is_lost
        meters.silent = set()
        assert (await loop.turn(RECOVERY_TURNS - 1))[0].telemetry.is_lost


async def test_values_that_are_stamped_anew_and_never_change_are_lost_telemetry(clock):
    meters = Meters()
    meters.stuck = set(NAMES)
    loop = Loop(clock, meters)
    turn, _ = await loop.turn(2)
    assert not turn.telemetry.is_lost
    turn, records = await loop.turn(int(timedelta(minutes=30) / timedelta(seconds=15)))
    assert turn.telemetry.is_lost
    assert turn.frozen_sensors == len(NAMES)  # the replicas may stand still, the rates may not
    assert not any(map(loop.wants_less, records.values()))
    assert "request_rate_per_second is frozen" in records["a"].state["concerns"]


async def test_a_service_without_requests_is_idle_and_not_frozen(clock):
    meters = Meters()
    meters.idle = set(NAMES)
    loop = Loop(clock, meters)
    turn, records = await loop.turn(200)
    assert (turn.telemetry.is_lost, turn.frozen_sensors) == (False, 0)
    assert all(map(loop.wants_less, records.values()))


async def test_a_target_two_sources_read_has_the_sensors_of_both(clock):
    one, other = Meters("one"), Meters("other", ("a",))
    other.sensors = {"a": (RATE, "load_1m")}
    loop = Loop(clock, one, other)
    assert set(loop.cycle.readings("a", clock.now())) == {RATE, REPLICAS, "load_1m"}
