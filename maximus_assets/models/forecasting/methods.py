"""Which methods there are. A new one is its own file and a line here."""

from collections.abc import Sequence
from typing import Final

from maximus_assets.features.events import Event
from maximus_assets.models.forecasting.base import Forecaster
from maximus_assets.models.forecasting.direct import DirectRegression
from maximus_assets.models.forecasting.sarima import Sarima
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive

BASELINE: Final[Forecaster] = SeasonalNaive()
"""What every other method must not lose to."""

METHODS: Final[tuple[Forecaster, ...]] = (BASELINE, Sarima(), DirectRegression())
"""Every method, the baseline first; without events."""


def methods(events: Sequence[Event]) -> tuple[Forecaster, ...]:
    """Every method, those that can knowing of the events.

    Args:
        events: Of one series, past and to come.
    """
    return (BASELINE, Sarima(), DirectRegression(events)) if events else METHODS
