"""The present value of every sensor, after its own missing-data policy.

A value's age is counted from the instant it carries, never from when it arrived: a source that repeats a frozen value
goes stale like one that is silent. What stands in for a stale or absent value is the catalogue's decision; this room
only carries it out.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.sensors import Sensor
from maximus_assets.contracts.situation import Reading
from maximus_assets.contracts.telemetry import Sample

_FUTURE_SECONDS: Final = 60.0
"""A value from further ahead than this is no observation; nearer ones are two clocks that differ."""


class LatestValues:
    """The newest believable value of each sensor of each target."""

    def __init__(self) -> None:
        self.refused: Counter[tuple[str, str]] = Counter()
        """How often a (sensor, reason) was refused: `implausible`, `future`, `unknown_sensor`."""

        self._values: dict[str, dict[str, Sample]] = {}

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
                of_target = self._values.setdefault(sample.target, {})
                before = of_target.get(sample.sensor)
                if (
                    before is None
                    or before.observed_at <= sample.observed_at
                    or before.observed_at > limit  # seen before the clock was set back
                ):
                    of_target[sample.sensor] = sample
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


def read(sensor: Sensor, sample: Sample | None, now: datetime) -> Reading:
    """One sensor's present value under its policy.

    Args:
        sensor: The sensor.
        sample: Its newest value, None if there never was one.
        now: The present instant.
    """
    age = None if sample is None else abs((now - sample.observed_at).total_seconds())
    if sample is not None and age is not None and age <= sensor.staleness_limit_seconds:
        return Reading(sensor=sensor.name, value=sample.value, observed_at=sample.observed_at, is_fresh=True)
    policy = sensor.missing
    keeps = policy.kind == "hold" or (
        policy.kind == "last_good" and age is not None and age <= policy.limit_seconds
    )
    return Reading(
        sensor=sensor.name,
        value=sample.value if sample is not None and keeps else None,
        observed_at=None if sample is None else sample.observed_at,
        is_fresh=False,
        must_fail_safe=policy.kind == "fail_safe",
    )
