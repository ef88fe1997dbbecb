"""Reader of what Prometheus servers remember of the targets that are watched through them.

Values stand at whole multiples of the pace of live collection, so that history and live weigh alike, and only where their
raw samples were fresh: a target that vanished leaves a gap. Values are kept as the server tells them, also implausible
ones: to judge them is `telemetry.quality`'s task.

It is hard because one server of several may be away, and one target of a thousand may have labels that fit two series.
Neither may cost the others their day, and neither may become a silent gap: so whatever was asked for and not got is handed
back beside what was (`Unread`), with the error that says why. A series that was read in part counts as unread.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from maximus_assets.contracts.errors import BadInputError, MaximusError, Retryable
from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.prometheus.client import Limits, PrometheusClient
from maximus_assets.prometheus.errors import AccessRefusedError, NotPrometheusError
from maximus_assets.prometheus.feeds import Feed, feeds
from maximus_assets.prometheus.readings import count_raw, read_past
from maximus_assets.telemetry.frames import SCHEMA, by_series, empty, validate

_STRETCH: Final = timedelta(days=1)
"""A range is read in stretches of this length, so that a month of a fleet never stands in memory as text."""

_PATIENCE: Final = 2
"""Feeds of one server that may go unanswered before the rest of them is not asked for any more."""

_ASKED_BY_A_SENSOR: Final = Limits(timeout_seconds=5.0, max_bytes=8 * 2**20, tries=1)
"""What a question costs at most that is asked every few minutes; the next time is its next try."""


@dataclass(frozen=True, eq=False)
class Unread:
    """A series that was asked for and not got.

    Attributes:
        target: Whose.
        sensor: Which.
        error: Why.
    """

    target: str
    sensor: str
    error: MaximusError

    @property
    def may_pass(self) -> bool:
        """Whether the server as a whole gave nothing, so that asking again may bring it once the server answers."""
        return isinstance(self.error, Retryable | AccessRefusedError | NotPrometheusError)


@dataclass(frozen=True, eq=False)
class PastRead:
    """What was read, and what was not.

    Attributes:
        frame: A telemetry frame by series and instant.
        unread: Series of which nothing is in the frame because they could not be read.
    """

    frame: pl.DataFrame
    unread: tuple[Unread, ...] = ()


def read_prometheus(
    sections: Sequence[PrometheusSection],
    targets: Sequence[Target],
    start: datetime,
    end: datetime,
    *,
    limits: Limits | None = None,
    step_seconds: int = COLLECT_SECONDS,
) -> PastRead:
    """What every target watched through Prometheus showed in `start <= observed_at < end`.

    A server that does not answer costs its own targets, an answer that cannot be used its own sensor, and a target with two
    series that target's sensor alone.

    Args:
        sections: The servers.
        targets: Any targets; those of other sources are passed over.
        start: Aware instant, inclusive.
        end: Aware instant, exclusive.
        limits: What one query may cost.
        step_seconds: Spacing of the values.

    Raises:
        BadInputError: An instant has no zone.
    """
    for name, at in (("start", start), ("end", end)):
        if at.tzinfo is None:
            raise BadInputError("the instant has no zone", source="Prometheus", column=name)
    frames: list[pl.DataFrame] = []
    unread: list[Unread] = []
    for section, wanted in _watched(sections, targets):
        failures = 0
        gave_up: MaximusError | None = None
        for feed in wanted:
            if gave_up is None:
                try:
                    with PrometheusClient(section, limits) as client:
                        some, ambiguous = _read(client, feed, start, end, step_seconds)
                except MaximusError as error:
                    unread += [Unread(target, feed.sensor.sensor, error) for target in feed.targets]
                    failures += isinstance(error, Retryable)
                    if failures >= _PATIENCE or isinstance(error, AccessRefusedError | NotPrometheusError):
                        gave_up = error
                    continue
                frames += some
                unread += ambiguous
            else:
                unread += [Unread(target, feed.sensor.sensor, gave_up) for target in feed.targets]
    frame = by_series(validate(pl.concat(frames), "Prometheus")) if frames else empty()
    return PastRead(frame, tuple(unread))


def count_samples(
    sections: Sequence[PrometheusSection],
    targets: Sequence[Target],
    spans: Sequence[tuple[datetime, datetime]],
) -> list[dict[str, int]]:
    """How many raw samples of each target's demand its server holds in each span.

    Args:
        sections: The servers.
        targets: Any targets; those of other sources are passed over.
        spans: Pairs of aware instants.

    Returns:
        For each span target -> how many; targets whose server does not answer are absent.
    """
    demand = {target.name: target.demand_sensor for target in targets}
    found: list[dict[str, int]] = [{} for _ in spans]
    for section, wanted in _watched(sections, targets):
        try:
            with PrometheusClient(section, _ASKED_BY_A_SENSOR) as client:
                for feed in wanted:
                    mine = feed.only([name for name in feed.targets if demand[name] == feed.sensor.sensor])
                    for held, (start, end) in zip(found, spans, strict=True):
                        if mine.targets:
                            held.update(count_raw(client, mine, start.timestamp(), end.timestamp()))
        except MaximusError:
            continue  # what it holds is not known now; the next look asks again
    return found


def answering(
    sections: Sequence[PrometheusSection], targets: Sequence[Target], among: Collection[str], now: datetime
) -> set[str]:
    """Which of some targets have a server that answers now.

    Args:
        sections: The servers.
        targets: What is watched.
        among: Names of those that are asked about.
        now: The present.
    """
    found: set[str] = set()
    for section, wanted in _watched(sections, targets):
        mine = {name for feed in wanted for name in feed.targets if name in among}
        if not mine:
            continue
        try:
            with PrometheusClient(section, _ASKED_BY_A_SENSOR) as client:
                client.instant("vector(1)", now.timestamp())
        except MaximusError:
            continue  # that is the answer
        found |= mine
    return found


def _watched(
    sections: Sequence[PrometheusSection], targets: Sequence[Target]
) -> Iterator[tuple[PrometheusSection, list[Feed]]]:
    """Every section with its feeds of targets that are watched through Prometheus."""
    watched = {target.name for target in targets if target.source == "prometheus"}
    asked = feeds(sections)
    for section in sections:
        wanted = [
            feed.only([name for name in feed.targets if name in watched]) for feed in asked[section.name]
        ]
        yield section, [feed for feed in wanted if feed.targets]


def _read(
    client: PrometheusClient, feed: Feed, start: datetime, end: datetime, step_seconds: int
) -> tuple[list[pl.DataFrame], list[Unread]]:
    frames: list[tuple[str, pl.DataFrame]] = []
    ambiguous: dict[str, MaximusError] = {}
    at = start
    while at < end:
        until = min(end, at + _STRETCH)
        past = read_past(client, feed, at.timestamp(), until.timestamp(), step_seconds)
        ambiguous |= past.ambiguous
        for target, one in past.values.items():
            frame = pl.DataFrame(
                {
                    TARGET: pl.Series([target], dtype=pl.String).new_from_index(0, one.seconds.size),
                    SENSOR: pl.Series([feed.sensor.sensor], dtype=pl.String).new_from_index(
                        0, one.seconds.size
                    ),
                    OBSERVED_AT: pl.Series((one.seconds * 1e6).round().astype("int64")).cast(
                        SCHEMA[OBSERVED_AT]
                    ),
                    VALUE: one.values,
                }
            )
            frames.append((target, frame))
        at = until
    unread = [Unread(target, feed.sensor.sensor, error) for target, error in ambiguous.items()]
    return [frame for target, frame in frames if target not in ambiguous], unread
