"""Filling the windows after a start, so that a restart makes the loop neither blind nor rash.

Two memories are asked: the knowledge base, which has what was really seen, and the source, if it keeps a past. Of a bin
both know, the one with more samples is believed. Whatever cannot be asked now leaves a gap, and a gap is said. The last
hours a source remembers are handed back, to be recorded by whoever leads: so people see more than the present minute.
What was seen last is remembered value by value for as long as it takes to tell a frozen one: a restart must not give a
source that has stood still for an hour another half hour's trust.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

import numpy as np
import structlog

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import MaximusError
from maximus_assets.contracts.situation import TelemetryState
from maximus_assets.contracts.telemetry import GRID_SECONDS, Sample, Series
from serving.knowledge.heartbeat import Heartbeat
from serving.knowledge.queries import Bin
from serving.monitor.readings import LatestValues
from serving.monitor.source import History, Source
from serving.monitor.window import RECENT_SECONDS, WINDOW_BINS, GridWindows

_log = structlog.get_logger("maximus.loop")

_BATCH: Final = 50
"""Series asked of the knowledge base at once."""

REMEMBERED_SECONDS: Final = 8 * 3600
"""How much of what a source remembers is worth recording: what the page shows."""

_PATIENCE_SECONDS: Final = 10.0
"""How long one source may think about one series: less than the watchdog waits."""


class Remembered(NamedTuple):
    """What a warm-up came to.

    Attributes:
        samples: The last `REMEMBERED_SECONDS` of what the sources remember; some of it may be recorded already.
        is_whole: Whether the knowledge base told what it knows; if not, ask again later.
        telemetry: How far the telemetry as a whole could be believed in the last turn before; None where nobody said.
    """

    samples: Sequence[Sample]
    is_whole: bool
    telemetry: TelemetryState | None = None


class Past(Protocol):
    """Port: what the knowledge base remembers."""

    async def recent_bins(
        self, series: Sequence[Series], *, since: datetime, until: datetime, step_seconds: int = GRID_SECONDS
    ) -> dict[Series, list[Bin]]:
        """Grid bins of many series, oldest first."""
        ...


def last_telemetry(beats: Sequence[Heartbeat]) -> TelemetryState | None:
    """How far the telemetry as a whole could be believed when a loop last said so.

    A restart in the middle of a loss must not end it: what came back a turn ago has still to stay.

    Args:
        beats: Of every loop that ever ran, the most recent first.
    """
    said = next((beat.detail["telemetry"] for beat in beats if beat.detail.get("telemetry")), None)
    if not said or not said.get("is_lost"):
        return None
    return TelemetryState(
        is_lost=True,
        reason=str(said.get("reason", "")),
        blind_targets=int(said.get("blind_targets", 0)),
        good_turns=int(said.get("good_turns", 0)),
    )


async def warm_up(
    windows: GridWindows,
    latest: LatestValues | None = None,
    *,
    past: Past,
    sources: Sequence[Source],
    now: datetime,
    progressed: Callable[[], None],
) -> Remembered:
    """Fill windows with what is remembered.

    Args:
        windows: To be filled; what they hold is kept.
        latest: To be told what was seen last, so that it knows since when a value stands still; nobody unless given.
        past: The knowledge base.
        sources: Asked for the series of their own targets.
        now: The present instant.
        progressed: Called after each step, to show that something moves.
    """
    failures: list[str] = []
    remembered: list[Sample] = []
    since = floor_to_step(now - timedelta(seconds=WINDOW_BINS * GRID_SECONDS), GRID_SECONDS)
    owners = {
        (target, sensor): source
        for source in reversed(sources)
        for target, sensors in source.sensors.items()
        for sensor in sensors
    }
    for one in windows.series:
        owner = owners.get((one.target, one.sensor))
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                history = None if owner is None else await owner.history(one, since, now)
        except Exception as error:  # noqa: BLE001 - a source's past is a bonus, whatever keeps it from us
            failures.append(f"the past of {one} is out of reach: {type(error).__name__}")
            history = None
        if history is not None:
            windows.load(one, history, now)
            remembered += _samples(one, history, now - timedelta(seconds=REMEMBERED_SECONDS))
        progressed()
    is_whole = True
    for start in range(0, len(windows.series), _BATCH):
        batch = windows.series[start : start + _BATCH]
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await _load_known(windows, latest, past, batch, since=since, now=now)
        except (MaximusError, TimeoutError) as error:
            failures.append(
                f"the knowledge base could not be asked for the past: {str(error) or 'no answer'}"
            )
            is_whole = False
            break
        progressed()
    _log.info("windows_filled", series=len(windows.series), failures=failures)
    return Remembered(remembered, is_whole)


def _samples(one: Series, history: History, since: datetime) -> list[Sample]:
    """A source's memory of a series from an instant on, as samples."""
    first = int(np.searchsorted(history.seconds, since.timestamp()))
    return [
        Sample(one.target, one.sensor, datetime.fromtimestamp(seconds, UTC), value)
        for seconds, value in zip(
            history.seconds[first:].tolist(), history.values[first:].tolist(), strict=True
        )
    ]


async def _load_known(
    windows: GridWindows,
    latest: LatestValues | None,
    past: Past,
    batch: Sequence[Series],
    *,
    since: datetime,
    now: datetime,
) -> None:
    for one, bins in (await past.recent_bins(batch, since=since, until=now)).items():
        if bins:
            windows.load_bins(
                one,
                np.array([int(b.at.timestamp()) for b in bins], dtype=np.int64),
                np.array([b.mean for b in bins], dtype=np.float64),
                np.array([b.samples for b in bins], dtype=np.int64),
                now,
            )
    # The last minutes second by second, for the largest recent demand and for knowing which sample came last.
    freezing = max((CATALOGUE[one.sensor].frozen_after_seconds or 0.0 for one in batch), default=0.0)
    span = max(RECENT_SECONDS, freezing + 2 * CATALOGUE[batch[0].sensor].staleness_limit_seconds)
    recent = await past.recent_bins(batch, since=now - timedelta(seconds=span), until=now, step_seconds=1)
    since_recent = now - timedelta(seconds=RECENT_SECONDS)
    for one, bins in recent.items():
        lately = [b for b in bins if b.at >= since_recent]
        seconds = np.array([b.at.timestamp() for b in lately], dtype=np.float64)
        windows.load_recent(one, History(seconds, np.array([b.mean for b in lately], dtype=np.float64)))
        if latest is not None:
            latest.update((Sample(one.target, one.sensor, b.at, b.mean) for b in bins), now)
