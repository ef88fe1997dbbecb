"""Where a turn's results go: the knowledge base, or the disk while it is away.

What makes it hard is the moment in between: an answer that never came does not say whether the write did. So everything
is written so that twice is once, a decision counts as taken only when one of the two has it for good, and what waits on
disk goes in first when the server is back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Final, Protocol

import structlog

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.errors import MaximusError
from maximus_assets.contracts.prediction import Forecast, JudgedForecasts
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.store import Heartbeat
from serving.observability import KNOWLEDGE_UNAVAILABLE_TOTAL, KNOWLEDGE_WRITE_SECONDS

_log = structlog.get_logger("maximus.loop")

_PATIENCE_SECONDS: Final = 4.0
"""How long one write may take: below the renew deadline of the lease and a third of a period, so that a server that
hangs costs a turn, not the loop."""

_HAND_ON_PATIENCE_SECONDS: Final = 8.0
"""How long a turn may spend on what waits on disk; the rest goes with the turns that follow."""

_FORECAST_BATCHES: Final = 12
_PARTITIONS_AHEAD: Final = timedelta(days=93)


class Store(Protocol):
    """Port: the one writer of the knowledge base."""

    async def record_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples."""
        ...

    async def record_forecasts(self, forecasts: Sequence[Forecast]) -> None:
        """Keep forecasts."""
        ...

    async def record_judged(self, judged: Sequence[JudgedForecasts]) -> dict[str, str]:
        """Keep what versions expected, to be judged by; version -> why something of it was refused."""
        ...

    async def record_decisions(self, records: Sequence[DecisionRecord], *, epoch: int) -> None:
        """Keep decisions taken under `epoch`, all or none."""
        ...

    async def restore_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Keep decisions that waited on disk."""
        ...

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Keep a heartbeat."""
        ...

    async def ensure_partitions(self, until: date) -> int:
        """Make partitions ahead."""
        ...

    async def drop_expired(self, keep_days: int = 90) -> list[str]:
        """Drop months that are wholly expired."""
        ...


