"""Filling the windows: what cannot be asked is left out and said, and nothing holds it up."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from maximus_assets.contracts.telemetry import Sample, Series
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.queries import Bin
from serving.loop import warmup
from serving.loop.warmup import REMEMBERED_SECONDS, warm_up
from serving.monitor.readings import LatestValues
from serving.monitor.source import History
from serving.monitor.window import GridWindows

pytestmark = pytest.mark.anyio
SERIES = Series(target="shop", sensor="request_rate_per_second")


class Past:
    def __init__(self, error=None):
        self.error = error

    async def recent_bins(self, series, *, since, until, step_seconds=300):
        if self.error is not None:
            raise self.error
        return {one: [] for one in series}


class Source:
    name = "shop"

    def __init__(self, *, is_stuck=False):
        self.sensors = {"shop": ("request_rate_per_second",)}
        self.is_stuck = is_stuck

    async def history(self, series, start, end):
        if self.is_stuck:
            await asyncio.Event().wait()
        seconds = np.arange(start.timestamp(), end.timestamp(), 15.0)
        return History(seconds, np.ones(len(seconds)))


def fill(clock, *, past=None, source=None):
    windows = GridWindows([SERIES])
    return windows, warm_up(
        windows,
        past=past or Past(),
        sources=[source or Source()],
        now=clock.now(),
        progressed=lambda: None,
    )


async def test_the_last_hours_a_source_remembers_are_handed_back(clock):
    windows, filling = fill(clock)
    found = await filling
    assert found.is_whole
    assert len(found.samples) == REMEMBERED_SECONDS / 15
    assert found.samples[0].observed_at == clock.now() - timedelta(seconds=REMEMBERED_SECONDS)
    assert not np.isnan(windows.values(clock.now())).any()


async def test_a_knowledge_base_that_is_away_is_to_be_asked_again(clock):
    _, filling = fill(clock, past=Past(KnowledgeUnavailableError("away")))
    found = await filling
    assert not found.is_whole
    assert found.samples, "what the source remembers is there all the same"


async def test_a_source_that_is_stuck_in_its_past_does_not_keep_the_loop_from_starting(clock, monkeypatch):
    monkeypatch.setattr(warmup, "_PATIENCE_SECONDS", 0.01)
    windows, filling = fill(clock, source=Source(is_stuck=True))
    found = await asyncio.wait_for(filling, 5)
    assert (found.samples, found.is_whole) == ([], True)
    assert np.isnan(windows.values(clock.now())).all()


class StoodStill(Past):
    """A series that showed one value every fifteen seconds for forty minutes."""

    async def recent_bins(self, series, *, since, until, step_seconds=300):
        seconds = range(0, int((until - since).total_seconds()), 15)
        bins = [Bin(at=since + timedelta(seconds=s), mean=20.0, samples=1) for s in seconds]
        return dict.fromkeys(series, bins if step_seconds == 1 else [])


async def test_a_restart_does_not_forget_since_when_a_value_has_stood_still(clock):
    latest = LatestValues()
    await warm_up(
        GridWindows([SERIES]),
        latest,
        past=StoodStill(),
        sources=[],
        now=clock.now(),
        progressed=lambda: None,
    )
    latest.update([Sample("shop", SERIES.sensor, clock.now(), 20.0)], clock.now())
    reading = latest.readings("shop", [SERIES.sensor], clock.now())[SERIES.sensor]
    assert (reading.is_frozen, reading.value) == (True, None)
