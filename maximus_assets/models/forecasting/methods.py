"""Which methods there are. A new one is its own file and a line here."""

from typing import Final

from maximus_assets.models.forecasting.base import Forecaster
from maximus_assets.models.forecasting.direct import DirectRegression
from maximus_assets.models.forecasting.sarima import Sarima
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive

BASELINE: Final[Forecaster] = SeasonalNaive()
"""What every other method must not lose to."""

METHODS: Final[tuple[Forecaster, ...]] = (BASELINE, Sarima(), DirectRegression())
"""Every method, the baseline first."""
