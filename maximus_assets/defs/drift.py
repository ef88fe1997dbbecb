"""What follows from drift: learning is asked for, without waiting for the night.

A champion that has drifted says so in its tags, which the hourly settlement writes. While it stays champion, learning is
asked for again every few hours: what the demand has become is learnt better the more of it there is. The same when a
champion was demoted and nothing took its place.
"""

from datetime import datetime, timedelta
from typing import Final

import dagster as dg

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.contracts.naming import (
    CHAMPION,
    DEMOTED_RECIPE,
    DRIFT_RECIPE,
    FORECASTER,
    TAG_DEMOTED_AT,
    TAG_DRIFTED_AT,
    challenger,
)
from maximus_assets.defs.automation import CHAIN, retrain
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.forecaster import RECIPE_TAG
from maximus_assets.defs.resources import RegistryResource
from maximus_assets.registry.tracking import Registry, Version

AGAIN_AFTER: Final = timedelta(hours=6)
"""How long what was asked for is left to show what it brings."""


@dg.sensor(
    job=retrain,
    minimum_interval_seconds=300,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for learning when the champion has drifted, or was demoted and nothing took its place.",
)
def retrain_requested(models: RegistryResource) -> dg.SensorResult | dg.SkipReason:
    """Look at what the champion says of itself."""
    with errors_told_to_dagster():
        return look_for_drift(models.registry(), SystemClock())


def look_for_drift(registry: Registry, clock: Clock) -> dg.SensorResult | dg.SkipReason:
    """What `retrain_requested` does at the clock's present.

    It keeps no cursor: the run key names the version, what befell it, and the how-manieth `AGAIN_AFTER` since then it is,
    and Dagster starts one run for a key.
    """
    champion = registry.named(FORECASTER, CHAMPION)
    if champion is not None:
        if TAG_DRIFTED_AT not in champion.tags:
            return dg.SkipReason(f"version {champion.number} is champion and has not drifted")
        return _request(champion, "drifted", champion.tags[TAG_DRIFTED_AT], clock)
    demoted = registry.named(FORECASTER, challenger(DEMOTED_RECIPE))
    if demoted is None:
        return dg.SkipReason("there is no champion that could drift")
    return _request(demoted, "demoted", demoted.tags[TAG_DEMOTED_AT], clock)


def _request(version: Version, what: str, at: str, clock: Clock) -> dg.SensorResult:
    turn = (clock.now() - datetime.fromisoformat(at)) // AGAIN_AFTER
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{what}:{version.number}:{at}:{turn}",
                asset_selection=list(CHAIN[1:]),
                tags={RECIPE_TAG: DRIFT_RECIPE},
            )
        ]
    )
