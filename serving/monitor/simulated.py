"""The simulated services as a source. The plant is a pure function of time, so it also remembers any past.

Values are read from the plant a stretch at a time and served from there, for asking it anew for each of a thousand
targets would cost more than the turn has.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.catalogue import SERVICE_SENSORS
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, OBSERVED_AT, SENSOR, VALUE, Sample, Series
from maximus_assets.plant.world import Plant
from serving.monitor.source import History

_STRETCH_STEPS: Final = 80


class SimulatedSource:
    """Reads one simulated service for each target.

    Args:
        targets: The simulated targets.
        collect_seconds: Spacing of the plant's own readings.
        plants: Target -> another world than the one its seed gives.
    """

    name = "simulated"

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        collect_seconds: int = COLLECT_SECONDS,
        plants: Mapping[str, Plant] | None = None,
    ) -> None:
        self._targets = tuple(targets)
        self._step = collect_seconds
        self._plants = {target.name: Plant.of(target) for target in targets} | dict(plants or {})
        self._stretches: dict[str, tuple[datetime, list[list[float]]]] = {}

    @property
    def sensors(self) -> dict[str, tuple[str, ...]]:
        """Every service sensor of every target."""
        return {target.name: SERVICE_SENSORS for target in self._targets}

    async def collect(self, now: datetime) -> list[Sample]:
        """Read every sensor once; the values are those of the plant's last step and carry its instant."""
        return await asyncio.to_thread(self.read, now)

    def read(self, now: datetime) -> list[Sample]:
        """What every plant shows at `now`."""
        at = floor_to_step(now, self._step)
        samples: list[Sample] = []
        for target in self._targets:
            row = self._row(target.name, at)
            samples.extend(
                Sample(target.name, sensor, at, value)
                for sensor, value in zip(SERVICE_SENSORS, row, strict=True)
            )
        return samples

    def _row(self, target: str, at: datetime) -> list[float]:
        """The plant's values at a step, in the order of SERVICE_SENSORS."""
        start, rows = self._stretches.get(target, (at, []))
        position = int((at - start).total_seconds()) // self._step
        if not 0 <= position < len(rows):
            # First stretches differ in length, so that a large fleet's do not all end in the same turn.
            steps = _STRETCH_STEPS if rows else 1 + len(self._stretches) % _STRETCH_STEPS
            start, position = at, 0
            end = start + timedelta(seconds=steps * self._step)
            frame = self._plants[target].samples(target, start, end, self._step)
            rows = frame[VALUE].to_numpy().reshape(-1, len(SERVICE_SENSORS)).tolist()
            self._stretches[target] = (start, rows)
        return rows[position]

    async def history(self, series: Series, start: datetime, end: datetime) -> History | None:
        """The plant's own past of one series; None for what is not simulated here."""
        plant = self._plants.get(series.target)
        if plant is None or series.sensor not in SERVICE_SENSORS:
            return None
        return await asyncio.to_thread(self._past, plant, series, start, end)

    def _past(self, plant: Plant, series: Series, start: datetime, end: datetime) -> History:
        frame = plant.samples(series.target, start, end, self._step).filter(pl.col(SENSOR) == series.sensor)
        seconds = frame[OBSERVED_AT].dt.epoch("s").to_numpy().astype(np.float64)
        return History(seconds, frame[VALUE].to_numpy())
