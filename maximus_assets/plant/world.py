"""The simulated service itself: load, the queue it meets, and every sensor a service reports.

It is hard in one way only: nothing may depend on where a reading begins. So there is no state, chance is looked up by
index (`plant.noise`), incidents are scheduled by week (`plant.scenarios`), and the queue shows the steady state of
each instant (`plant.queueing`). The number of replicas is fixed, for nothing acts on it here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.catalogue import SERVICE_SENSORS
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE, Sample
from maximus_assets.plant.noise import Floats, Indices, drift, eased, normals, uniforms
from maximus_assets.plant.queueing import steady_state
from maximus_assets.plant.scenarios import Incident, SeasonChange, disturbance, incidents_of_week, week_of

_DAY: Final = 86_400
_TROUGH_RATIO: Final = 0.11
_SWING_RATIO: Final = 0.52
"""Load at night and its rise to the peak of a working day, of capacity: 26 and 151 requests/s of 240."""

# One stream of chance for each use, two apart.
_SHAPE, _WEEKDAYS, _LEVEL, _WANDER, _HEAP = range(0, 10, 2)
_MEASUREMENT: Final = tuple(range(100, 114, 2))

_RESOLUTION_DECIMALS: Final = 6
"""Sensors report no more; it also hides the last bit, in which processors differ."""


class Plant:
    """A simulated service behind a fixed number of replicas.

    Its load has a smooth day, a quieter weekend, no trend, a level that differs a little from day to day, a slow
    wandering, and the counting noise of independent arrivals. Where the peak of the day lies, how quiet weekends are
    and when incidents come follows from the seed.

    Args:
        seed: Which world, >= 0. Two targets with one seed show the same values under two names.
        replicas: Replicas that serve, >= 1.
        service_time_ms: Mean time one replica works on one request, > 0. Load scales with capacity, so a faster
            service is a busier one.
        season_change: When the shape of the day moves for good; never unless given.
    """

    def __init__(
        self,
        seed: int,
        *,
        replicas: int = 12,
        service_time_ms: float = 50.0,
        season_change: SeasonChange | None = None,
    ) -> None:
        if seed < 0 or replicas < 1 or not service_time_ms > 0:
            raise BadInputError(
                f"seed {seed} must be >= 0, replicas {replicas} >= 1, service_time_ms {service_time_ms} > 0",
                source="simulated service",
            )
        self._seed = seed
        self._season_change = season_change
        self._replicas = replicas
        self._service_seconds = service_time_ms / 1000.0
        draws = uniforms(seed, (_SHAPE,), np.arange(4, dtype=np.int64))[0]
        self._peak_second = float((11.5 + 5.0 * draws[0]) * 3600)
        self._skew = float(0.6 + 0.5 * draws[1])
        curve = self._day_curve(np.arange(0, _DAY, 60, dtype=np.int64))
        self._curve_bounds = (float(curve.min()), float(curve.max()))
        weekdays = 1.0 + 0.03 * normals(seed, (_WEEKDAYS,), np.arange(7, dtype=np.int64))[0].clip(-2.0, 2.0)
        weekdays[5] = 0.62 + 0.12 * draws[2]
        weekdays[6] = 0.66 + 0.12 * draws[3]
        self._weekdays = weekdays

    @classmethod
    def of(cls, target: Target) -> "Plant":
        """The world behind a simulated target: its seed, and its service time where it is sized by replicas."""
        if isinstance(target.sizing, ReplicaSizing):
            return cls(target.seed, service_time_ms=target.sizing.service_time_ms)
        return cls(target.seed)

    def samples(self, target: str, start: datetime, end: datetime, step_seconds: int) -> pl.DataFrame:
        """What every sensor showed in `start <= observed_at < end`.

        Args:
            target: Name to write in the frame.
            start: Aware instant, inclusive.
            end: Aware instant, exclusive; none is shown when it is not after `start`.
            step_seconds: Distance of the instants, >= 1; they are multiples of it since the Unix epoch.

        Returns:
            A telemetry frame, by instant, then by sensor in the catalogue's order.

        Raises:
            BadInputError: An instant has no zone, or the step is below 1.
        """
        if step_seconds < 1:
            raise BadInputError(
                f"a step of {step_seconds} s is no step", source="simulated service", column="step_seconds"
            )
        first, last = (
            _ceil_to_step(_whole(at, name), step_seconds) for at, name in ((start, "start"), (end, "end"))
        )
        seconds = np.arange(first, max(first, last), step_seconds, dtype=np.int64)
        values = np.stack(self._values(seconds), axis=1).ravel() if seconds.size else np.empty(0)
        names = pl.Series(SENSOR, SERVICE_SENSORS, dtype=pl.String)
        return pl.DataFrame(
            {
                TARGET: pl.repeat(target, values.size, dtype=pl.String, eager=True),
                SENSOR: names.gather(np.tile(np.arange(len(names), dtype=np.uint32), seconds.size)),
                OBSERVED_AT: pl.Series(np.repeat(seconds, len(names)) * 1_000_000).cast(
                    pl.Datetime("us", "UTC")
                ),
                VALUE: pl.Series(values, dtype=pl.Float64),
            }
        )

    def readings(self, target: str, at: datetime) -> list[Sample]:
        """What every sensor shows at an instant, floored to the collection period: the row of `samples` there.

        Raises:
            BadInputError: The instant has no zone.
        """
        _whole(at, "at")
        observed_at = floor_to_step(at, COLLECT_SECONDS)
        values = self._values(np.array([int(observed_at.timestamp())], dtype=np.int64))
        return [
            Sample(target, name, observed_at, float(value[0]))
            for name, value in zip(SERVICE_SENSORS, values, strict=True)
        ]

    def incidents(self, start: datetime, end: datetime) -> tuple[Incident, ...]:
        """The incidents that show, precursor included, anywhere in `start <= at < end`; in time.

        Raises:
            BadInputError: An instant has no zone.
        """
        first, last = int(_whole(start, "start")), int(_whole(end, "end"))
        return tuple(
            incident
            for week in range(week_of(first), week_of(last) + 1)
            for incident in incidents_of_week(self._seed, week)
            if incident.ends_at > start and incident.precursor_at < end
        )

    def _values(self, seconds: Indices) -> Sequence[Floats]:
        """Values in the order of SERVICE_SENSORS, each of shape (n,), for n >= 1 ascending instants."""
        seed = self._seed
        weeks = range(week_of(int(seconds[0])), week_of(int(seconds[-1])) + 1)
        trouble = disturbance(tuple(i for week in weeks for i in incidents_of_week(seed, week)), seconds)
        # Chance is indexed by the collection period, so a coarser reading shows the values of the finer one.
        chance = normals(seed, _MEASUREMENT, seconds // COLLECT_SECONDS)
        counting, failing, serving, queueing, working, holding, connecting = chance

        capacity = self._replicas / self._service_seconds
        expected = capacity * (self._load_ratio(seconds) + trouble.extra_load_ratio)
        # Independent arrivals vary by the root of their number over one collection period, bursts a little more.
        spread = 1.3 / np.sqrt(np.maximum(expected * COLLECT_SECONDS, 1.0))
        rate = expected * np.maximum(0.0, 1.0 + spread * counting)

        asked = rate / capacity
        busy = np.minimum(asked, 1.0)
        queue = steady_state(
            self._replicas, self._service_seconds, asked + trouble.pressure * (trouble.strained - asked)
        )
        errors = 0.0012 * np.exp(0.5 * failing) + trouble.failed_ratio + queue.failed_ratio
        cpu = (0.03 + 0.93 * busy) * (1.0 + trouble.cpu_ratio) + 0.01 * working
        heap = 0.42 + 0.01 * drift(seed, _HEAP, seconds, 7200)
        memory = heap + 0.08 * busy + trouble.memory_ratio + 0.002 * holding
        connections = 0.06 + 0.5 * busy + 0.01 * connecting
        connections += (1.0 - connections) * trouble.connections_ratio
        values = (
            rate,
            np.clip(errors, 0.0, 1.0),
            queue.p95_ms * np.exp(0.04 * serving),
            queue.waiting * np.exp(0.2 * queueing),
            np.full(seconds.shape, float(self._replicas)),
            np.clip(cpu, 0.0, 1.0),
            np.clip(memory, 0.0, 0.995),
            np.clip(connections, 0.0, 1.0),
        )
        return tuple(value.round(_RESOLUTION_DECIMALS) for value in values)

    def _day_curve(self, seconds: Indices) -> Floats:
        """The shape of a day: a broad high at the peak, a flat low opposite."""
        angle = 2.0 * np.pi * (seconds - self._peak_second) / _DAY
        curve: Floats = np.cos(angle) + 0.22 * np.cos(2.0 * angle + self._skew)
        return curve

    def _load_ratio(self, seconds: Indices) -> Floats:
        """Load without counting noise or incidents, of capacity."""
        low, high = self._curve_bounds
        curve = self._day_curve(seconds)
        if (change := self._season_change) is not None:
            moved = self._day_curve(seconds - round(3600 * change.later_hours))
            curve = curve + change.weight(seconds) * (moved - curve)
        day = _TROUGH_RATIO + _SWING_RATIO * (curve - low) / (high - low)
        # A day's factor holds at its noon and eases into the next day's, so that midnight shows no step.
        noon, ease = eased(seconds - _DAY // 2, _DAY)
        today, tomorrow = self._weekdays[(noon + 3) % 7], self._weekdays[(noon + 4) % 7]
        level = 1.0 + 0.025 * drift(self._seed, _LEVEL, seconds, _DAY)
        wander = 1.0 + 0.02 * drift(self._seed, _WANDER, seconds, 1800)
        load: Floats = day * (today + ease * (tomorrow - today)) * level * wander
        return load


def _whole(at: datetime, name: str) -> float:
    """Seconds since the Unix epoch of an aware instant."""
    if at.tzinfo is None:
        raise BadInputError("the instant has no zone", source="simulated service", column=name)
    return at.astimezone(UTC).timestamp()


def _ceil_to_step(seconds: float, step_seconds: int) -> int:
    return -int(-seconds // step_seconds) * step_seconds
