"""Prometheus text: this gateway's counts, and the loop's state as the knowledge base has it.

It is hard because several workers share one address and a scrape reaches any of them: counts are kept in files all
workers write (prometheus_client's multiprocess mode, which the server switches on), and are summed at the scrape. The
loop is another process; its state is read from its heartbeat row at the scrape, so it is right on whichever worker, and
a loop that died is seen to have stopped instead of leaving its last figures behind.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.routing import BaseRoute
from starlette.types import Scope

from serving.gateway.liveness import STALE_AFTER_PERIODS, leading
from serving.knowledge.heartbeat import Heartbeat
from serving.observability import GATEWAY_REQUEST_SECONDS, GATEWAY_REQUESTS, Instrument, instruments

MEDIA_TYPE: Final = CONTENT_TYPE_LATEST
OWN_PREFIXES: Final = ("maximus_gateway_", "process_", "python_")
"""What this process tells of itself. Instruments of other rooms exist here too, for they are all named in one module,
but nothing counts on them in this process: shown, their zeros would contradict the loop's own figures."""

STATES: Final = ("starting", "observing", "leading", "standby", "suspended")


def observe(scope: Scope, status: int, seconds: float) -> None:
    """Count and time one answer, by route; the path itself is no label, for anybody can make up paths."""
    route = route_label(scope)
    GATEWAY_REQUESTS.labels(route=route, status=str(status)).inc()
    GATEWAY_REQUEST_SECONDS.labels(route=route).observe(seconds)


def route_label(scope: Scope) -> str:
    """The template of the route that answered, `/static`, or `unmatched`."""
    route = scope.get("route")
    path = getattr(route, "path", None) if isinstance(route, BaseRoute) else None
    if path is None and str(scope.get("path", "")).startswith("/static/"):
        return "/static"
    return path or "unmatched"


class LoopCollector(Collector):
    """The loops' heartbeat rows as metrics.

    Args:
        beats: The rows; None when the database is away.
        now: The time of the scrape.
        period_seconds: How often a loop turns.
    """

    def __init__(self, beats: Sequence[Heartbeat] | None, now: datetime, period_seconds: float) -> None:
        self._beats = beats
        self._now = now
        self._period_seconds = period_seconds

    def collect(self) -> Iterator[Metric]:
        """Whether the database answers; if so, what the loops say."""
        yield GaugeMetricFamily(
            "maximus_knowledge_up",
            "Whether the knowledge base answers.",
            value=float(self._beats is not None),
        )
        if self._beats is not None:
            yield from self._loops(self._beats)

    def _loops(self, beats: Sequence[Heartbeat]) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "maximus_loop_up", "Whether the loop was heard of within three periods.", labels=["loop"]
        )
        age = GaugeMetricFamily(
            "maximus_loop_heartbeat_age_seconds", "Time since the loop was heard of.", labels=["loop"]
        )
        turn_age = GaugeMetricFamily(
            "maximus_loop_turn_age_seconds", "Time since the loop's last turn ended.", labels=["loop"]
        )
        seconds = GaugeMetricFamily(
            "maximus_loop_last_turn_seconds", "How long the loop's last turn took.", labels=["loop"]
        )
        turns = CounterMetricFamily(
            "maximus_loop_turns_total", "Turns the loop has ended since it started.", labels=["loop"]
        )
        epoch = GaugeMetricFamily("maximus_loop_epoch", "Fencing epoch the loop last held.", labels=["loop"])
        state = GaugeMetricFamily(
            "maximus_loop_state", "1 for the state the loop is in.", labels=["loop", "state"]
        )
        for beat in beats:
            name = [beat.name]
            beat_age = (self._now - beat.beat_at).total_seconds()
            up.add_metric(name, float(beat_age <= STALE_AFTER_PERIODS * self._period_seconds))
            age.add_metric(name, max(0.0, beat_age))
            turns.add_metric(name, float(beat.turns))
            epoch.add_metric(name, float(beat.epoch))
            if beat.turn_at is not None:
                turn_age.add_metric(name, max(0.0, (self._now - beat.turn_at).total_seconds()))
            if beat.turn_seconds is not None:
                seconds.add_metric(name, beat.turn_seconds)
            for possible in STATES:
                state.add_metric([*name, possible], float(beat.state == possible))
        leader = leading(beats, now=self._now, period_seconds=self._period_seconds)
        yield GaugeMetricFamily(
            "maximus_loop_leaders",
            "Loops that lead and were heard of within three periods.",
            value=float(leader is not None),
        )
        yield from (up, age, turn_age, seconds, turns, epoch, state)


def text(beats: Sequence[Heartbeat] | None, *, now: datetime, period_seconds: float) -> bytes:
    """The scrape's answer.

    Args:
        beats: The loops' heartbeat rows; None when the database is away.
        now: The time of the scrape.
        period_seconds: How often a loop turns.
    """
    of_loop = CollectorRegistry()
    of_loop.register(LoopCollector(beats, now, period_seconds))
    return _own() + generate_latest(of_loop)


def documented() -> list[Instrument]:
    """Every metric of the product, by name: this scrape's and those the loop's own process answers."""
    of_loops = LoopCollector((), datetime.now(UTC), 15.0).collect()
    families = [
        Instrument(
            family.name + ("_total" if family.type == "counter" else ""),
            family.type,
            tuple(getattr(family, "_labelnames", ())),
            family.documentation,
        )
        for family in of_loops
    ]
    return sorted([*instruments(), *families])


class OwnCollector(Collector):
    """The families of another collector that are this process's own."""

    def __init__(self, source: Collector) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """Pass on the families named by `OWN_PREFIXES`."""
        return (family for family in self._source.collect() if family.name.startswith(OWN_PREFIXES))


def _own() -> bytes:
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    source: Collector = REGISTRY
    if folder and Path(folder).is_dir():
        forget_dead(Path(folder))
        # Made without a registry: it would be collected when it registers, and once more when it is asked.
        source = MultiProcessCollector(None, path=folder)  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(OwnCollector(source))
    return generate_latest(registry)


def forget_dead(folder: Path) -> None:
    """Drop what workers that are no more said of their present; what they counted stays."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            mark_process_dead(int(pid), path=str(folder))  # type: ignore[no-untyped-call]
