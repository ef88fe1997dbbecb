"""Which methods there are. A new one is its own file and a line here."""

from collections.abc import Sequence
from typing import Final

from maximus_assets.features.events import Event
from maximus_assets.models.forecasting.base import Forecaster
from maximus_assets.models.forecasting.direct import DirectRegression
from maximus_assets.models.forecasting.ets import Ets
from maximus_assets.models.forecasting.level_naive import LevelNaive
from maximus_assets.models.forecasting.sarima import Sarima
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive
from maximus_assets.models.forecasting.theta import Theta

BASELINE: Final[Forecaster] = SeasonalNaive()
"""What every other method must not lose to."""

METHODS: Final[tuple[Forecaster, ...]] = (
    BASELINE,
    LevelNaive(),
    Sarima(),
    Ets(),
    Theta(),
    DirectRegression(),
)
"""Every method, the baseline first; without events."""


def methods(events: Sequence[Event]) -> tuple[Forecaster, ...]:
    """Every method, those that can knowing of the events.

    Args:
        events: Of one series, past and to come.
    """
    if not events:
        return METHODS
    return tuple(DirectRegression(events) if isinstance(each, DirectRegression) else each for each in METHODS)
