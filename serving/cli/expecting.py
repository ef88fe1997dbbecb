"""Asks the champion itself, for longer ahead than the loop records.

The loop writes down the hour it acts on; a day ahead for a thousand targets every five minutes would be written for
nobody. So the command line loads the champion as the loop does and lets it answer for one series. That takes seconds,
for MLflow; nothing of it is imported before it is asked.
"""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import MaximusError, Retryable
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.telemetry import GRID_SECONDS, Series
from serving.cli import asking
from serving.monitor.window import WINDOW_BINS, GridWindows

_MOST_POINTS: Final = 2000
_BELIEVED: Final = 1_000_000
"""What was recorded counts as seen better than whatever a source remembers."""


class NoChampionError(Retryable):
    """There is no champion, or it cannot be loaded now; says why."""


class Expected(NamedTuple):
    """An answer of the champion.

    Attributes:
        forecast: The answer.
        away: What it went without, in words.
    """

    forecast: Forecast
    away: tuple[str, ...]


def history(target: str, sensor: str, now: datetime) -> list[dict[str, Any]]:
    """The five-minute means of the last eight days up to the last closed bin, oldest first, as the API gives them.

    Args:
        target: The target.
        sensor: The sensor.
        now: The present instant.

    Raises:
        MaximusError: The gateway refuses, or cannot answer.
    """
    end = datetime.fromtimestamp(int(now.timestamp()) // GRID_SECONDS * GRID_SECONDS, tz=UTC)
    begin = end - timedelta(seconds=GRID_SECONDS * WINDOW_BINS)
    points: list[dict[str, Any]] = []
    while begin < end:
        until = min(end, begin + timedelta(seconds=GRID_SECONDS * _MOST_POINTS))
        said = asking.ask(
            "/api/v1/autonomic/metrics",
            target=target,
            sensor=sensor,
            since=begin.isoformat(),
            until=until.isoformat(),
            step=GRID_SECONDS,
        )
        points += said["points"]
        begin = until
    return points


def expect(
    registry: str, series: Series, points: Sequence[dict[str, Any]], now: datetime, hours: float
) -> Expected:
    """What the champion expects of a series.

    Args:
        registry: Address of the model registry.
        series: The series.
        points: As `history` gives them.
        now: The present instant.
        hours: How far ahead, at most 24.

    Returns:
        The forecast, or one without points whose status says why there is none; and what it went without.

    Raises:
        NoChampionError: Nothing was promoted, the registry does not answer, or the version cannot be used.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from serving.observability import configure_logging
    from serving.predictors.catalogue import Catalogue
    from serving.predictors.inference import read_answer, request_frame

    configure_logging("ERROR")  # what a source has to say of itself is the loop's log, not part of an answer
    catalogue = Catalogue(registry)
    asyncio.run(catalogue.refresh())
    champion = catalogue.champion
    if champion is None:
        raise NoChampionError(catalogue.status)
    windows, away = asyncio.run(filled(series, points, now))
    end_at = windows.last_closed_at(now)
    # The first step ahead is the bin that is filling now.
    steps = min(288, int(hours * 3600) // GRID_SECONDS + 1)
    answer = champion.predict(request_frame([series], windows.values(now), end_at), steps)
    return Expected(read_answer(answer, end_at, champion.version)[series.target], away)


async def filled(
    series: Series, points: Sequence[dict[str, Any]], now: datetime
) -> tuple[GridWindows, tuple[str, ...]]:
    """The window as the loop has it after a start: what was recorded, and before that what the source remembers.

    Args:
        series: The series.
        points: As `history` gives them.
        now: The present instant.

    Returns:
        The window, and why a source could not be asked, in words.
    """
    from serving.wiring import build_sources

    windows = GridWindows([series])
    away: list[str] = []
    for source in build_sources(asking.settings(), SystemClock()):
        if series.target in source.sensors:
            since = now - timedelta(seconds=GRID_SECONDS * WINDOW_BINS)
            try:
                remembered = await source.history(series, since, now)
            except MaximusError as error:
                # A source's past is a bonus, as in the loop: what was recorded is enough to be asked with.
                away.append(f"for its source could not be asked for what came before: {error}")
                continue
            if remembered is not None:
                windows.load(series, remembered, now)
    if points:
        starts = np.array([datetime.fromisoformat(point["at"]).timestamp() for point in points])
        means = np.array([point["value"] for point in points])
        windows.load_bins(series, starts.astype(np.int64), means, np.full(len(points), _BELIEVED), now)
    return windows, tuple(away)
