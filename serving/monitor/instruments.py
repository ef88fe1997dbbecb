"""Reading many sensors so that each stands by itself, and rates from counters that only grow.

Belongs here: what every source that reads counters shares. Does not: where any figure comes from. It is hard because a
counter may be reset, a clock may not have moved, and a sensor that cannot be read must neither be zero nor keep its
neighbours from being read.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.telemetry import Sample

Reader = Callable[[], float]
"""Gives a sensor's present value; raises `AbsentError` where it has none this time."""

_Answer = TypeVar("_Answer")


class AbsentError(Exception):
    """A sensor has no value this time, for a reason that is no error."""


class Counters:
    """Rates from successive readings of counters that only grow.

    A counter that went back was reset (a reboot of what it counts, a wrap-around): then there is no rate this once.

    Args:
        monotonic: The clock's monotonic seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._last: dict[str, tuple[float, float]] = {}

    def growth(self, name: str, value: float) -> tuple[float, float]:
        """How much a counter grew, and in how many seconds, since it was read before.

        Raises:
            AbsentError: On its first reading, after a reset, or if no time has passed.
        """
        at = self._monotonic()
        before = self._last.get(name)
        if before is not None and value >= before[0] and at <= before[1]:
            msg = "no time has passed since the reading before"
            raise AbsentError(msg)
        self._last[name] = (value, at)
        if before is None:
            msg = "a rate needs two readings"
            raise AbsentError(msg)
        if value < before[0]:
            msg = "the counter went back"
            raise AbsentError(msg)
        return value - before[0], at - before[1]

    def growths(self, **values: float) -> tuple[float, ...]:
        """How much several counters grew; all are remembered, also if one of them has no growth this time.

        Raises:
            AbsentError: As `growth`, for any of them.
        """
        grown: list[float] = []
        absent: AbsentError | None = None
        for name, value in values.items():
            try:
                grown.append(self.growth(name, value)[0])
            except AbsentError as error:
                absent = error
        if absent is not None:
            raise absent
        return tuple(grown)

    def read_at(self, name: str) -> float:
        """When a counter was read last, on the monotonic clock; minus infinity if never."""
        return self._last.get(name, (0.0, -math.inf))[1]

    def rate(self, name: str, value: float) -> float:
        """Growth per second.

        Raises:
            AbsentError: As `growth`.
        """
        grown, seconds = self.growth(name, value)
        return grown / seconds

    def share(self, name: str, part: float, whole: float) -> float:
        """Growth of a part, of the growth of the whole, 0 to 1.

        Args:
            name: Of the pair.
            part: A counter.
            whole: The counter of which it counts a part.

        Raises:
            AbsentError: As `growth` for either, or if the whole did not grow.
        """
        grown_part, grown_whole = self.growths(**{f"{name} part": part, f"{name} whole": whole})
        if grown_whole == 0:
            msg = "nothing was counted since the reading before"
            raise AbsentError(msg)
        return min(1.0, grown_part / grown_whole)


class Round:
    """Figures that several sensors of one round share, so that each file is read once."""

    def __init__(self) -> None:
        self._known: dict[object, object] = {}

    def begin(self) -> None:
        """Forget the round before."""
        self._known.clear()

    def once(self, ask: Callable[[], _Answer]) -> _Answer:
        """What `ask` answers, asked at most once a round.

        Raises:
            AbsentError: It has no answer this round; it is not asked again, for a counter that was just read would
                seem to have grown in no time.
        """
        if ask not in self._known:
            try:
                self._known[ask] = ask()
            except AbsentError as absent:
                self._known[ask] = absent
        answer = self._known[ask]
        if isinstance(answer, AbsentError):
            raise answer
        return answer  # type: ignore[return-value] # it was put there under this very question


class Instruments:
    """Sensors of one target with a reader each.

    Args:
        target: The target's name.
        readers: Sensor of the catalogue -> reader.
        unreadable: What reading may raise when one sensor cannot be read; anything else is the source's failure.
    """

    def __init__(
        self, target: str, readers: Mapping[str, Reader], unreadable: tuple[type[Exception], ...] = ()
    ) -> None:
        self._target = target
        self._readers = {sensor: readers[sensor] for sensor in CATALOGUE if sensor in readers}
        self._unreadable = unreadable
        self.absences: Counter[tuple[str, str]] = Counter()
        """How often each (sensor, reason) was absent."""

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors, in the catalogue's order."""
        return tuple(self._readers)

    def read(self, now: datetime) -> list[Sample]:
        """Read every sensor once; one that has no value, or an impossible one, is left out and counted.

        Args:
            now: The instant the samples carry.
        """
        samples: list[Sample] = []
        for sensor, reader in self._readers.items():
            try:
                value = float(reader())
            except AbsentError as absent:
                self.absences[sensor, str(absent)] += 1
            except self._unreadable as error:
                self.absences[sensor, type(error).__name__] += 1
            else:
                if CATALOGUE[sensor].is_plausible(value):
                    samples.append(Sample(self._target, sensor, now, value))
                else:
                    self.absences[sensor, "implausible"] += 1
        return samples
