"""The mean of a forecast: every component asked, their answers mixed, and surprises added.

Components of one kind and shape are asked together across series (`pyfuncs.kinds`). Where a state corrects surprises
(`pyfuncs.intercept`), the same mixture is asked for the hour that has just ended as well.
"""

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.components import Boosted, Component
from maximus_assets.pyfuncs.intercept import hour_and_half, surprises
from maximus_assets.pyfuncs.kinds import KINDS, Kind, Question, of_fleet
from maximus_assets.pyfuncs.past import Array
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow, is_cold


def means(
    states: Sequence[SeriesState],
    windows: Sequence[SeriesWindow],
    horizon_steps: int,
    fleet: BoostedFleet | None = None,
) -> Array:
    """What is expected of every series.

    Args:
        states: One for each window.
        windows: None of them cold.
        horizon_steps: How many steps ahead, within what every state was backtested for.
        fleet: The model that states with a `Boosted` component name.

    Returns:
        In the series' unit, none below its floor, shape (series, horizon).
    """
    backs = [_back(state, window) for state, window in zip(states, windows, strict=True)]
    kinds = KINDS if fleet is None else {**KINDS, Boosted: of_fleet(fleet)}
    found, before = _mixed(states, windows, max([horizon_steps, *backs]), backs, kinds)
    # As it was learnt: what is corrected does not lie below the floor.
    floors = np.array([state.floor for state in states])[:, None]
    found = np.maximum(found, floors)
    for hour in set(backs) - {0}:
        rows = [row for row, back in enumerate(backs) if back == hour]
        _, half = hour_and_half(states[rows[0]].step_seconds)
        expected = np.maximum(before[rows, : 2 * hour], floors[rows])
        surprise = surprises(
            np.stack([windows[row].values[-half:] for row in rows]),
            expected[:, hour - half : hour],
            (found[rows, :hour] - expected[:, hour:]).mean(axis=1),
            np.array([states[row].usual_miss for row in rows]),
        )
        lasts = np.stack([states[row].lasts[:horizon_steps] for row in rows])
        found[rows, :horizon_steps] += surprise[:, None] * lasts
    return np.asarray(np.maximum(found[:, :horizon_steps], floors))


def _back(state: SeriesState, window: SeriesWindow) -> int:
    """Bins of the hour that is looked back on; 0 where surprises are not corrected, or the window is too short for it."""
    hour, _ = hour_and_half(state.step_seconds)
    return hour if state.usual_miss > 0.0 and not is_cold(state, window.values[:-hour]) else 0


def _mixed(
    states: Sequence[SeriesState],
    windows: Sequence[SeriesWindow],
    horizon_steps: int,
    backs: Sequence[int],
    kinds: Mapping[type[Component], Kind],
) -> tuple[Array, Array]:
    """Weighted means of the states' components.

    Returns:
        Of the bins after the windows, shape (series, horizon), beyond a state's own horizon without meaning; and of the
        windows' last bins and as many more as they were expected before them, shape (series, 2 * largest of `backs`).
    """
    means = np.zeros((len(states), horizon_steps))
    before = np.zeros((len(states), 2 * max(backs, default=0)))
    for (kind, end, back, _, longest, _), group in _grouped(
        states, windows, horizon_steps, backs, kinds
    ).items():
        steps = min(horizon_steps, longest)
        asked = Question([windows[row].values for row, _, _ in group], end, steps, back)
        said = kinds[kind].answer([component for _, _, component in group], asked)
        for index, (row, place, _) in enumerate(group):
            share = states[row].by_component[place]
            means[row, :steps] += share[:steps] * said.ahead[index]
            before[row, : 2 * back] += share[: 2 * back] * said.behind[index]
    return means, before


_Key = tuple[type[Component], int, int, int, int, Hashable]


def _grouped(
    states: Sequence[SeriesState],
    windows: Sequence[SeriesWindow],
    horizon_steps: int,
    backs: Sequence[int],
    kinds: Mapping[type[Component], Kind],
) -> dict[_Key, list[tuple[int, int, Component]]]:
    """Components that are asked together: the row of the series, its component's place in the state, the component.

    The key is the kind, the last bin, how many bins back are asked for, the step, the horizon, and what the kind
    adds.
    """
    groups: dict[_Key, list[tuple[int, int, Component]]] = defaultdict(list)
    for row, (state, window, back) in enumerate(zip(states, windows, backs, strict=True)):
        for place, component in enumerate(state.components):
            if state.by_component[place, : max(horizon_steps, 2 * back)].any():
                kind = type(component)
                key = (
                    kind,
                    window.end_epoch_seconds,
                    back,
                    component.step_seconds,
                    component.horizon_steps,
                    kinds[kind].alike(component, window.values),
                )
                groups[key].append((row, place, component))
    return groups
