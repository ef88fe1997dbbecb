"""What a direct linear forecast looks at: numbers known at the origin that say something about one later bin.

A direct forecast has coefficients of its own for each stretch of steps ahead instead of stepping one bin at a time
(Marcellino, Stock and Watson, Journal of Econometrics 135, 2006; Ben Taieb et al., Expert Systems with Applications 39,
2012). The columns are the level in several windows, the same windows a day and a week ago, the bin's own past, its usual
value by the hour of day and of week, and the calendar. All are differences from the mean of the last day, so that a
series that moves up as a whole is forecast the same.

The hard part is that learning and serving must agree to the bit: a row is one origin of one series, whether the rows
are many origins of one history or the present of many series.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from maximus_assets.features.calendar import DAY_SECONDS, WEEK_SECONDS, column_count, fourier_columns
from maximus_assets.features.events import within
from maximus_assets.pyfuncs.past import Array, Index, Past

LEVEL_SECONDS: Final = (900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
"""Windows that end at the origin, besides the last bin."""

THEN_SECONDS: Final = (3600, 10_800, 21_600)
"""Windows that end a day, or a week, before the origin."""

BUCKET_SECONDS: Final = (300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
"""Ends of the stretches that share coefficients; beyond the last, a day each."""

DAY_HARMONICS: Final = 3
WEEK_HARMONICS: Final = 2

_FIXED: Final = ("usual_day_now", "usual_week_now", "level_yesterday", "level_last_week", "level_week")
"""Columns after the windows that are the same for every step ahead, in order."""

_MOVING: Final = (
    *("one", "one_around", "two_around", "seven", "seven_around", "usual_day", "usual_week"),
    *("event", "event_one", "event_seven"),
)
"""Columns that look up the bin that is forecast, one, two or seven days before it, in order; the last three are 1 where
it, or what was a day or a week before it, lies within an event."""


@dataclass(frozen=True)
class Rows:
    """Origins to forecast from.

    Attributes:
        origin: First bin that is not known, as a row of the past, shape (k,).
        column: Series of the past, shape (k,).
        day: Usual value at each bin of the day, relative to the past's offset, shape (blocks, day).
        week: The same of the week, shape (blocks, week).
        low: Least that a value looked up in the past counts as, relative to the offset, shape (blocks,).
        high: Most that it counts as, shape (blocks,).
        block: Which of the blocks a row uses, shape (k,).
        events: Of each series, what `features.events.windows` gives; empty where no series has any.
    """

    origin: Index
    column: Index
    day: Array
    week: Array
    low: Array
    high: Array
    block: Index
    events: tuple[Array, ...] = ()


def bucket_edges(horizon_steps: int, step_seconds: int) -> list[int]:
    """Steps at which stretches begin and end, from 0 to the horizon."""
    last = horizon_steps * step_seconds
    ends = [*BUCKET_SECONDS, *range(2 * DAY_SECONDS, last + DAY_SECONDS, DAY_SECONDS)]
    return sorted({0, horizon_steps, *(end // step_seconds for end in ends if step_seconds <= end < last)})


def columns(
    past: Past, rows: Rows, horizon_steps: int, epoch_seconds: Index, step_seconds: int
) -> tuple[Array, Array]:
    """The columns of every row and step ahead.

    Args:
        past: Filled values; every row has at least a bin before its origin.
        rows: Where to forecast from.
        horizon_steps: How many steps ahead.
        epoch_seconds: Instant of each row's origin, shape (k,).
        step_seconds: Width of a bin.

    Returns:
        Shape (k, horizon, columns), and the level they are relative to, itself relative to the past's offset, shape (k,).
    """
    day, week = max(1, DAY_SECONDS // step_seconds), max(7, WEEK_SECONDS // step_seconds)
    hour = max(1, 3600 // step_seconds)
    o, c = rows.origin, rows.column
    horizon = np.arange(horizon_steps)

    def window(end: Index, width: int, column: Index) -> Array:
        end = np.maximum(end, 1)
        return past.mean(np.maximum(end - width, 0), end, column)

    low, high = rows.low[rows.block], rows.high[rows.block]

    def tame(values: Array) -> Array:
        shape = (-1, *(1,) * (values.ndim - 1))
        return np.clip(values, low.reshape(shape), high.reshape(shape))

    anchor = window(o, day, c)
    has_week = o >= week + 1
    week_ago = np.where(has_week, o - week, np.maximum(o - day, 1))
    widths, then = _windows(step_seconds)
    phase = epoch_seconds // step_seconds
    usual_day = _trailing(rows.day, hour)[rows.block, (phase - 1) % day]
    usual_week = _trailing(rows.week, hour)[rows.block, (phase - 1) % week]
    fixed = [
        *(window(o, width, c) - anchor for width in widths),
        *(tame(window(o - day, width, c)) - anchor for width in then),
        *(tame(window(week_ago, width, c)) - anchor for width in then),
        usual_day - anchor,
        usual_week - anchor,
        window(o - day, day, c) - anchor,
        np.where(has_week, window(o - week, day, c), anchor) - anchor,
        window(o, week, c) - anchor,
    ]

    target = o[:, None] + horizon[None, :]
    known, series = o[:, None], c[:, None]
    half = hour // 2

    def around(index: Index) -> Array:
        index = np.maximum(index, 0)
        return past.mean(np.maximum(index - half, 0), np.minimum(index + half + 1, known), series)

    days_back = day * (horizon // day + 1)
    weeks_back = week * (horizon // week + 1)
    one, two = target - days_back, target - days_back - day
    seven = target - weeks_back
    two = np.where(two >= 0, two, one)
    seven = np.where(seven >= 0, seven, one)
    base = anchor[:, None]
    at = phase[:, None] + horizon[None, :]
    block = rows.block[:, None]
    moving = [
        tame(past.at(np.maximum(one, 0), series)) - base,
        tame(around(one)) - base,
        tame(around(two)) - base,
        tame(past.at(np.maximum(seven, 0), series)) - base,
        tame(around(seven)) - base,
        rows.day[block, at % day] - base,
        rows.week[block, at % week] - base,
        *(_events(rows, step_seconds * (at - back)) for back in (0, days_back, weeks_back)),
    ]
    # The calendar repeats with the week, so its columns are looked up, not computed for every row.
    calendar = fourier_columns(step_seconds * np.arange(week, dtype=np.int64), *_harmonics(step_seconds))
    count = len(fixed) + len(moving) + calendar.shape[1]
    x = np.empty((len(o), horizon_steps, count))
    for index, values in enumerate(fixed):
        x[:, :, index] = values[:, None]
    for index, values in enumerate(moving, start=len(fixed)):
        x[:, :, index] = values
    x[:, :, len(fixed) + len(moving) :] = calendar[at % week]
    return x, anchor


def column_total(step_seconds: int) -> int:
    """How many columns `columns` gives at a step."""
    windows, then = _windows(step_seconds)
    day, week = _harmonics(step_seconds)
    return len(windows) + 2 * len(then) + len(_FIXED) + len(_MOVING) + column_count(day, week)


def event_columns(step_seconds: int) -> Index:
    """Which columns tell of events, in order."""
    now, then = _windows(step_seconds)
    first = len(now) + 2 * len(then) + len(_FIXED)
    return np.array([first + at for at, name in enumerate(_MOVING) if name.startswith("event")])


def simple_forecasts(step_seconds: int) -> Array:
    """Forecasts that need no estimation, as coefficients of the columns, shape (forecasts, columns).

    They are the level of the last day, bin, hour, three hours and week; yesterday, last week and the usual value of day
    and week; and these with the level corrected by what the last hour, or day, was above the same time then.
    """
    windows, then = _windows(step_seconds)
    hour, three = max(1, 3600 // step_seconds), max(1, 10_800 // step_seconds)
    first = len(windows) + 2 * len(then)
    place = {name: first + index for index, name in enumerate((*_FIXED, *_MOVING))}
    now, day_then = windows.index(hour), len(windows) + then.index(hour)
    week_then = len(windows) + len(then) + then.index(hour)
    mixes: list[dict[int, float]] = [
        {},
        {windows.index(1): 1.0},
        {now: 1.0},
        {windows.index(three): 1.0},
        {place["level_week"]: 1.0},
        *({place[name]: 1.0} for name in ("one_around", "seven_around", "usual_day", "usual_week")),
        *({place[name]: 1.0} for name in ("seven", "one")),
        {place["one_around"]: 1.0, now: 1.0, day_then: -1.0},
        {place["seven_around"]: 1.0, now: 1.0, week_then: -1.0},
        {place["usual_day"]: 1.0, now: 1.0, place["usual_day_now"]: -1.0},
        {place["usual_week"]: 1.0, now: 1.0, place["usual_week_now"]: -1.0},
        {place["one_around"]: 1.0, place["level_yesterday"]: -1.0},
        {place["seven_around"]: 1.0, place["level_last_week"]: -1.0},
        {place["one_around"]: 0.5, place["two_around"]: 0.5},
    ]
    simple = np.zeros((len(mixes), column_total(step_seconds)))
    for row, mix in enumerate(mixes):
        for column, share in mix.items():
            simple[row, column] += share
    return simple


def forecast(
    past: Past,
    rows: Rows,
    coefficients: Array,
    *,
    horizon_steps: int,
    epoch_seconds: Index,
    step_seconds: int,
    steps: int | None = None,
) -> Array:
    """Forecast from every row.

    Args:
        past: Filled values.
        rows: Where to forecast from.
        coefficients: By block, shape (blocks, stretches, columns).
        horizon_steps: The horizon they were learnt for, which says where the stretches end.
        epoch_seconds: Instant of each row's origin, shape (k,).
        step_seconds: Width of a bin.
        steps: How many steps ahead, at most the horizon; None for all.

    Returns:
        In the series' unit, shape (k, steps).
    """
    wanted = horizon_steps if steps is None else steps
    x, anchor = columns(past, rows, wanted, epoch_seconds, step_seconds)
    ahead = np.empty((len(rows.origin), wanted))
    edges = bucket_edges(horizon_steps, step_seconds)
    for index, (begin, end) in enumerate(pairwise(edges)):
        if begin < wanted:
            ahead[:, begin:end] = np.einsum("khf,kf->kh", x[:, begin:end], coefficients[rows.block, index])
    return ahead + (anchor + past.offset[rows.column])[:, None]


def usual(filled: Array, phase: int, period: int, *, keep: float, width: int) -> Array:
    """The usual value at each bin of a period: recent periods weigh more.

    Args:
        filled: One series up to now, not empty, shape (n,).
        phase: Where in its period, counted from the Unix epoch, bin 0 lies.
        period: Bins in the period.
        keep: Weight of a period relative to the one after it, in (0, 1).
        width: Bins of the centred mean that smooths it.

    Returns:
        Shape (period,); the mean of all where there is no whole period.
    """
    count = len(filled) // period
    if not count:
        return np.full(period, filled.mean())
    weights = keep ** np.arange(count - 1, -1, -1.0)
    begin = len(filled) - count * period
    profile = np.empty(period)
    at = (phase + begin + np.arange(period)) % period
    profile[at] = weights @ filled[begin:].reshape(count, period) / weights.sum()
    return _centred(profile, width)


def _events(rows: Rows, epoch_seconds: Index) -> Array:
    """1 where a row's instants lie within an event of its series, shape (k, horizon)."""
    found = np.zeros(epoch_seconds.shape)
    for series, covered in enumerate(rows.events):
        if len(covered):
            mine = rows.column == series
            found[mine] = within(covered, epoch_seconds[mine])
    return found


