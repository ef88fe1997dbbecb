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
                samples.extend(outcome)
        return Collected(samples=samples, failures=failures)

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
