"""`python -m maximus_assets.defs.first_run`: make sure that there is a forecaster champion, quickly.

`maximus up` calls this once everything else runs. It reads the last four weeks, learns, judges and promotes in one run
in one process: a process for each step, or a run for each day, would take minutes for seconds of work. One run also
tells the automation condition that all of it belongs together, so that nothing is learnt a second time afterwards.

On standard output: one line of JSON for each stage as it ends, {"stage", "seconds", "detail"}; nothing else.
Exit codes: 0 there is a fresh champion, 1 there is not and why is on standard error.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.contracts.errors import MaximusError, Permanent
from maximus_assets.contracts.naming import (
    CANDIDATE,
    CHAMPION,
    CONTRACT_VERSION,
    FORECASTER,
    TAG_CONTRACT_VERSION,
    TAG_DATA_VERSION,
    TAG_FEATURE_RECIPE,
    TAG_TRAINED_AT,
)
from maximus_assets.defs.frames import FramesStore, data_folder
from maximus_assets.features.table import RECIPE_HASH
from maximus_assets.registry.promotion import unpassed_gates
from maximus_assets.registry.tracking import Registry, Version

if TYPE_CHECKING:
    import dagster as dg

FRESH: Final = timedelta(hours=36)
"""Age up to which a champion need not be learnt again: one missed night is still covered."""

TRACKING_VARIABLE: Final = "MLFLOW_TRACKING_URI"

STAGES: Final[dict[str, str]] = {
    "telemetry": "four weeks of telemetry read and judged",
    "feature_table": "feature table made",
    "forecaster_candidate": "forecaster learnt and registered",
    "forecaster_gates": "forecaster judged",
    "forecaster_challenger": "forecaster let in",
    "forecaster_champion": "champion settled",
}
"""Step of the run -> what has been done when it ends."""

Report = Callable[[str, float, str], None]
"""Told the stage, how long it took in seconds, and a detail in words."""


class FirstRunFailedError(Permanent):
    """The run ended without a champion; says at which step and why."""


@dataclass(frozen=True)
class Need:
    """Whether to learn, and why.

    Attributes:
        must_learn: Whether.
        reason: Why, in words.
    """

    must_learn: bool
    reason: str


def need(
    champion: Version | None, candidate: Version | None, data_version: str | None, now: datetime
) -> Need:
    """Decide whether there is anything to do.

    A candidate that was learnt from the present data and not promoted has been judged and found wanting, or is in shadow:
    learning from the same data again would end the same way. It is what passed its gates last that must be fresh: a
    champion that no challenger has beaten may be older.

    Args:
        champion: The champion, if there is one.
        candidate: The newest version, if there is one.
        data_version: Version of the feature table stored, None when there is none.
        now: The present.
    """
    if champion is None:
        return Need(must_learn=True, reason="there is no champion")
    tags = champion.tags
    if tags.get(TAG_CONTRACT_VERSION) != CONTRACT_VERSION:
        return Need(must_learn=True, reason="the champion was built for another contract version")
    if tags.get(TAG_FEATURE_RECIPE) != RECIPE_HASH:
        return Need(must_learn=True, reason="the champion was learnt from another feature recipe")
    newest = champion if candidate is None or unpassed_gates(candidate) else candidate
    trained_at = datetime.fromisoformat(newest.tags.get(TAG_TRAINED_AT) or newest.created_at.isoformat())
    age_hours = (now - trained_at).total_seconds() / 3600
    if now - trained_at > FRESH:
        return Need(must_learn=True, reason=f"what was learnt last is {age_hours:.0f} h old")
    learnt_from = {tags.get(TAG_DATA_VERSION), candidate.tags.get(TAG_DATA_VERSION) if candidate else None}
    if data_version not in learnt_from:
        return Need(must_learn=True, reason="the data has changed since the champion was learnt")
    learnt = "" if newest.number == champion.number else f"; version {newest.number}, learnt since, is"
    return Need(
        must_learn=False,
        reason=f"version {champion.number} is champion{learnt or ' and'} {max(age_hours, 0.0):.1f} h old",
    )


def four_weeks(now: datetime, days: int, earliest: date) -> tuple[date, date]:
    """The first and last whole day of the last `days` days, none before `earliest`, the first day of history."""
    last = now.astimezone(UTC).date() - timedelta(days=1)
    return max(last - timedelta(days=days - 1), earliest), last


def materialize(instance: "dg.DagsterInstance", clock: Clock, report: Report) -> str:
    """Read, learn, judge and promote in one run in this process.

    Args:
        instance: Where the run is recorded.
        clock: What yesterday is.
        report: Told of each stage as it ends.

    Returns:
        What came of it, in words.

    Raises:
        FirstRunFailedError: A step failed or a gate did not pass.
    """
    import dagster as dg

    from maximus_assets.defs.automation import CHAIN, QUIET
    from maximus_assets.defs.partitions import DAILY, HISTORY_DAYS

    began = time.perf_counter()

    @dg.success_hook
    def stage_ended(context: dg.HookContext) -> None:
        nonlocal began
        stage = context.op.name
        report(stage, time.perf_counter() - began, STAGES.get(stage, ""))
        began = time.perf_counter()

    first, last = four_weeks(clock.now(), HISTORY_DAYS, DAILY.start.date())
    job = (
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
        .resolve_job_def("read_and_retrain")
        .with_hooks({stage_ended})
    )
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(CHAIN),
        raise_on_error=False,
        run_config=QUIET,
        tags={
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
    )
    failed_checks = [
        check for check in result.get_asset_check_evaluations() if check.blocking and not check.passed
    ]
    if failed_checks:
        said = "; ".join(f"{check.check_name}: {check.description or 'failed'}" for check in failed_checks)
        raise FirstRunFailedError(f"no forecaster was promoted, a gate did not pass: {said}")
    if not result.success:
        raise FirstRunFailedError(f"run {result.run_id} failed: {_why(result)}")
    return f"learnt from {first} to {last}"


def run(registry: Registry, store: FramesStore, clock: Clock, report: Report, *, force: bool) -> None:
    """Learn if there is need to.

    Raises:
        FirstRunFailedError: There was need and it did not succeed.
        Retryable: The registry does not answer.
    """
    began = time.perf_counter()
    registry.check_reachable()
    stamp = store.stamp("feature_table")
    found = need(
        registry.named(FORECASTER, CHAMPION),
        registry.named(FORECASTER, CANDIDATE),
        stamp.version if stamp else None,
        clock.now(),
    )
    reason = "asked for by --force" if force and not found.must_learn else found.reason
    report("look", time.perf_counter() - began, reason)
    if not found.must_learn and not force:
        return
    import dagster as dg

    report("start", time.perf_counter() - began, "Dagster loaded")
    with dg.DagsterInstance.get() as instance:
        detail = materialize(instance, clock, report)
    champion = registry.named(FORECASTER, CHAMPION)
    if champion is None:
        raise FirstRunFailedError(
            "the run succeeded and yet there is no champion; look at the run in Dagster"
        )
    report("done", time.perf_counter() - began, f"{champion} is champion, {detail}")


def main(arguments: Sequence[str] | None = None) -> int:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m maximus_assets.defs.first_run")
    parser.add_argument("--force", action="store_true", help="learn even when the champion is fresh")
    force: bool = parser.parse_args(arguments).force
    # MLflow draws progress bars over what reads our output.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    address = os.environ.get(TRACKING_VARIABLE, "")
    if not address:
        sys.stderr.write(f"{TRACKING_VARIABLE} is not set: say where the model registry is\n")
        return 1
    output = sys.stdout

    def write_line(stage: str, seconds: float, detail: str) -> None:
        output.write(json.dumps({"stage": stage, "seconds": round(seconds, 3), "detail": detail}) + "\n")
        output.flush()

    try:
        # Libraries print what they think is worth seeing; whoever reads our lines must not meet it.
        with redirect_stdout(sys.stderr):
            run(
                Registry(address),
                FramesStore(data_folder() / "frames"),
                SystemClock(),
                write_line,
                force=force,
            )
    except MaximusError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _why(result: "dg.ExecuteInProcessResult") -> str:
    for event in result.all_events:
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            cause = error.cause or error
            said = event.step_failure_data.user_failure_data
            text = said.description if said is not None and said.description else cause.message
            return f"step {event.step_key}: {text.strip()}"
    return "it says no more; look at the run in Dagster"


if __name__ == "__main__":
    sys.exit(main())
