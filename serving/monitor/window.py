"""The recent past of the forecast series on the grid, kept up to date sample by sample.

One ring of bin sums and counts for each series: a turn adds its samples and never goes over the past again. What makes
it hard is time: a sample may come late, twice or from the future, and the clock may be set. So bins are counted from
the Unix epoch, a sample always goes to the bin of its own instant, and the bin that is still filling is never shown.

Law: what is shown equals `maximus_assets.features.grid.to_grid` of the same samples.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from maximus_assets.contracts.situation import Window
from maximus_assets.contracts.telemetry import GRID_SECONDS, Sample, Series
from serving.monitor.source import History

WINDOW_BINS: Final = 2304
"""Eight days of five-minute bins: one week, and a day to compare it with."""

RECENT_SECONDS: Final = 300.0
"""How far back the largest recent demand looks: also the time a fall must last before less capacity is asked for."""

_SLOT_SECONDS: Final = 5.0
_SLOTS: Final = 64
"""Recent maxima are kept in slots of this width; 64 of them hold 320 s at any period of collection."""

_NEVER: Final = -(2**62)

Floats = npt.NDArray[np.float64]


class GridWindows:
    """The last whole bins of each series, and its largest recent value.

    Args:
        series: The series kept; samples of others are passed over.
        step_seconds: Width of a bin.
        bins: How many whole bins are kept.
    """

    def __init__(
        self, series: Sequence[Series], *, step_seconds: int = GRID_SECONDS, bins: int = WINDOW_BINS
    ) -> None:
        self.series = tuple(series)
        self.dropped: Counter[str] = Counter()
        """Why samples were not taken: `repeated`, `too_old`, `future`."""

        self._row = {(one.target, one.sensor): row for row, one in enumerate(self.series)}
        self._step = step_seconds
        self._bins = bins
        self._capacity = bins + 1  # one more for the bin that is filling
        self.reset()

    def reset(self) -> None:
        """Forget everything, for instance because the clock was set: what is known is loaded again."""
        rows = len(self.series)
        self._head = _NEVER
        self._sums: Floats = np.zeros((rows, self._capacity))
        self._counts: npt.NDArray[np.int32] = np.zeros((rows, self._capacity), dtype=np.int32)
        self._last_seen = [-np.inf] * rows
        self._recent: Floats = np.full((rows, _SLOTS), -np.inf)
        self._recent_slot: npt.NDArray[np.int64] = np.full((rows, _SLOTS), _NEVER, dtype=np.int64)

    # -- taking in --------------------------------------------------------------------------------------------------------

    def observe(self, samples: Sequence[Sample], now: datetime) -> None:
        """Take in what a turn read.

        A sample of an instant already seen last is a repetition (a frozen source) and is dropped, as is one from a bin
        that has not begun, and one older than the window. Drops are counted.

        Args:
            samples: In any order; values finite.
            now: The turn's instant.
        """
        current = self._advance(now)
        for sample in samples:
            row = self._row.get((sample.target, sample.sensor))
            if row is not None:
                self._take(row, sample.observed_at.timestamp(), sample.value, current)

    def _take(self, row: int, at: float, value: float, current: int) -> None:
        number = int(at // self._step)
        if at == self._last_seen[row]:
            self.dropped["repeated"] += 1
        elif number > current:
            self.dropped["future"] += 1
        elif number <= self._head - self._capacity:
            self.dropped["too_old"] += 1
        else:
            self._last_seen[row] = max(at, self._last_seen[row])
            column = number % self._capacity
            self._sums[row, column] += value
            self._counts[row, column] += 1
            self._keep_recent(row, at, value)

    def _keep_recent(self, row: int, at: float, value: float) -> None:
        slot = int(at // _SLOT_SECONDS)
        place = slot % _SLOTS
        if slot > self._recent_slot[row, place]:
            self._recent_slot[row, place] = slot
            self._recent[row, place] = value
        elif slot == self._recent_slot[row, place]:
            self._recent[row, place] = max(value, self._recent[row, place])

    def load(self, series: Series, history: History, now: datetime) -> None:
        """Take in what a source remembers of one series; bins already seen better are kept.

        Args:
            series: One of `series`.
            history: Its past, ascending.
            now: The present instant; what lies after it is passed over.
        """
        current = self._advance(now)
        known = history.seconds < (current + 1) * self._step
        seconds, values = history.seconds[known], history.values[known]
        if not seconds.size:
            return
        numbers = (seconds // self._step).astype(np.int64)
        first = int(numbers[0])
        counts = np.bincount(numbers - first)
        sums = np.bincount(numbers - first, weights=values)
        present = np.flatnonzero(counts)
        self.load_bins(
            series, (present + first) * self._step, sums[present] / counts[present], counts[present], now
        )
        self.load_recent(series, History(seconds[-_SLOTS:], values[-_SLOTS:]))

    def load_recent(self, series: Series, history: History) -> None:
        """Take in the last minutes of one series for `recent_maxima` alone; its bins stay as they are."""
        row = self._row[series.target, series.sensor]
        for at, value in zip(history.seconds.tolist(), history.values.tolist(), strict=True):
            self._keep_recent(row, at, value)
            self._last_seen[row] = max(at, self._last_seen[row])

    def load_bins(
        self,
        series: Series,
        starts: npt.NDArray[np.int64],
        means: Floats,
        counts: npt.NDArray[np.int64],
        now: datetime,
    ) -> None:
        """Take in bins of one series that were averaged elsewhere.

        Two stores may know the same bin; the one that saw more samples in it is believed.

        Args:
            series: One of `series`.
            starts: Unix time of each bin's start, shape (n,), multiples of the step.
            means: Mean of each bin, shape (n,).
            counts: Samples in each bin, shape (n,), >= 1.
            now: The present instant.
        """
        current = self._advance(now)
        row = self._row[series.target, series.sensor]
        numbers = np.asarray(starts, dtype=np.int64) // self._step
        columns = numbers % self._capacity
        held = (numbers > self._head - self._capacity) & (numbers <= current)
        better = held & (counts > self._counts[row, columns])
        self._sums[row, columns[better]] = means[better] * counts[better]
        self._counts[row, columns[better]] = counts[better]

    def _advance(self, now: datetime) -> int:
        """Make room for the present bin; returns its number."""
        current = int(now.timestamp() // self._step)
        if current > self._head:
            fresh = np.arange(max(self._head + 1, current - self._capacity + 1), current + 1) % self._capacity
            self._sums[:, fresh] = 0.0
            self._counts[:, fresh] = 0
            self._head = current
        return current

    # -- giving out -------------------------------------------------------------------------------------------------------

    def last_closed_at(self, now: datetime) -> datetime:
        """Start of the last bin that is whole at `now`."""
        number = int(now.timestamp() // self._step) - 1
        return datetime.fromtimestamp(number * self._step, tz=UTC)

    def values(self, now: datetime) -> Floats:
        """Bin means, oldest first, ending at `last_closed_at`; NaN where nothing was seen.

        Args:
            now: The present instant.

        Returns:
            Shape (series, bins), rows in the order of `series`.
        """
        return self._last_bins(now, self._bins)

    def last_values(self, now: datetime) -> Floats:
        """Mean of each series' last whole bin, shape (series,); NaN where nothing was seen."""
        means: Floats = self._last_bins(now, 1)[:, 0]
        return means

    def _last_bins(self, now: datetime, bins: int) -> Floats:
        last = int(now.timestamp() // self._step) - 1
        means: Floats = np.full((len(self.series), bins), np.nan)
        first = max(last - bins, self._head - self._capacity) + 1
        end = min(last, self._head) + 1
        while first < end:  # at most twice: up to the ring's end, and from its start on
            column = first % self._capacity
            count = min(end - first, self._capacity - column)
            of = slice(column, column + count)
            place = first - (last - bins + 1)
            np.divide(
                self._sums[:, of],
                self._counts[:, of],
                out=means[:, place : place + count],
                where=self._counts[:, of] > 0,
            )
            first += count
        return means

    def seen_bins(self) -> npt.NDArray[np.int64]:
        """How many bins of each series hold samples, the one that is filling included, shape (series,)."""
        seen: npt.NDArray[np.int64] = np.count_nonzero(self._counts, axis=1)
        return seen

    def window(self, series: Series, now: datetime) -> Window:
        """One series as a contract type, without the empty bins before its first."""
        values = self.values(now)[self._row[series.target, series.sensor]]
        seen = np.flatnonzero(~np.isnan(values))
        values = values[seen[0] :] if seen.size else values[:0]
        return Window(
            target=series.target,
            sensor=series.sensor,
            end_at=self.last_closed_at(now),
            values=tuple(None if np.isnan(value) else float(value) for value in values),
        )

    def recent_maxima(self, now: datetime, seconds: float = RECENT_SECONDS) -> Floats:
        """Largest value of each series over the last `seconds`; NaN where there was none.

        Args:
            now: The present instant.
            seconds: Up to 300; the far end is rounded down to the slot it falls in.

        Returns:
            Shape (series,), rows in the order of `series`.
        """
        latest = int(now.timestamp() // _SLOT_SECONDS)
        earliest = int((now.timestamp() - seconds) // _SLOT_SECONDS)
        within = (self._recent_slot >= earliest) & (self._recent_slot <= latest)
        maxima: Floats = np.where(within, self._recent, -np.inf).max(axis=1, initial=-np.inf)
        maxima[np.isneginf(maxima)] = np.nan
        return maxima
