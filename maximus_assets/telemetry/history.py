"""Reader of what Prometheus servers remember of the targets that are watched through them.

Values stand at whole multiples of the pace of live collection, so that history and live weigh alike, and only where their
raw samples were fresh: a target that vanished leaves a gap. Values are kept as the server tells them, also implausible
ones: to judge them is `telemetry.quality`'s task.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.prometheus.client import Limits, PrometheusClient
from maximus_assets.prometheus.feeds import Feed, feeds
from maximus_assets.prometheus.readings import read_past
from maximus_assets.telemetry.frames import SCHEMA, by_series, empty, validate

_STRETCH: Final = timedelta(days=1)
"""A range is read in stretches of this length, so that a month of a fleet never stands in memory as text."""


def read_prometheus(
    sections: Sequence[PrometheusSection],
    targets: Sequence[Target],
    start: datetime,
    end: datetime,
    *,
    limits: Limits | None = None,
    step_seconds: int = COLLECT_SECONDS,
) -> pl.DataFrame:
    """What every target watched through Prometheus showed in `start <= observed_at < end`.

    Args:
        sections: The servers.
        targets: Any targets; those of other sources are passed over.
        start: Aware instant, inclusive.
        end: Aware instant, exclusive.
        limits: What one query may cost.
        step_seconds: Spacing of the values.

    Returns:
        A telemetry frame by series and instant.

    Raises:
        BadInputError: An instant has no zone.
        Retryable: A server does not answer.
        Permanent: A server refuses a query or our credentials, is no Prometheus server, answers too much, or has two
            series for one target; says which.
    """
    for name, at in (("start", start), ("end", end)):
        if at.tzinfo is None:
            raise BadInputError("the instant has no zone", source="Prometheus", column=name)
    watched = {target.name for target in targets if target.source == "prometheus"}
    frames: list[pl.DataFrame] = []
    for section in sections:
        with PrometheusClient(section, limits) as client:
            for feed in feeds(sections)[section.name]:
                wanted = feed.only([name for name in feed.targets if name in watched])
                if wanted.targets:
                    frames += _read(client, wanted, start, end, step_seconds)
    return by_series(validate(pl.concat(frames), "Prometheus")) if frames else empty()


def _read(
    client: PrometheusClient, feed: Feed, start: datetime, end: datetime, step_seconds: int
) -> list[pl.DataFrame]:
    frames = []
    at = start
    while at < end:
        until = min(end, at + _STRETCH)
        for target, one in read_past(client, feed, at.timestamp(), until.timestamp(), step_seconds).items():
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
            frames.append(frame)
        at = until
    return frames
