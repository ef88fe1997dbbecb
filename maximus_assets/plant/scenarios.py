"""What goes wrong, when, and what it looks like: labelled incidents, each announced by a precursor.

A season that changes for good is no incident: nothing is wrong but what was learnt.

Each week has one incident of every kind, in an order and at times drawn from the seed. A week is cut into as many
equal slots as there are kinds and an incident keeps inside its slot, so none overlaps another, across weeks too. An
incident shows nothing outside [precursor_at, ends_at).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from maximus_assets.plant.noise import Floats, Indices, uniforms

WEEK_SECONDS: Final = 7 * 86_400
_MONDAY_OFFSET: Final = 3 * 86_400
"""The Unix epoch was a Thursday; three days earlier was a Monday."""


class IncidentKind(StrEnum):
    """The three kinds."""

    MEMORY_LEAK = "memory_leak"
    CONNECTION_EXHAUSTION = "connection_exhaustion"
    FLASH_CROWD = "flash_crowd"


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident; its label.

    Attributes:
        kind: What goes wrong.
        precursor_at: From when it could have been seen coming.
        starts_at: From when users suffer.
        ends_at: When all is well again; nothing of it shows from here on.
        severity: How bad, 0.6 to 1.
    """

    kind: IncidentKind
    precursor_at: datetime
    starts_at: datetime
    ends_at: datetime
    severity: float


@dataclass(frozen=True, slots=True)
class SeasonChange:
    """The service's day moves: its users live elsewhere from an instant on.

    Attributes:
        at: From when; aware.
        later_hours: By how much the day comes later; negative for earlier.
        over_hours: How long the old day fades into the new one, > 0.
    """

    at: datetime
    later_hours: float
    over_hours: float = 2.0

    def weight(self, seconds: Indices) -> Floats:
        """How much of the new day there is at each instant, 0 to 1, shape (n,)."""
        since = (seconds - self.at.timestamp()) / (3600.0 * self.over_hours)
        done: Floats = np.clip(since, 0.0, 1.0)
        return done * done * (3.0 - 2.0 * done)


class Disturbance(NamedTuple):
    """What incidents do to the service at each instant, each of shape (n,).

    Attributes:
        extra_load_ratio: Load added, of the service's capacity.
        pressure: How far the utilization of the replicas is pulled from what the load asks towards `strained`, 0 to 1.
        strained: The utilization it is pulled towards.
        failed_ratio: Share of requests that fail for another reason than a full queue.
        memory_ratio: Memory added, of the limit.
        connections_ratio: Database connections added, of those still free.
        cpu_ratio: Processor use added, of what is there; negative where replicas wait instead of working.
    """

    extra_load_ratio: Floats
    pressure: Floats
    strained: Floats
    failed_ratio: Floats
    memory_ratio: Floats
    connections_ratio: Floats
    cpu_ratio: Floats


class _Timing(NamedTuple):
    precursor_minutes: tuple[int, int]
    duration_minutes: tuple[int, int]


_TIMINGS: Final[dict[IncidentKind, _Timing]] = {
    IncidentKind.MEMORY_LEAK: _Timing(precursor_minutes=(45, 45), duration_minutes=(15, 35)),
    IncidentKind.CONNECTION_EXHAUSTION: _Timing(precursor_minutes=(20, 30), duration_minutes=(10, 25)),
    IncidentKind.FLASH_CROWD: _Timing(precursor_minutes=(12, 20), duration_minutes=(30, 60)),
}
_SLOT_SECONDS: Final = WEEK_SECONDS // len(_TIMINGS)
_STREAM: Final = 900
_RISE_SECONDS: Final = 120.0
_FALL_SECONDS: Final = 240.0


def week_of(seconds: int) -> int:
    """Number of the week, from Monday 00:00 UTC, that holds an instant given in seconds since the Unix epoch."""
    return (seconds + _MONDAY_OFFSET) // WEEK_SECONDS


