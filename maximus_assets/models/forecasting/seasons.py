"""The season of a series as it was known at many times: what a bin of the day, or of the week, adds to the level.

An additive season around the mean of each day, corrected once a day by an exponentially weighted mean whose gain falls
as 1/n until it reaches a stated one, so that the first days weigh alike (a running mean is the case of gain zero:
classical decomposition). The week's part is what its days add to the day's, drawn a little to nothing while few weeks
have been seen. Deviation from the textbook's exponential smoothing, where the season takes a share of the one-step error: at
steps of minutes the level takes nearly all of that error, and the admissible share (below one less the level's gain;
Hyndman, Koehler, Ord and Snyder, 2008, section 10.2) is too small to learn a day in weeks.

An incident is no season: a surprise counts up to `OUTLIER` times the usual one (robust exponential smoothing; Gelper, Fried
and Croux, Journal of Forecasting 29, 2010).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from maximus_assets.models.forecasting.base import Array, day_steps, validation_start
from maximus_assets.models.forecasting.rolling import hour_bins
from maximus_assets.pyfuncs.components import Smoothing

OUTLIER: Final = 4.0
"""How many usual surprises a surprise counts as at most."""

SCALE_KEEP: Final = 0.8
"""Weight of the usual surprise of the days before, against that of the last day."""

WEEK_DAYS: Final = 7

WEEK_PRIOR: Final = 0.3
"""Weeks without a week's shape that are taken to have been seen before the first."""


@dataclass(frozen=True)
class Season:
    """What kind of season.

    Attributes:
        days: 0 (none), 1 or 7.
        gain: Least share of a day's surprise that it takes, in [0, 1].
    """

    days: int
    gain: float


@dataclass(frozen=True)
class Material:
    """What components are made from.

    Attributes:
        values: Grid bins in the series' unit, shape (n,), NaN where missing.
        start_epoch_seconds: Start of the first bin.
        step_seconds: Width of a bin.
        horizon_steps: How many steps ahead they are for.
    """

    values: Array
    start_epoch_seconds: int
    step_seconds: int
    horizon_steps: int

    @property
    def phase(self) -> int:
        """Bins from the Unix epoch to the first one."""
        return self.start_epoch_seconds // self.step_seconds


def seasons(made_from: Material, begins: Sequence[int], kind: Season) -> list[Array]:
    """The season as it is known at each begin, from the whole days before it.

    Args:
        made_from: The series.
        begins: Bins, ascending, at most its length. Nothing from a begin on is used for it.
        kind: Which season.

    Returns:
        For each begin, indexed from the Unix epoch, in the series' unit: of length 1, a day, or a week. Zeros where no
        whole day, or for the week no whole week, precedes it.
    """
    day = day_steps(made_from.step_seconds)
    if not kind.days:
        return [np.zeros(1) for _ in begins]
    phase, width = made_from.phase, hour_bins(made_from.step_seconds)
    whole = made_from.values[: begins[-1] // day * day].reshape(-1, day)
    means = _day_means(whole)
    of_day, of_week = _Tracked(1, day, kind.gain), _Tracked(WEEK_DAYS, day, kind.gain)
    found: list[Array] = []
    last = -1
    for begin in begins:
        for at in range(last + 1, begin // day):
            of_day.take(0, whole[at] - means[at])
            if kind.days == WEEK_DAYS and at >= WEEK_DAYS - 1:
                level = _mean(means[at - WEEK_DAYS + 1 : at + 1])
                # The first week is known as a whole when its last day is.
                for each in range(at + 1) if at == WEEK_DAYS - 1 else (at,):
                    of_week.take(each % WEEK_DAYS, whole[each] - level - of_day.profile[0], prior=WEEK_PRIOR)
        last = max(last, begin // day - 1)
        profile = of_day.profile[0]
        if kind.days == WEEK_DAYS:
            profile = (of_week.profile + of_day.profile).ravel()
        found.append(np.roll(_centred(profile, width), phase % len(profile)))
    return found


def kinds(length: int, step_seconds: int, gains: Sequence[float]) -> list[Season]:
    """The seasons that can be compared on the validation part of a history of `length` bins: none, day, and week.

    The day waits until one whole day precedes that part, the week until eight do.
    """
    known = validation_start(length) // day_steps(step_seconds)
    found = [Season(0, 0.0)]
    for days, needed in ((1, 1), (WEEK_DAYS, WEEK_DAYS + 1)):
        if known >= needed:
            found += [Season(days, gain) for gain in gains]
    return found


def known_days(component: Smoothing) -> int:
    """The days in a component's season: 0, 1 or 7."""
    if len(component.season) == 1:
        return 0
    return WEEK_DAYS if len(component.season) == component.week_steps else 1


class _Tracked:
    """Profiles that are corrected a day at a time.

    Attributes:
        profile: Shape (slots, day).
    """

    def __init__(self, slots: int, day: int, gain: float) -> None:
        self.profile = np.zeros((slots, day))
        self._count = np.zeros((slots, day))
        self._gain, self._usual = gain, 0.0

    def take(self, slot: int, deviation: Array, prior: float = 0.0) -> None:
        """Correct a slot by one day's deviations, NaN where missing; `prior` days of zero count as seen before."""
        known = np.isfinite(deviation)
        if not known.any():
            return
        surprise = np.where(known, deviation - self.profile[slot], 0.0)
        is_first = not self._count[slot].any()
        if self._usual > 0.0 and not is_first:
            surprise = np.clip(surprise, -OUTLIER * self._usual, OUTLIER * self._usual)
        self._count[slot] += known
        gain = np.maximum(self._gain, 1.0 / np.maximum(self._count[slot] + prior, 1.0))
        self.profile[slot] += gain * surprise
        if not is_first:
            size = float(np.median(np.abs(surprise[known])))
            self._usual = SCALE_KEEP * self._usual + (1.0 - SCALE_KEEP) * size if self._usual else size


def _day_means(whole: Array) -> Array:
    """Mean of each day, NaN where less than half of it was seen, shape (days,)."""
    seen = np.isfinite(whole)
    count = seen.sum(axis=1)
    total = np.where(seen, whole, 0.0).sum(axis=1)
    return np.where(2 * count >= whole.shape[1], total / np.maximum(count, 1), np.nan)


def _mean(means: Array) -> float:
    """Mean of those that are known, NaN where none is."""
    known = means[np.isfinite(means)]
    return float(known.mean()) if len(known) else np.nan


def _centred(profile: Array, width: int) -> Array:
    """Centred circular means over `width` bins, and one more where that is even."""
    half = width // 2
    if not half:
        return profile.copy()
    total = profile.copy()
    for shift in range(1, half + 1):
        total += np.roll(profile, shift) + np.roll(profile, -shift)
    return np.asarray(total / (2 * half + 1))
