"""What an answer says of each target: whose a series is, what it is worth, and from when.

It is hard because labels are all there is to tell targets by. Two series that fit one target at one instant are an error
that names both: taking either, or their sum, would be a guess. Series that follow one another (a pod that came back under
another name) are one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.prometheus import promql
from maximus_assets.prometheus.answers import Answer, LabelledSeries
from maximus_assets.prometheus.client import PrometheusClient
from maximus_assets.prometheus.errors import AmbiguousSeriesError
from maximus_assets.prometheus.feeds import Feed

_CHUNK_POINTS: Final = 1_000_000
"""A range is read for so few targets at once that it should come to no more points."""


def by_target(feed: Feed, series: Sequence[LabelledSeries]) -> dict[str, list[LabelledSeries]]:
    """The series of each target; those of nobody are left out."""
    names = feed.section.label_names
    owners = {tuple(feed.section.targets[name][label] for label in names): name for name in feed.targets}
    found: dict[str, list[LabelledSeries]] = {}
    for one in series:
        owner = owners.get(tuple(one.labels.get(label, "") for label in names))
        if owner is not None:
            found.setdefault(owner, []).append(one)
    return found


@dataclass(frozen=True)
class Present:
    """The present values of a feed.

    Attributes:
        values: Target -> (Unix time of its newest raw sample, value in the sensor's unit, finite).
        ambiguous: Target -> why it has none although there are series of it.
        warnings: The server's.
    """

    values: Mapping[str, tuple[float, float]]
    ambiguous: Mapping[str, str]
    warnings: tuple[str, ...]


def read_present(
    client: PrometheusClient, feed: Feed, at: float, *, timeout_seconds: float | None = None
) -> Present:
    """Ask for the present value of every target of a feed.

    A target without a value is left out: it vanished, or the query gave NaN or an infinity.

    Args:
        client: Of the feed's section.
        feed: What to ask for.
        at: Unix time of the present; nothing later is looked at.
        timeout_seconds: Less time than the client's limits grant.

    Raises:
        ServerUnavailableError: As `PrometheusClient.instant`, as are the others.
    """
    answer = client.instant(feed.instant_query(), at, timeout_seconds=timeout_seconds)
    return present(feed, answer)


def present(feed: Feed, answer: Answer) -> Present:
    """What an answer to `Feed.instant_query` says of each target."""
    values: dict[str, tuple[float, float]] = {}
    ambiguous: dict[str, str] = {}
    for target, series in by_target(feed, answer.series).items():
        parts: dict[str, list[LabelledSeries]] = {"value": [], "at": []}
        for one in series:
            parts.setdefault(one.labels.get(promql.PART, ""), []).append(one)
        if len(parts["value"]) > 1:
            ambiguous[target] = _twice(feed, target, *parts["value"][:2])
        elif parts["value"] and parts["at"]:
            value = float(parts["value"][0].values[0]) * feed.sensor.factor
            at = float(parts["at"][0].values[0])
            if np.isfinite(value) and np.isfinite(at):
                values[target] = (at, value)
    return Present(values, ambiguous, answer.warnings)


@dataclass(frozen=True)
class Past:
    """Past values of a feed.

    Attributes:
        values: Target -> its points in the sensor's unit, finite, ascending, at least one; a target never seen is absent.
        ambiguous: Target -> why it has none although there are series of it.
    """

    values: Mapping[str, LabelledSeries]
    ambiguous: Mapping[str, AmbiguousSeriesError]


def read_past(client: PrometheusClient, feed: Feed, start: float, end: float, step: float) -> Past:
    """Ask for past values of every target of a feed; one with ambiguous labels costs the others nothing.

    Args:
        client: Of the feed's section.
        feed: What to ask for.
        start: Unix time, inclusive.
        end: Unix time, exclusive.
        step: Seconds; values stand at its whole multiples.

    Raises:
        ServerUnavailableError: As `PrometheusClient.range`, as are the others.
    """
    steps = max(1, int((end - start) / step) + 1)
    chunk = max(1, _CHUNK_POINTS // steps)
    found: dict[str, LabelledSeries] = {}
    ambiguous: dict[str, AmbiguousSeriesError] = {}
    for first in range(0, len(feed.targets), chunk):
        some = feed.only(feed.targets[first : first + chunk])
        answer = client.range(some.range_query(), start, end, step, series=len(some.targets))
        for target, series in by_target(some, answer.series).items():
            try:
                one = _merged(feed, target, series)
            except AmbiguousSeriesError as error:
                ambiguous[target] = error
                continue
            if one.seconds.size:
                found[target] = one
    return Past(found, ambiguous)


def count_raw(client: PrometheusClient, feed: Feed, start: float, end: float) -> dict[str, int]:
    """How many raw samples the server holds of every target of a feed.

    What a day was read from is told from what is there now by this number: it grows when samples arrive late.

    Args:
        client: Of the feed's section.
        feed: Whose raw series are counted.
        start: Unix time.
        end: Unix time, > start.

    Returns:
        Target -> how many, all its series together; 0 for one that was never seen.

    Raises:
        ServerUnavailableError: As `PrometheusClient.instant`, as are the others.
    """
    counts = dict.fromkeys(feed.targets, 0)
    answer = client.instant(feed.count_query(end - start), end)
    for target, series in by_target(feed, answer.series).items():
        counts[target] = int(sum(float(one.values[-1]) for one in series))
    return counts


def _merged(feed: Feed, target: str, series: Sequence[LabelledSeries]) -> LabelledSeries:
    """The series of one target as one, without what is no number, in the sensor's unit."""
    seconds = np.concatenate([one.seconds for one in series])
    values = np.concatenate([one.values for one in series]) * feed.sensor.factor
    order = np.argsort(seconds, kind="stable")
    seconds, values = seconds[order], values[order]
    if (seconds[1:] == seconds[:-1]).any():
        raise AmbiguousSeriesError(_twice(feed, target, *_overlapping(series)))
    known = np.isfinite(values)
    return LabelledSeries(series[0].labels, seconds[known], values[known])


def _overlapping(series: Sequence[LabelledSeries]) -> tuple[LabelledSeries, LabelledSeries]:
    for place, one in enumerate(series):
        for other in series[:place]:
            if np.intersect1d(one.seconds, other.seconds).size:
                return other, one
    return series[0], series[-1]


def _twice(feed: Feed, target: str, one: LabelledSeries, other: LabelledSeries) -> str:
    return (
        f"section {feed.section.name}, sensor {feed.sensor.sensor}: target {target} has two series, {_labels(one)} and "
        f"{_labels(other)}; aggregate them in the query (sum by ($by)), or name more labels"
    )


def _labels(series: LabelledSeries) -> str:
    pairs = sorted((name, value) for name, value in series.labels.items() if name != promql.PART)
    return "{" + ", ".join(f"{name}={promql.quoted(value)}" for name, value in pairs) + "}"
