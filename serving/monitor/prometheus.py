"""Targets watched through a Prometheus server, as a source: one query a sensor, however many targets.

A value carries the instant of its newest raw sample, never that of the query: PromQL goes on answering for minutes after a
target fell silent, and a value dated by the query would look fresh all that time. A target whose series has vanished is
absent at once.

It is hard because the server may be down, slow or lying, and a turn is short. Queries run on threads of this source alone,
within less time than the collector grants, so a server that hangs costs its own targets their freshness and nothing else.
A query that fails costs its sensor; only when all of them fail is the source itself said to have failed.
"""

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final

import structlog

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.errors import MaximusError
from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.contracts.telemetry import Sample, Series
from maximus_assets.prometheus.client import Limits, PrometheusClient
from maximus_assets.prometheus.feeds import Feed
from maximus_assets.prometheus.readings import Present, read_past, read_present
from serving.monitor.source import History

_log = structlog.get_logger("maximus.monitor")

LIVE_LIMITS: Final = Limits(timeout_seconds=0.7, max_bytes=8 * 2**20, max_points=50_000, tries=1)
"""What a query of a turn may cost; the next turn is its next try."""

PAST_LIMITS: Final = Limits(timeout_seconds=8.0, max_points=200_000, tries=1)
"""What a query of a warm-up may cost."""

HISTORY_STEP_SECONDS: Final = 60
"""Spacing of a remembered past: five points in a bin of the grid, so that what was really collected counts for more."""

_THREADS: Final = 4
_WORTH_ASKING_SECONDS: Final = 0.1
"""With less time left than this a query waits for the next turn."""


class PrometheusSource:
    """Reads the targets of one section.

    Args:
        section: The server.
        feeds: What is asked of it; not empty.
        clock: Tells how long a round has taken.
    """

    def __init__(self, section: PrometheusSection, feeds: Sequence[Feed], *, clock: Clock) -> None:
        self.name = f"prometheus:{section.name}"
        self._feeds = tuple(feeds)
        self._clock = clock
        self._live = PrometheusClient(section, LIVE_LIMITS)
        self._past = PrometheusClient(section, PAST_LIMITS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=self.name)
        self._told: dict[str, str] = {}
        self._answered: dict[str, float] = {}

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Every sensor that is asked for, by target."""
        found: dict[str, tuple[str, ...]] = {}
        for feed in self._feeds:
            for target in feed.targets:
                found[target] = (*found.get(target, ()), feed.sensor.sensor)
        return found

    async def collect(self, now: datetime) -> list[Sample]:
        """Ask every feed once, side by side.

        Raises:
            MaximusError: None of them was answered; the first one's error.
        """
        loop = asyncio.get_running_loop()
        began = self._clock.monotonic()
        feeds = sorted(self._feeds, key=self._urgency)
        outcomes = await asyncio.gather(
            *(loop.run_in_executor(self._threads, self._ask, feed, now, began) for feed in feeds)
        )
        samples: list[Sample] = []
        errors = [outcome for outcome in outcomes if isinstance(outcome, MaximusError)]
        for feed, outcome in zip(feeds, outcomes, strict=True):
            self._tell(feed.sensor.sensor, outcome)
            if isinstance(outcome, Present):
                self._answered[feed.sensor.sensor] = began
                samples += [
                    Sample(target, feed.sensor.sensor, datetime.fromtimestamp(at, UTC), value)
                    for target, (at, value) in outcome.values.items()
                ]
        if errors and not any(isinstance(outcome, Present) for outcome in outcomes):
            raise errors[0]
        return samples

    def _urgency(self, feed: Feed) -> tuple[bool, float]:
        """Sensors that must fail safe come first, then those that were answered longest ago.

        A turn may have no time for all of a large fleet's; so each has its turn before its value is stale.
        """
        sensor = feed.sensor.sensor
        return CATALOGUE[sensor].missing.kind != "fail_safe", self._answered.get(sensor, -math.inf)

    def _ask(self, feed: Feed, now: datetime, began: float) -> Present | MaximusError | None:
        """One feed's answer or its error; None if the round's time was over before its turn came."""
        left = began + LIVE_LIMITS.timeout_seconds - self._clock.monotonic()
        if left < _WORTH_ASKING_SECONDS:
            return None
        try:
            return read_present(self._live, feed, now.timestamp(), timeout_seconds=left)
        except MaximusError as error:
            return error

    def _tell(self, sensor: str, outcome: Present | MaximusError | None) -> None:
        """Log what is wrong with a feed when its kind changes, not each turn."""
        if outcome is None:
            return
        if isinstance(outcome, Present):
            reason = kind = "; ".join((*sorted(outcome.ambiguous.values()), *outcome.warnings))
        else:
            reason, kind = str(outcome), type(outcome).__name__
        if kind == self._told.get(sensor, ""):
            return
        self._told[sensor] = kind
        if kind:
            _log.warning("prometheus_query_failed", source=self.name, sensor=sensor, reason=reason)
        else:
            _log.info("prometheus_query_recovered", source=self.name, sensor=sensor)

    async def aclose(self) -> None:
        """Give up its connections; a query that is under way ends by its timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._live.close()
        self._past.close()

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:
        """The server's past of one series, a value a minute; None where it has none.

        Raises:
            MaximusError: The server cannot be asked, or its series of the target are ambiguous.
        """
        for feed in self._feeds:
            if feed.sensor.sensor == series.sensor and series.target in feed.targets:
                one = feed.only((series.target,))
                past = await asyncio.get_running_loop().run_in_executor(
                    self._threads,
                    read_past,
                    self._past,
                    one,
                    start.timestamp(),
                    end.timestamp(),
                    HISTORY_STEP_SECONDS,
                )
                if series.target in past.ambiguous:
                    raise past.ambiguous[series.target]
                found = past.values.get(series.target)
                return None if found is None else History(found.seconds, found.values)
        return None