@lru_cache(maxsize=4096)
def incidents_of_week(seed: int, week: int) -> tuple[Incident, ...]:
    """The incidents of one week, in time.

    Args:
        seed: Of the world.
        week: As counted by `week_of`.
    """
    kinds = tuple(_TIMINGS)
    draws = uniforms(seed, (_STREAM,), np.arange(week * 64, week * 64 + 64, dtype=np.int64))[0]
    order = np.argsort(draws[: len(kinds)])
    found = []
    for slot, which in enumerate(order):
        kind = kinds[int(which)]
        lead, length, place, severity = draws[8 + 8 * slot : 12 + 8 * slot]
        precursor = 60 * _between(_TIMINGS[kind].precursor_minutes, float(lead))
        duration = 60 * _between(_TIMINGS[kind].duration_minutes, float(length))
        slot_at = week * WEEK_SECONDS - _MONDAY_OFFSET + slot * _SLOT_SECONDS
        precursor_at = slot_at + 60 * int(float(place) * (_SLOT_SECONDS - precursor - duration) / 60)
        found.append(
            Incident(
                kind=kind,
                precursor_at=datetime.fromtimestamp(precursor_at, tz=UTC),
                starts_at=datetime.fromtimestamp(precursor_at + precursor, tz=UTC),
                ends_at=datetime.fromtimestamp(precursor_at + precursor + duration, tz=UTC),
                severity=0.6 + 0.4 * float(severity),
            )
        )
    return tuple(found)


def _between(bounds: tuple[int, int], draw: float) -> int:
    return bounds[0] + int(draw * (bounds[1] - bounds[0] + 1))


def disturbance(incidents: tuple[Incident, ...], seconds: Indices) -> Disturbance:
    """What `incidents` do at each instant.

    Args:
        incidents: Non-overlapping.
        seconds: Shape (n,), seconds since the Unix epoch.
    """
    whole = Disturbance(*(np.zeros(seconds.shape) for _ in Disturbance._fields))
    for incident in incidents:
        begins, ends = incident.precursor_at.timestamp(), incident.ends_at.timestamp()
        is_under = (seconds >= begins) & (seconds < ends)
        if is_under.any():
            shown = _shown(incident, seconds[is_under].astype(np.float64))
            for total, part in zip(whole, shown, strict=True):
                total[is_under] = part
    return whole


def _shown(incident: Incident, seconds: Floats) -> Disturbance:
    """One incident's own disturbance at instants within it."""
    starts, ends = incident.starts_at.timestamp(), incident.ends_at.timestamp()
    since_precursor = seconds - incident.precursor_at.timestamp()
    recovery = np.clip((ends - seconds) / _FALL_SECONDS, 0.0, 1.0)
    announced = np.clip(since_precursor / (starts - incident.precursor_at.timestamp()), 0.0, 1.0) * recovery
    suffered = np.clip((seconds - starts) / _RISE_SECONDS, 0.0, 1.0) * recovery
    none = np.zeros(seconds.shape)
    match incident.kind:
        case IncidentKind.MEMORY_LEAK:
            # Memory fills at an even pace; once it is full, replicas collect garbage and some are killed.
            return Disturbance(
                extra_load_ratio=none,
                pressure=suffered,
                strained=np.full(seconds.shape, 0.9 + 0.06 * incident.severity),
                failed_ratio=0.09 * incident.severity * suffered,
                memory_ratio=0.5 * announced,
                connections_ratio=none,
                cpu_ratio=0.4 * suffered,
            )
        case IncidentKind.CONNECTION_EXHAUSTION:
            # Connections are taken and not given back until those left cannot carry the load, whatever the load is.
            return Disturbance(
                extra_load_ratio=none,
                pressure=suffered,
                strained=np.full(seconds.shape, 1.02 + 0.08 * incident.severity),
                failed_ratio=0.02 * suffered,
                memory_ratio=0.04 * suffered,
                connections_ratio=0.98 * announced,
                cpu_ratio=-0.4 * suffered,
            )
        case IncidentKind.FLASH_CROWD:
            # The first visitors tell others: a slow rise, then everybody at once.
            return Disturbance(
                extra_load_ratio=0.7 * incident.severity * (0.2 * announced**2 + 0.8 * suffered),
                pressure=none,
                strained=none,
                failed_ratio=none,
                memory_ratio=none,
                connections_ratio=none,
                cpu_ratio=none,
            )