class WaitingRoom(Protocol):
    """Port: keeps on disk what the knowledge base cannot take now."""

    @property
    def depth(self) -> int:
        """How many entries wait."""
        ...

    def keep_decisions(self, records: Sequence[DecisionRecord]) -> None:
        """Keep decisions; they are on disk when this returns."""
        ...

    def keep_samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples; they are on disk when this returns."""
        ...

    async def hand_on(self, sink: Store) -> int:
        """Give everything to the store and forget it."""
        ...


class Recorder:
    """Records what the loop saw, expects and decided.

    Args:
        store: The knowledge base.
        spool: The disk.
        patience_seconds: How long one write may take.
    """

    def __init__(
        self, store: Store, spool: WaitingRoom, *, patience_seconds: float = _PATIENCE_SECONDS
    ) -> None:
        self._store = store
        self._spool = spool
        self._patience = patience_seconds
        self._forecasts: deque[Sequence[Forecast]] = deque(maxlen=_FORECAST_BATCHES)
        self._newest: dict[tuple[str, str], datetime] = {}
        self._maintained_on: date | None = None
        self.is_away = False
        """Whether the knowledge base could not be written when it was last tried."""

    @property
    def depth(self) -> int:
        """How many entries wait on disk."""
        return self._spool.depth

    async def decisions(self, records: Sequence[DecisionRecord], *, epoch: int) -> None:
        """Keep decisions for good, in the knowledge base or on disk.

        Args:
            records: Taken under `epoch`.
            epoch: Of the lease.

        Raises:
            StaleEpochError: Somebody else leads by now; the decisions are void and were kept nowhere.
            JournalWriteError: The knowledge base is away and the disk takes nothing; they were kept nowhere.
        """
        try:
            await self.hand_on()
            async with self._writing("decisions"):
                await self._store.record_decisions(records, epoch=epoch)
        except KnowledgeUnavailableError as error:
            self._spool.keep_decisions(records)
            _log.warning("decisions_spooled", count=len(records), reason=str(error))

    async def samples(self, samples: Sequence[Sample]) -> None:
        """Keep samples, in the knowledge base or on disk.

        A source that is read more often than it changes gives the same sample again; that one is not written again.

        Raises:
            JournalWriteError: Neither takes them.
        """
        samples = [
            sample
            for sample in samples
            if self._newest.get((sample.target, sample.sensor)) != sample.observed_at
        ]
        await self._keep_samples(samples)
        for sample in samples:
            series, at = (sample.target, sample.sensor), sample.observed_at
            self._newest[series] = max(at, self._newest.get(series, at))

    async def _keep_samples(self, samples: Sequence[Sample]) -> None:
        if not samples:
            return
        if self.is_away:  # found out in this very turn; asking again would only wait again
            self._spool.keep_samples(samples)
            return
        try:
            async with self._writing("samples"):
                await self._store.record_samples(samples)
        except KnowledgeUnavailableError as error:
            self._spool.keep_samples(samples)
            _log.warning("samples_spooled", count=len(samples), reason=str(error))

    async def forecasts(self, forecasts: Sequence[Forecast]) -> None:
        """Keep forecasts; while the knowledge base is away the last hour's wait in memory.

        Those it refuses for what they are raise once and are forgotten: they must not stand before all that follow.
        """
        if forecasts:
            self._forecasts.append(forecasts)
        try:
            while self._forecasts and not self.is_away:
                async with self._writing("forecasts"):
                    await self._store.record_forecasts(self._forecasts[0])
                self._forecasts.popleft()
        except KnowledgeUnavailableError as error:
            _log.warning("forecasts_waiting", batches=len(self._forecasts), reason=str(error))
        except Exception:
            self._forecasts.popleft()
            raise

    async def judged(self, judged: Sequence[JudgedForecasts]) -> None:
        """Keep what versions expected, to be judged by; while the knowledge base is away it is lost, as evidence may be."""
        if not judged or self.is_away:
            return
        try:
            async with self._writing("judged"):
                refused = await self._store.record_judged(judged)
            for version, reason in refused.items():
                _log.warning("judged_forecasts_refused", version=version, reason=reason)
        except Exception as error:  # noqa: BLE001 - versions in shadow must not cost the loop a turn, whatever they said
            _log.warning("judged_forecasts_lost", count=len(judged), reason=str(error))

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Keep a heartbeat; one that cannot be kept is no loss, its absence says the same."""
        try:
            async with self._writing("heartbeat"):
                await self._store.beat(heartbeat)
        except KnowledgeUnavailableError as error:
            _log.warning("heartbeat_missed", reason=str(error))

    async def hand_on(self) -> None:
        """Give what waits on disk to the knowledge base.

        Raises:
            KnowledgeUnavailableError: It is still away.
        """
        if not self._spool.depth:
            return
        async with self._writing("spool", patience_seconds=_HAND_ON_PATIENCE_SECONDS):
            went = await self._spool.hand_on(self._store)
        _log.info("spool_handed_on", entries=went)

    async def maintain(self, now: datetime) -> None:
        """Once a day: make partitions ahead and drop expired ones.

        Args:
            now: The present instant.
        """
        today = now.date()
        if self._maintained_on == today or self.is_away:
            return
        try:
            async with self._writing("partitions"):
                made = await self._store.ensure_partitions(today + _PARTITIONS_AHEAD)
                dropped = await self._store.drop_expired()
        except MaximusError as error:
            _log.warning("partitions_not_kept", reason=str(error))
            return
        self._maintained_on = today
        _log.info("partitions_kept", made=made, dropped=dropped)

    @asynccontextmanager
    async def _writing(self, what: str, *, patience_seconds: float | None = None) -> AsyncIterator[None]:
        """Bound a write in time, and note whether the knowledge base is there.

        Args:
            what: For the metrics.
            patience_seconds: Other than the usual.
        """
        patience = self._patience if patience_seconds is None else patience_seconds
        try:
            with KNOWLEDGE_WRITE_SECONDS.labels(what).time():
                async with asyncio.timeout(patience):
                    yield
        except TimeoutError as error:
            self._unavailable(what)
            msg = f"the knowledge base did not take {what} within {patience:g} s"
            raise KnowledgeUnavailableError(msg) from error
        except KnowledgeUnavailableError:
            self._unavailable(what)
            raise
        self.is_away = False

    def _unavailable(self, what: str) -> None:
        self.is_away = True
        KNOWLEDGE_UNAVAILABLE_TOTAL.labels(what).inc()
