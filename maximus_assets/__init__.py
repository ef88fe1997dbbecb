"""The learning half: telemetry in, features, models, gates, registry, as Dagster software-defined assets.

Nothing here imports `serving`. What is learnt crosses to it only through the model registry.
"""
