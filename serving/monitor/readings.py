"""The present value of every sensor, after its own missing-data policy.

A value's age is counted from the instant it carries, never from when it arrived: a source that repeats an old reading
goes stale like one that is silent. One that stamps the same value with new instants is found out by the value itself,
where the catalogue says that it cannot stand still. What stands in for a stale, frozen or absent value is the
catalogue's decision; this room only carries it out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.sensors import Sensor
from maximus_assets.contracts.situation import Reading
from maximus_assets.contracts.telemetry import Sample

_FUTURE_SECONDS: Final = 60.0
"""A value from further ahead than this is no observation; nearer ones are two clocks that differ."""


class Seen(NamedTuple):
    """The newest value of a sensor, and since when it has shown that value without a gap."""

    sample: Sample
    since: datetime


class LatestValues:
    """The newest believable value of each sensor of each target."""

    def __init__(self) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often a (sensor, reason) was refused: `implausible`, `future`, `unknown_sensor`."""

        self._values: dict[str, dict[str, Seen]] = {}

    def update(self, samples: Iterable[Sample], now: datetime) -> list[Sample]:
        """Take in samples and give back those worth keeping.

        Args:
            samples: In any order; an older one never replaces a newer one.
            now: The turn's instant.

        Returns:
            The samples that were believable, older ones included.
        """
        limit = now + timedelta(seconds=_FUTURE_SECONDS)
        kept: list[Sample] = []
        for sample in samples:
            sensor = CATALOGUE.get(sample.sensor)
            if sensor is None:
                self.refused[sample.sensor, "unknown_sensor"] += 1
            elif not sensor.is_plausible(sample.value):
                self.refused[sample.sensor, "implausible"] += 1
            elif sample.observed_at > limit:
                self.refused[sample.sensor, "future"] += 1
            else:
                kept.append(sample)
                of_target = self._values.get(sample.target)
                if of_target is None:
                    of_target = self._values[sample.target] = {}
                before = of_target.get(sample.sensor)
                if before is None or before.sample.observed_at > limit:  # seen before the clock was set back
                    of_target[sample.sensor] = Seen(sample, sample.observed_at)
                elif before.sample.observed_at <= sample.observed_at:
                    of_target[sample.sensor] = Seen(sample, _unchanged_since(sensor, before, sample))
        return kept

    def readings(self, target: str, sensors: Sequence[str], now: datetime) -> dict[str, Reading]:
        """What is known of a target now.

        Args:
            target: The target.
            sensors: The sensors it is supposed to have, in the catalogue; one never seen is reported as absent.
            now: The turn's instant.
        """
        known = self._values.get(target, {})
        return {name: read(CATALOGUE[name], known.get(name), now) for name in sensors}


def _unchanged_since(sensor: Sensor, before: Seen, sample: Sample) -> datetime:
    """Since when the value has not changed; nobody knows what it was during a gap, so that starts anew."""
    if sample.value != before.sample.value:
        return sample.observed_at
    gap = (sample.observed_at - before.sample.observed_at).total_seconds()
    if gap > sensor.staleness_limit_seconds:
        return sample.observed_at
    return before.since


def read(sensor: Sensor, seen: Seen | None, now: datetime) -> Reading:
    """One sensor's present value under its policy.

    Args:
        sensor: The sensor.
        seen: Its newest value, None if there never was one.
        now: The present instant.
    """
    policy = sensor.missing
    if seen is None:
        return Reading(
            sensor=sensor.name,
            value=None,
            observed_at=None,
            is_fresh=False,
            must_fail_safe=policy.kind == "fail_safe",
        )
    sample = seen.sample
    age = abs((now - sample.observed_at).total_seconds())
    is_frozen = seen.since is not sample.observed_at and sensor.is_frozen(
        sample.value, (sample.observed_at - seen.since).total_seconds()
    )
    if age <= sensor.staleness_limit_seconds and not is_frozen:
        return Reading(sensor=sensor.name, value=sample.value, observed_at=sample.observed_at, is_fresh=True)
    if is_frozen:  # it was good while it could still be told from one that stands still
        age = (now - seen.since).total_seconds() - (sensor.frozen_after_seconds or 0.0)
    keeps = policy.kind == "hold" or (policy.kind == "last_good" and age <= policy.limit_seconds)
    return Reading(
        sensor=sensor.name,
        value=sample.value if keeps else None,
        observed_at=sample.observed_at,
        is_fresh=False,
        is_frozen=is_frozen,
        must_fail_safe=policy.kind == "fail_safe",
    )
