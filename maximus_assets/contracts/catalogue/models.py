"""Sensors of the models in use: how fast they answer, for how much, how wrong they were, how old they are.

They move when a grid bin closes or a champion comes, so they stay fresh for three bins.
"""

from typing import Final

from maximus_assets.contracts.catalogue.declare import declare
from maximus_assets.contracts.sensors import Category, Sensor

_MODELS: Final = Category.MODELS

_BINS: Final = 900.0

MODELS: Final[tuple[Sensor, ...]] = (
    declare(
        "model_inference_ms",
        _MODELS,
        "ms",
        "Mean time one call of the champion took, for up to a hundred series, since the bin before.",
        "loop",
        maximum=1e6,
        thresholds=(2000.0, 10_000.0),
        stale=_BINS,
    ),
    declare(
        "model_series_count",
        _MODELS,
        "count",
        "Series the champion was asked about.",
        "loop",
        maximum=1e6,
        stale=_BINS,
    ),
    declare(
        "model_cold_series_ratio",
        _MODELS,
        "ratio",
        "Share of those for which it had no forecast.",
        "loop",
        stale=_BINS,
    ),
    declare(
        "model_forecast_error_ratio",
        _MODELS,
        "ratio",
        "Absolute error of the forecast made one bin before, over the last closed bin of every series, of what came.",
        "loop",
        maximum=1e6,
        thresholds=(0.5, 1.0),
        stale=_BINS,
    ),
    declare(
        "model_interval_coverage_ratio",
        _MODELS,
        "ratio",
        "Share of series whose last closed bin lay inside its 90 % interval.",
        "loop",
        stale=_BINS,
    ),
    declare(
        "model_input_drift_ratio",
        _MODELS,
        "ratio",
        "Share of series whose last hour lies outside all but the outermost hundredth of the week before it.",
        "loop",
        stale=_BINS,
    ),
    declare(
        "model_champion_age_seconds",
        _MODELS,
        "seconds",
        "Since the champion in use was learnt.",
        "loop",
        maximum=1e10,
        thresholds=(14 * 86_400.0, 60 * 86_400.0),
        stale=_BINS,
    ),
)
"""In the order in which they are shown."""