def _windows(step_seconds: int) -> tuple[list[int], list[int]]:
    """Bins in the windows that end at the origin, and in those that end a day or a week before it."""
    now = sorted({1, *(max(1, seconds // step_seconds) for seconds in LEVEL_SECONDS)})
    return now, sorted({max(1, seconds // step_seconds) for seconds in THEN_SECONDS})


def _harmonics(step_seconds: int) -> tuple[int, int]:
    day, week = max(1, DAY_SECONDS // step_seconds), max(7, WEEK_SECONDS // step_seconds)
    return min(DAY_HARMONICS, (day - 1) // 2), min(WEEK_HARMONICS, (week - 1) // 2)


def _centred(profile: Array, width: int) -> Array:
    half = width // 2
    wrapped = np.concatenate([profile[len(profile) - half :], profile, profile[:half]])
    sums = np.concatenate([[0.0], np.cumsum(wrapped)])
    return np.asarray((sums[2 * half + 1 :] - sums[: len(profile)]) / (2 * half + 1))


def _trailing(profiles: Array, width: int) -> Array:
    """Mean of a phase and the `width - 1` before it, shape as given."""
    wrapped = (
        np.concatenate([profiles[:, profiles.shape[1] - width + 1 :], profiles], axis=1)
        if width > 1
        else profiles
    )
    sums = np.concatenate([np.zeros((len(profiles), 1)), np.cumsum(wrapped, axis=1)], axis=1)
    return np.asarray((sums[:, width:] - sums[:, : profiles.shape[1]]) / width)
