"""What a state says of its own first day, to be watched in service.

Belongs here: the forecast that a state makes when it has just been learnt. Does not: what is made of its misses
(`pyfuncs.intervals`). The backtest does the same with the first forecast of each day.
"""

from dataclasses import replace

from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.base import day_steps
from maximus_assets.models.forecasting.rolling import WINDOW_DAYS
from maximus_assets.pyfuncs.boosted import BoostedFleet
from maximus_assets.pyfuncs.forecasting import predict
from maximus_assets.pyfuncs.state import SeriesState
from maximus_assets.pyfuncs.window import SeriesWindow


def with_today(state: SeriesState, history: History, fleet: BoostedFleet | None = None) -> SeriesState:
    """The state with the bounds that it gives for the bins after its history; unchanged where it gives none.

    Args:
        state: Learnt from the whole history.
        history: That history, at least one bin.
        fleet: The model that its `Boosted` component names.
    """
    step = history.step_seconds
    window = history.values[-max(WINDOW_DAYS * day_steps(step), state.minimum_bins) :]
    end = history.start_epoch_seconds + step * (len(history.values) - 1)
    (said,) = predict(
        {(state.target, state.sensor): state},
        [SeriesWindow(state.target, state.sensor, end, window)],
        state.horizon_steps,
        fleet=fleet,
    )
    if said.status != "ok":
        return state
    return replace(state, today_lower=said.lower, today_upper=said.upper, today_from=end + step)
