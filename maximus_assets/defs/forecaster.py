"""The forecaster: learnt, judged, tried in shadow, promoted.

The candidate is a version in the registry. Its gates are judged in a step of their own, from what was registered and
without anything of the process that learnt it, so that they can be judged again later; it goes into shadow only when
every one of them passed, and becomes champion on what happened there.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.catalogue import DEMAND_SENSORS
from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import Permanent
from maximus_assets.contracts.naming import CANDIDATE, FORECASTER, NIGHTLY_RECIPE
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.automation import when_gates_pass
from maximus_assets.defs.failures import errors_told_to_dagster
from maximus_assets.defs.features import as_markdown
from maximus_assets.defs.pictures import learnt_pictures
from maximus_assets.defs.resources import (
    EvidenceResource,
    FramesResource,
    RegistryResource,
    holidays_from_environment,
)
from maximus_assets.defs.telemetry import OWNERS, check_result
from maximus_assets.features.holidays import holidays_around
from maximus_assets.features.table import RECIPE_HASH
from maximus_assets.models.forecasting.learn import learn
from maximus_assets.registry import cuts
from maximus_assets.registry.card import in_words
from maximus_assets.registry.gates import judge
from maximus_assets.registry.packaging import Origin, log_forecaster
from maximus_assets.registry.promotion import REQUIRED_GATES
from maximus_assets.registry.revision import code_revision
from maximus_assets.registry.settlement import admit_candidate, settle
from maximus_assets.registry.tracking import Registry, Version

GATES: Final[dict[str, str]] = {
    "forecaster_beats_seasonal_naive": "On no horizon is it worse than repeating a season by more than 2 % MASE.",
    "interval_coverage_holds": "Its intervals hold the share of outcomes they say they hold.",
    "prediction_is_fast": "A call answers within the time a turn of the loop can spare.",
    "champion_series_are_kept": "Every series the champion forecasts, and of which there is data, stays forecast.",
    "packaged_model_reproduces_training": "Loaded from the registry, it gives the numbers it gave when it was learnt.",
}
"""Every gate of the forecaster and what it says when it passes."""

DRIFT: Final[dict[str, str]] = {
    "input_resembles_training": "The last day's demand is distributed as on some day of the training.",
    "live_error_is_as_backtested": "The champion errs live as it did in the backtest.",
    "champion_holds_against_naive": "The champion is not clearly worse, live, than repeating a season.",
}
"""What is looked at of the champion live, and what it says when it passes. Warnings: what follows from a failure is done,
a retrain asked for or the champion demoted, rather than stopped."""

NEVER_BY_ITSELF: Final = dg.AutomationCondition.missing() & ~dg.AutomationCondition.missing()
"""Condition of a check that is only ever made with its asset. It is there for the gates: a run that automation asks for
names the checks that belong to its assets' own steps, and those alone, unless one of them has a condition; then the checks
of the other assets ride along. Without it a candidate would be learnt and never judged."""

RECIPE_TAG: Final = "maximus/recipe"
"""Tag of a run that says why it learns; none means the night."""

STALE_AFTER: Final = timedelta(hours=36)
"""Age beyond which what was last let in is no longer fresh: a night was missed."""


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
        "The newest forecaster in the registry, alias `candidate`: for each series a mean of methods, weighted by their "
        "errors in a rolling-origin backtest, or the seasonal-naive, with conformal intervals; a fleet's series share a "
        "boosted model."
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
        grid, history_cuts = cuts.apply(grid, cuts.cuts_of(registry, FORECASTER))
        calendar = holidays_from_environment()
        learnt = learn(
            grid,
            progress=lambda done: context.log.info(str(done)) if done.is_milestone else None,
            stage=context.log.info,
            events=holidays_around(grid, calendar),
        )
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
            history_cuts=cuts.as_tag(history_cuts),
            recipe=context.run.tags.get(RECIPE_TAG, NIGHTLY_RECIPE),
        )
        version = log_forecaster(registry, learnt, grid, origin)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(version.number)),
        metadata={
            "in words": in_words(learnt),
            **learnt_pictures(learnt, grid),
            "version": version.number,
            "series": len(learnt.states),
            "fit_seconds": learnt.fit_seconds,
            "fleet": learnt.fleet_note,
            "holidays": str(calendar) if calendar else "none",
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
        "The candidate once every gate has passed: beside a champion it goes into shadow (alias `challenger-<recipe>`), "
        "where the loop asks it too and nothing rests on its answers; without a champion it becomes champion at once."
    ),
    metadata={"registered_model": FORECASTER, "required_gates": ", ".join(REQUIRED_GATES)},
)
def forecaster_challenger(
    context: dg.AssetExecutionContext, models: RegistryResource, evidence: EvidenceResource
) -> dg.MaterializeResult[None]:
    """Let the candidate in; the registry refuses one with a gate unpassed, whoever asks."""
    with errors_told_to_dagster():
        registry = models.registry()
        candidate = _candidate(registry)
        admission = admit_candidate(registry, candidate, rules=evidence.rules(), clock=SystemClock())
    context.log.info("%s is %s: %s", candidate, admission.alias, admission.reason)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(candidate.number)),
        metadata={
            "version": candidate.number,
            "alias": admission.alias,
            "reason": admission.reason,
            "registry": dg.MetadataValue.url(_page(models.tracking_uri, candidate)),
        },
    )


@dg.asset(
    deps=[forecaster_challenger],
    group_name="forecasting",
    owners=OWNERS,
    kinds={"mlflow", "postgresql"},
    automation_condition=when_gates_pass(),
    check_specs=[
        dg.AssetCheckSpec(
            name, asset="forecaster_champion", description=said, automation_condition=NEVER_BY_ITSELF
        )
        for name, said in DRIFT.items()
    ],
    description=(
        "The forecaster the loop uses, alias `champion`, settled on live evidence every hour: a challenger that forecasts "
        "better beyond noise takes its place (the champion before keeps the alias `previous`), one that never does goes, "
        "and a champion that is worse than repeating a season goes back into shadow."
    ),
    metadata={"registered_model": FORECASTER},
)
def forecaster_champion(
    context: dg.AssetExecutionContext, models: RegistryResource, evidence: EvidenceResource
) -> Iterator[dg.MaterializeResult[None]]:
    """Look at what champion and challengers expected and what came, and act on it."""
    with errors_told_to_dagster():
        settled = settle(
            models.registry(), FORECASTER, read=evidence.read, rules=evidence.rules(), clock=SystemClock()
        )
        if settled.champion is None and settled.replaced is None:
            raise NoCandidateError(
                f"{FORECASTER} has no champion and no version that passed its gates; materialize forecaster_candidate"
            )
    for event in settled.events:
        context.log.info(event)
    found = {verdict.name: verdict for verdict in settled.drift}
    unjudged = "nothing has been forecast long enough to judge"
    verdicts = [found.get(name) or Verdict(name=name, passed=True, reasons=(unjudged,)) for name in DRIFT]
    champion = settled.champion
    yield dg.MaterializeResult(
        data_version=dg.DataVersion(str(champion.number) if champion else "none"),
        check_results=[check_result(verdict, "forecaster_champion", blocking=False) for verdict in verdicts],
        metadata={
            "version": champion.number if champion else 0,
            "replaced_version": settled.replaced or 0,
            "events": list(settled.events),
            "challengers": dg.MetadataValue.json(
                {alias: it.verdict.model_dump() for alias, it in (settled.judgements or {}).items()}
            ),
            "registry": dg.MetadataValue.url(
                _page(models.tracking_uri, champion) if champion else models.tracking_uri
            ),
        },
    )


def _candidate(registry: Registry) -> Version:
    candidate = registry.named(FORECASTER, CANDIDATE)
    if candidate is None:
        raise NoCandidateError(f"{FORECASTER} has no candidate; materialize forecaster_candidate first")
    return candidate


def _page(tracking_uri: str, version: Version) -> str:
    return f"{tracking_uri.rstrip('/')}/#/models/{version.name}/versions/{version.number}"
