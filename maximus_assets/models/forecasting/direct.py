"""Direct regression: for each stretch of steps ahead, a ridge regression on what is known at the origin.

What makes it hard is how little a few days of history say about a day ahead: errors that overlap are not new evidence,
and the spread of an ordinary ridge, towards zero, is no sensible forecast. So coefficients are shrunk towards a mean of
simple forecasts (persistence, yesterday, last week, the usual value, each with and without correction of the level),
whose shares are themselves held near equal ones until there is evidence; and forecasts shrunk more and less are
averaged. Every row of every day is formed once; what a day's refit needs are sums of products up to that day, old ones
weighing less.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from maximus_assets.features.events import Event, windows
from maximus_assets.models.forecasting.base import Array, day_steps, require_history, week_steps
from maximus_assets.models.forecasting.mixing import shares
from maximus_assets.models.forecasting.rolling import HOUR_SECONDS, ROWS_AT_ONCE, hour_bins
from maximus_assets.pyfuncs.components import Component, Direct
from maximus_assets.pyfuncs.direct import Rows, bucket_edges, columns, event_columns, simple_forecasts, usual
from maximus_assets.pyfuncs.past import Index, Past, fill

HALF_LIFE_DAYS: Final = 21.0
"""Age at which a row weighs half."""

SHARE_PRIOR: Final = 20.0
"""Independent errors that equal shares of the simple forecasts are worth."""

RIDGE_PRIORS: Final = (5.0, 40.0)
"""Independent errors that the mean of simple forecasts is worth in each regression; their forecasts are averaged, with
that mean itself."""

VIEWS: Final = (2, 5, 6, 7, 8)
"""Simple forecasts by which outliers are told: the last hour, yesterday, last week, the usual value of day and week. An
incident is what none of them expects; after a lasting shift the first of them soon does."""

OUTLIER_RATIO: Final = 10.0
"""A row whose least error among the views is this many median ones weighs half (a Cauchy weight)."""

BOUND_DAYS: Final = 14
BOUND_QUANTILES: Final = (0.025, 0.975)
BOUND_MARGIN: Final = 0.05
"""What is looked up in the past is brought back to within these quantiles of the last days, widened by this share of
their distance: an incident is no season."""

DAY_KEEP: Final = 0.75
WEEK_KEEP: Final = 0.6
"""Weight of a day, or week, in the usual value, relative to the one after it."""


@dataclass(frozen=True)
class _Blocks:
    """What rows look up, by the bin from which on it is known: usual values and bounds, relative to the offset."""

    ends: Index
    day: Array
    week: Array
    bounds: Array


class DirectRegression:
    """Ridge regressions by stretch of steps ahead, shrunk towards simple forecasts."""

    name = "direct"

    def __init__(self, events: Sequence[Event] = ()) -> None:
        """Take the events that are known, past and to come."""
        self.events = windows(events)

    def minimum_bins(self, step_seconds: int) -> int:
        """A day and a half."""
        return max(8, 3 * day_steps(step_seconds) // 2)

    def fit(
        self, values: Array, start_epoch_seconds: int, step_seconds: int, horizon_steps: int
    ) -> Component:
        """There is no structure to choose: estimate on the whole.

        Raises:
            ShortHistoryError: There is less than a day and a half, or more than half of the bins are missing.
        """
        require_history(values, self.minimum_bins(step_seconds), step_seconds)
        return self._estimate(values, start_epoch_seconds, step_seconds, horizon_steps, [len(values)])[0]

    def refit(
        self,
        component: Component,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """Estimate anew; the rows are shared."""
        horizon = component.horizon_steps
        return self._estimate(values[: begins[-1]], start_epoch_seconds, step_seconds, horizon, begins)

    def _estimate(
        self,
        values: Array,
        start_epoch_seconds: int,
        step_seconds: int,
        horizon_steps: int,
        begins: Sequence[int],
    ) -> list[Component]:
        """A component for each of `begins`, the last of which is the length of `values`."""
        day, week = day_steps(step_seconds), week_steps(step_seconds)
        phase = start_epoch_seconds // step_seconds
        past = fill(values[:, None], day)
        served = _blocks(past, np.array(begins, dtype=np.int64), phase, step_seconds)
        coefficients = _coefficients(
            past,
            values,
            phase,
            step_seconds=step_seconds,
            horizon_steps=horizon_steps,
            begins=begins,
            events=self.events,
        )
        offset = float(past.offset[0])
        return [
            Direct(
                method=DirectRegression.name,
                step_seconds=step_seconds,
                # With a week behind it, what it has learnt leans on the week.
                minimum_bins=week + max(1, day // 2) if begin > week + day else day,
                horizon_steps=horizon_steps,
                coefficients=coefficients[index].ravel(),
                day=served.day[index] + offset,
                week=served.week[index] + offset,
                bounds=served.bounds[index] + offset,
                events=self.events.ravel(),
            )
            for index, begin in enumerate(begins)
        ]


def _blocks(past: Past, ends: Index, phase: int, step_seconds: int) -> _Blocks:
    """Usual values and bounds as they are known before each of `ends`."""
    day, week, hour = day_steps(step_seconds), week_steps(step_seconds), hour_bins(step_seconds)
    filled = past.filled[:, 0]
    bounds = np.empty((len(ends), 2))
    days, weeks = np.empty((len(ends), day)), np.empty((len(ends), week))
    for index, end in enumerate(ends):
        low, high = np.quantile(filled[max(0, end - BOUND_DAYS * day) : end], BOUND_QUANTILES)
        margin = BOUND_MARGIN * (high - low)
        bounds[index] = low - margin, high + margin
        # No more than the weights still tell apart from nothing.
        first = max(0, end - 10 * week)
        tamed = np.clip(filled[first:end], *bounds[index])
        days[index] = usual(tamed, phase + int(first), day, keep=DAY_KEEP, width=hour)
        if len(tamed) >= week:
            weeks[index] = usual(tamed, phase + int(first), week, keep=WEEK_KEEP, width=hour)
        else:
            weeks[index] = np.resize(days[index], week)
    return _Blocks(ends, days, weeks, bounds)


def _coefficients(
    past: Past,
    values: Array,
    phase: int,
    *,
    step_seconds: int,
    horizon_steps: int,
    begins: Sequence[int],
    events: Array,
) -> Array:
    """Shape (begins, stretches, columns)."""
    day, every, length = day_steps(step_seconds), hour_bins(step_seconds), len(values)
    simple = simple_forecasts(step_seconds)
    edges = bucket_edges(horizon_steps, step_seconds)
    coefficients = np.empty((len(begins), len(edges) - 1, simple.shape[1]))
    # On whole hours, and with what was known at the last midnight: rows are the same whatever day asks for them.
    origin = np.arange(-phase % every, length, every, dtype=np.int64)
    origin = origin[origin >= day]
    if not len(origin):
        coefficients[:] = simple.mean(axis=0)
        return coefficients
    midnights = np.arange(-phase % day, length, day, dtype=np.int64)
    midnights = midnights[midnights > 0] if day > 1 else midnights[midnights >= 1]
    known = _blocks(past, midnights, phase, step_seconds)
    block = np.searchsorted(midnights, origin, "right") - 1
    sums = _Sums(
        simple,
        edges,
        origin,
        horizon_steps=horizon_steps,
        begins=begins,
        day=day,
        events=event_columns(step_seconds),
    )
    padded = np.concatenate([values - past.offset[0], np.full(horizon_steps, np.nan)])
    for first in range(0, len(origin), ROWS_AT_ONCE):
        some = slice(first, first + ROWS_AT_ONCE)
        rows = Rows(
            origin=origin[some],
            column=np.zeros(len(origin[some]), dtype=np.int64),
            day=known.day,
            week=known.week,
            low=known.bounds[:, 0],
            high=known.bounds[:, 1],
            block=block[some],
            events=(events,),
        )
        epoch = step_seconds * (phase + origin[some])
        x, anchor = columns(past, rows, horizon_steps, epoch, step_seconds)
        y = padded[origin[some][:, None] + np.arange(horizon_steps)] - anchor[:, None]
        sums.add(some, x, y)
    sums.accumulate()
    for index, last in enumerate(edges[1:]):
        lead = last * step_seconds / HOUR_SECONDS
        for at in range(len(begins)):
            evidence = float(sums.weight[at, index]) / (last - edges[index]) / (1.0 + lead)
            coefficients[at, index] = _solve(
                sums.products[at, index], simple, evidence, event_columns(step_seconds)
            )
    return coefficients


class _Sums:
    """Weighted sums of products of columns and outcome, by stretch, of what is known at each begin.

    Attributes:
        products: Shape (begins, stretches, columns + 1, columns + 1), the outcome last.
        weight: Sums of the weights, shape (begins, stretches).
    """

    def __init__(
        self,
        simple: Array,
        edges: Sequence[int],
        origin: Index,
        *,
        horizon_steps: int,
        begins: Sequence[int],
        day: int,
        events: Index,
    ) -> None:
        size = simple.shape[1] + 1
        self.products = np.zeros((len(begins), len(edges) - 1, size, size))
        self.weight = np.zeros((len(begins), len(edges) - 1))
        self._views, self._stretches, self._day = simple[list(VIEWS)].T, list(pairwise(edges)), day
        self._begins, self._half_life = np.asarray(begins), HALF_LIFE_DAYS * day
        self._origin, self._target = origin, origin[:, None] + np.arange(horizon_steps)
        self._error = np.full(self._target.shape, np.nan)
        self._events = events

    def add(self, some: slice, x: Array, y: Array) -> None:
        """Add rows; those of earlier origins have been added before.

        Args:
            some: Which of the origins.
            x: Their columns, shape (k, horizon, columns).
            y: Their outcomes, NaN where there is none, shape (k, horizon).
        """
        self._error[some] = np.abs(y[..., None] - x @ self._views).min(axis=2)
        target = self._target[some]
        segment = np.searchsorted(self._begins, target, "right")
        for index, (first, last) in enumerate(self._stretches):
            seen = np.isfinite(y[:, first:last])
            # An event is no outlier, however large: it was announced.
            announced = x[:, first:last, self._events].any(axis=2)
            trust = np.where(announced, 1.0, self._trust(some, first, last))
            here = segment[:, first:last]
            low, high = int(here.min()), min(int(here.max()) + 1, len(self._begins))
            for at in range(low, high):
                mine = np.flatnonzero(((here == at) & seen).any(axis=1))
                if not len(mine):
                    continue
                within = slice(int(mine[0]), int(mine[-1]) + 1)
                new = ((here == at) & seen)[within]
                rows = np.concatenate(
                    [x[within, first:last][new], y[within, first:last][new][:, None]], axis=1
                )
                age = (self._begins[at] - target[within, first:last][new]) / self._half_life
                weight = trust[within][new] * 0.5**age
                self.products[at, index] += (rows * weight[:, None]).T @ rows
                self.weight[at, index] += weight.sum()

    def accumulate(self) -> None:
        """To what was new at each begin add what was known at the one before, faded."""
        for at in range(1, len(self._begins)):
            fade = 0.5 ** ((self._begins[at] - self._begins[at - 1]) / self._half_life)
            self.products[at] += fade * self.products[at - 1]
            self.weight[at] += fade * self.weight[at - 1]

    def _trust(self, some: slice, first: int, last: int) -> Array:
        """Cauchy weights of rows by their error, relative to the median of the days before; 1 on the first."""
        error, of_day = self._error[some, first:last], self._target[some, first:last] // self._day
        trust = np.ones_like(error)
        for each in range(int(of_day.min()), int(of_day.max()) + 1):
            begin, end = np.searchsorted(
                self._origin, [(each - BOUND_DAYS) * self._day - last, each * self._day]
            )
            recent = self._error[begin:end, first:last]
            recent = recent[np.isfinite(recent) & (self._target[begin:end, first:last] < each * self._day)]
            usual_error = float(np.median(recent)) if len(recent) else 0.0
            if usual_error > 0.0:
                mine = of_day == each
                trust[mine] = 1.0 / (1.0 + (np.nan_to_num(error[mine]) / (OUTLIER_RATIO * usual_error)) ** 2)
        return trust


def _solve(products: Array, simple: Array, evidence: float, events: Index) -> Array:
    """The mean of the regressions shrunk more and less, `events` being the columns of events, shape (columns,)."""
    equal = np.full(len(simple), 1.0 / len(simple))
    errors = np.concatenate([-simple, np.ones((len(simple), 1))], axis=1)
    centre = shares(errors @ products @ errors.T, evidence, equal, SHARE_PRIOR) @ simple
    if evidence <= 0.0:
        return np.asarray(centre)
    gram, moments = products[:-1, :-1], products[:-1, -1]
    spread = np.diag(gram)
    left = moments - gram @ centre
    found = [centre]
    for prior in RIDGE_PRIORS:
        penalty = prior / evidence * spread + 1e-9 * spread.max() + np.finfo(np.float64).tiny
        found.append(centre + np.linalg.solve(gram + np.diag(penalty), left))
    mixed = np.mean(found, axis=0)
    # What an event adds is estimated last, on what the rest leaves: no simple forecast holds it, so none may draw it back.
    held = events[spread[events] > 0.0]
    if len(held):
        mixed[held] = 0.0
        own = gram[np.ix_(held, held)] + 1e-3 * np.diag(spread[held])
        mixed[held] = np.linalg.solve(own, moments[held] - gram[held] @ mixed)
    return np.asarray(mixed)
