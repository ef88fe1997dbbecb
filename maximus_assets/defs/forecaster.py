"""The forecaster: learnt, judged, promoted.

The candidate is a version in the registry. Its gates are judged in a step of their own, from what was registered and
without anything of the process that learnt it, so that they can be judged again later; the champion follows only when
every one of them passed.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.catalogue import DEMAND_SENSORS
from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import Permanent
from maximus_assets.contracts.naming import CANDIDATE, FORECASTER
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.defs.automation import when_gates_pass
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.features import as_markdown
from maximus_assets.defs.pictures import learnt_pictures
from maximus_assets.defs.resources import FramesResource, RegistryResource
from maximus_assets.defs.telemetry import OWNERS, check_result
from maximus_assets.features.table import RECIPE_HASH
from maximus_assets.models.forecasting.learn import learn
from maximus_assets.registry.gates import judge
from maximus_assets.registry.packaging import Origin, log_forecaster
from maximus_assets.registry.promotion import REQUIRED_GATES, promote
from maximus_assets.registry.revision import code_revision
from maximus_assets.registry.tracking import Registry, Version

GATES: Final[dict[str, str]] = {
    "forecaster_beats_seasonal_naive": "On no horizon is it worse than repeating a season by more than 2 % MASE.",
    "interval_coverage_holds": "Its intervals hold the share of outcomes they say they hold.",
    "prediction_is_fast": "A call answers within the time a turn of the loop can spare.",
    "packaged_model_reproduces_training": "Loaded from the registry, it gives the numbers it gave when it was learnt.",
}
"""Every gate of the forecaster and what it says when it passes."""

STALE_AFTER: Final = timedelta(hours=36)
"""Age beyond which a champion is no longer fresh: a night was missed."""


class NothingLearntError(Permanent):
    """No series has enough history to be learnt from."""


class NoCandidateError(Permanent):
    """Nothing was ever learnt."""


@dg.asset(
    io_manager_key="frame_files",
    group_name="forecasting",
    owners=OWNERS,
    kinds={"mlflow", "statsmodels"},
    automation_condition=when_gates_pass(),
    description=(
        "The newest forecaster in the registry, alias `candidate`: for each series the better of seasonal-naive and "
        "SARIMA by rolling-origin backtest, with conformal intervals."
    ),
    metadata={"registered_model": FORECASTER, "sensors": ", ".join(DEMAND_SENSORS)},
)
def forecaster_candidate(
    context: dg.AssetExecutionContext,
    feature_table: pl.DataFrame,
    models: RegistryResource,
    frames: FramesResource,
) -> dg.MaterializeResult[None]:
    """Learn from the feature table and register what was learnt."""
    grid = feature_table.filter(pl.col(SENSOR).is_in(DEMAND_SENSORS)).select(
        TARGET, SENSOR, OBSERVED_AT, VALUE
    )
    stamp = frames.store().stamp("feature_table")
    with errors_told_to_dagster():
        registry = models.registry()
        learnt = learn(grid, progress=lambda done: context.log.info(str(done)) if done.is_milestone else None)
        if not learnt.states:
            reasons = "; ".join(f"{series}: {why}" for series, why in learnt.skipped.items())
            raise NothingLearntError(
                f"no series could be learnt from: {reasons or 'there is no demand series'}"
            )
        origin = Origin(
            trained_at=SystemClock().now(),
            feature_recipe=RECIPE_HASH,
            data_version=stamp.version if stamp else "",
            code_revision=code_revision(),
            dagster_run_id=context.run.run_id,
        )
        version = log_forecaster(registry, learnt, grid, origin)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(version.number)),
        metadata={
            **learnt_pictures(learnt, grid),
            "version": version.number,
            "series": len(learnt.states),
            "fit_seconds": learnt.fit_seconds,
            "backtest": dg.MetadataValue.md(as_markdown(learnt.report)),
            "skipped": dg.MetadataValue.json(dict(learnt.skipped)),
            "registry": dg.MetadataValue.url(_page(models.tracking_uri, version)),
        },
    )


@dg.multi_asset_check(
    name="forecaster_gates",
    specs=[
        dg.AssetCheckSpec(name, asset="forecaster_candidate", description=said, blocking=True)
        for name, said in GATES.items()
    ],
)
def forecaster_gates(models: RegistryResource) -> Iterator[dg.AssetCheckResult]:
    """Judge the candidate by what is in the registry and write the verdicts on it."""
    with errors_told_to_dagster():
        registry = models.registry()
        verdicts = judge(registry, _candidate(registry))
    yield from (check_result(verdict, "forecaster_candidate") for verdict in verdicts)


@dg.asset(
    deps=[forecaster_candidate],
    group_name="forecasting",
    owners=OWNERS,
    kinds={"mlflow"},
    automation_condition=when_gates_pass(),
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=60), warn_window=STALE_AFTER),
    description=(
        "The forecaster the loop uses, alias `champion`: the candidate once every gate has passed. The champion before "
        "it keeps the alias `previous`."
    ),
    metadata={"registered_model": FORECASTER, "required_gates": ", ".join(REQUIRED_GATES)},
)
def forecaster_champion(
    context: dg.AssetExecutionContext, models: RegistryResource
) -> dg.MaterializeResult[None]:
    """Promote the candidate; the registry refuses one with a gate unpassed, whoever asks."""
    with errors_told_to_dagster():
        registry = models.registry()
        promotion = promote(registry, _candidate(registry))
    champion = promotion.champion
    context.log.info("%s is champion; it replaced version %s", champion, promotion.replaced or "none")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.number)),
        metadata={
            "version": champion.number,
            "replaced_version": promotion.replaced or 0,
            "is_changed": promotion.is_changed,
            "registry": dg.MetadataValue.url(_page(models.tracking_uri, champion)),
        },
    )


def _candidate(registry: Registry) -> Version:
    candidate = registry.named(FORECASTER, CANDIDATE)
    if candidate is None:
        raise NoCandidateError(f"{FORECASTER} has no candidate; materialize forecaster_candidate first")
    return candidate


def _page(tracking_uri: str, version: Version) -> str:
    return f"{tracking_uri.rstrip('/')}/#/models/{version.name}/versions/{version.number}"
