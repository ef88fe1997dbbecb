"""Challengers have no say: whatever they do, every decision is the one that would have been taken without them."""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.prediction import FORECAST_OUTPUT
from maximus_assets.contracts.target import ReplicaSizing, Target
from serving.loop.cycle import Cycle, Memory
from serving.monitor.simulated import SimulatedSource
from serving.monitor.source import Collector
from serving.predictors.inference import Forecaster
from serving.predictors.proving import Loaded
from serving.predictors.shadow import Shadow

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KINDS = ("good", "high", "raises", "nonsense", "nan", "upside_down", "mutates", "other_series")


def targets(seed):
    return tuple(
        Target(
            name=name,
            source="simulated",
            demand_sensor="request_rate_per_second",
            sizing=ReplicaSizing(),
            seed=seed + index,
        )
        for index, name in enumerate(("shop", "till"))
    )


def persistence(frame, steps, *, scale=1.0):
    """The last value, again and again, plus and minus a tenth."""
    rows = []
    for (target, sensor), part in frame.groupby(["target", "sensor"], sort=False):
        seen = part["value"].dropna()
        last = float(seen.iloc[-1]) * scale if len(seen) else 0.0
        rows += [
            (target, sensor, step, last, last - abs(last) / 10, last + abs(last) / 10, "ok", "persistence")
            for step in range(1, steps + 1)
        ]
    return pd.DataFrame(rows, columns=list(FORECAST_OUTPUT))


def challenger(kind, version):
    def predict(frame, steps):
        answer = persistence(frame, steps, scale=50.0 if kind == "high" else 0.98)
        match kind:
            case "raises":
                raise RuntimeError("no")
            case "nonsense":
                return pd.DataFrame({"a": [1]})
            case "nan":
                answer["mean"] = np.nan
            case "upside_down":
                answer["lower"], answer["upper"] = answer["upper"] + 1, answer["lower"] - 1
            case "mutates":
                frame["value"] = 0.0
            case "other_series":
                answer["target"] = "elsewhere"
        return answer

    return Loaded(version, predict, 0.0)


async def decisions(seed, kinds, turns=9):
    watched = targets(seed)
    ids = (UUID(int=number) for number in itertools.count(1))
    shadow = Shadow()
    shadow.follow(
        {f"challenger-{kind}": challenger(kind, str(number)) for number, kind in enumerate(kinds, 2)}
    )
    champion = Loaded("1", persistence, 0.0)
    forecaster = Forecaster(champion=lambda: champion, patience_seconds=30.0, answered=shadow.begin)
    cycle = Cycle(
        watched,
        collector=Collector((SimulatedSource(watched),)),
        forecaster=forecaster,
        period_seconds=15,
        new_id=lambda: next(ids),
    )
    memory, taken, judged = Memory(), [], []
    for index in range(turns):
        now = START + timedelta(seconds=150 * index)
        await cycle.observe(now)
        turn = await cycle.decide(now, 1, memory)
        memory.keep(turn)
        taken.append((turn.records, turn.forecasts))
        judged += await finished(shadow)
    return taken, judged, shadow


async def finished(shadow):
    """Everything of this bin: what the thread of the round has still to say, too."""
    for _ in range(2000):
        running = shadow._round
        if running is None or running.is_over:
            break
        await asyncio.sleep(0.001)
    return list(shadow.take())


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000), kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=3, unique=True)
)
def test_decisions_with_and_without_challengers_are_identical(seed, kinds):
    alone, without, _ = asyncio.run(decisions(seed, ()))
    accompanied, judged, shadow = asyncio.run(decisions(seed, kinds))

    assert accompanied == alone
    assert {one.role for one in without} == {"champion"}
    sound = {kind for kind in kinds if kind in {"good", "high", "mutates", "other_series"}}
    assert {one.role for one in judged} == {"champion"} | {f"challenger-{kind}" for kind in sound}
    assert len(shadow.dropped) == len(kinds) - len(sound)


def test_a_challenger_that_hangs_is_dropped_and_no_turn_waits_for_it():
    import threading

    release = threading.Event()

    def hang(frame, steps):
        release.wait(60)
        return persistence(frame, steps)

    async def run():
        shadow = Shadow(budget_seconds=0.0)
        shadow.follow({"challenger-slow": Loaded("9", hang, 0.0)})
        champion = Loaded("1", persistence, 0.0)
        forecaster = Forecaster(champion=lambda: champion, patience_seconds=30.0, answered=shadow.begin)
        watched = targets(3)
        cycle = Cycle(
            watched,
            collector=Collector((SimulatedSource(watched),)),
            forecaster=forecaster,
            period_seconds=15,
        )
        memory = Memory()
        began = time.monotonic()
        for index in range(6):
            now = START + timedelta(seconds=300 * index)
            await cycle.observe(now)
            memory.keep(await cycle.decide(now, 1, memory))
            shadow.take()
        return shadow, time.monotonic() - began

    shadow, seconds = asyncio.run(run())
    release.set()
    assert "it took longer than 0 s" in shadow.dropped["9"]
    assert shadow.challengers == {}
    assert "dropped: it took longer" in shadow.status()["version 9"]
    assert seconds < 10


@pytest.mark.parametrize("count", [1, 3, 9])
def test_no_more_than_three_are_in_shadow(count):
    shadow = Shadow()
    shadow.follow({f"challenger-{index}": challenger("good", str(index)) for index in range(count)})
    assert len(shadow.challengers) == min(count, 3)
