"""What a source of telemetry is, and how all of them are read in one bounded round.

A source may be slow, broken or stuck. None of that may reach another source or hold up a turn: each is read on its own,
for a bounded time, and one that is still busy with the round before is left alone until it comes back.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from maximus_assets.contracts.telemetry import Sample, Series
from serving.observability import MONITOR_COLLECTION_SECONDS, MONITOR_SAMPLES_TOTAL


class History(NamedTuple):
    """The past of one series as a source remembers it.

    Attributes:
        seconds: Unix time of each observation, shape (n,), ascending.
        values: Its value in the sensor's unit, shape (n,), finite.
    """

    seconds: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


class Source(Protocol):
    """Where the telemetry of some targets comes from."""

    @property
    def name(self) -> str:
        """Unique among the sources of one process."""
        ...

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Target -> the sensors this source is able to read of it. Never a sensor outside the catalogue."""
        ...

    async def collect(self, now: datetime) -> list[Sample]:
        """Read every sensor once.

        A sensor that cannot be read is left out; only a source that is gone as a whole raises.

        Args:
            now: The turn's instant; a value read now carries it, an older value carries its own.
        """
        ...

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:
        """What the source remembers of `start <= observed_at < end`, or None if it keeps no past."""
        ...


@runtime_checkable
class Closes(Protocol):
    """A source that holds something open."""

    async def aclose(self) -> None:
        """Close it."""
        ...


def owners(sources: Sequence[Source]) -> dict[tuple[str, str], str]:
    """(target, sensor) -> the source that tells it: of several that can read it the first.

    Args:
        sources: In the order of precedence.
    """
    found: dict[tuple[str, str], str] = {}
    for source in sources:
        for target, sensors in source.sensors.items():
            for sensor in sensors:
                found.setdefault((target, sensor), source.name)
    return found


@dataclass(frozen=True)
class Collected:
    """One round over all sources.

    Attributes:
        samples: What was read.
        failures: Source -> why it gave nothing, in words.
    """

    samples: list[Sample]
    failures: dict[str, str]


@dataclass
class Collector:
    """Reads all sources side by side.

    Attributes:
        sources: The sources; their names are unique.
        timeout_seconds: How long one source may take, > 0.
        failures: How often each (source, kind of failure) happened since the start.
    """

    sources: Sequence[Source]
    timeout_seconds: float = 0.9
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    _pending: dict[str, "asyncio.Task[list[Sample]]"] = field(default_factory=dict)
    _shared: dict[str, frozenset[tuple[str, str]]] | None = None

    async def collect(self, now: datetime) -> Collected:
        """Read every source that is not still busy; never raises for a source's sake.

        Args:
            now: The turn's instant.
        """
        rounds = await asyncio.gather(*(self._read(source, now) for source in self.sources))
        samples: list[Sample] = []
        failures: dict[str, str] = {}
        for source, outcome in zip(self.sources, rounds, strict=True):
            if isinstance(outcome, str):
                failures[source.name] = outcome
            else:
                samples.extend(self._own(source, outcome))
        return Collected(samples=samples, failures=failures)

    def _own(self, source: Source, samples: list[Sample]) -> list[Sample]:
        """The samples of the series a source owns; those an earlier source owns are that one's to tell.

        Two sources of one sensor differ by what they count and by when; mixed, they would be a series that never was, and one
        that hangs would be hidden by the other.
        """
        if self._shared is None:
            owner = owners(self.sources)
            self._shared = {
                one.name: frozenset(
                    (target, sensor)
                    for target, sensors in one.sensors.items()
                    for sensor in sensors
                    if owner[target, sensor] != one.name
                )
                for one in self.sources
            }
        others = self._shared[source.name]
        return [it for it in samples if (it.target, it.sensor) not in others] if others else samples

    async def _read(self, source: Source, now: datetime) -> list[Sample] | str:
        """The samples of one source, or why there are none."""
        stuck = self._pending.get(source.name)
        if stuck is not None:
            if not stuck.done():
                return self._failed(source, "busy", "still busy with an earlier round")
            self._settle(source, stuck)
        task = asyncio.create_task(source.collect(now), name=f"collect {source.name}")
        try:
            # Shielded: a thread cannot be cancelled, so a late answer is awaited by the rounds that follow.
            with MONITOR_COLLECTION_SECONDS.labels(source.name).time():
                samples = await asyncio.wait_for(asyncio.shield(task), self.timeout_seconds)
        except TimeoutError:
            if task.done():
                return self._failed(source, "timeout", "timed out by itself")
            self._pending[source.name] = task
            return self._failed(source, "timeout", f"no answer within {self.timeout_seconds:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a source raises is that source's failure alone
            return self._failed(source, type(error).__name__, f"{type(error).__name__}: {error}")
        MONITOR_SAMPLES_TOTAL.labels(source.name).inc(len(samples))
        return samples

    def _settle(self, source: Source, task: "asyncio.Task[list[Sample]]") -> None:
        """Forget an earlier round that has ended by now; what it read is too old to use."""
        del self._pending[source.name]
        if not task.cancelled() and task.exception() is not None:
            self.failures[source.name, type(task.exception()).__name__] += 1

    def _failed(self, source: Source, kind: str, reason: str) -> str:
        self.failures[source.name, kind] += 1
        return reason

    async def aclose(self) -> None:
        """Give up on rounds that never ended, and close the sources that hold something open."""
        for task in self._pending.values():
            task.cancel()
        await asyncio.gather(*self._pending.values(), return_exceptions=True)
        self._pending.clear()
        for source in self.sources:
            if isinstance(source, Closes):
                await source.aclose()
