"""The model card: what a version is, for whoever has to decide whether to trust it.

Written once, when the version is registered, from what the learning process knows. The verdicts of the gates come later
and are tags of the version; the card says which figures they judge. What is learnt of a version live is put before the
card on the version's page (`live_section`); the artifact stays as it was registered.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import polars as pl

from maximus_assets.checks.accuracy import forecaster_beats_seasonal_naive, interval_coverage_holds
from maximus_assets.checks.drift import ALARM, SLACK
from maximus_assets.contracts import naming
from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.models.forecasting.scoring import horizon_name
from maximus_assets.pyfuncs.state import SeriesState

_LISTED: Final = 100
"""How many series a card lists; a fleet's report is among the evidence in full."""

_REST: Final = "\n\nThe rest is in `model/model_card.md` among the artifacts of this version's run.\n"


def write_card(
    learnt: LearntForecaster, grid: pl.DataFrame, tags: Mapping[str, str], reference: pl.DataFrame
) -> str:
    """The card, Markdown: what helps to decide first, lists that grow with the fleet last.

    Args:
        learnt: What was learnt.
        grid: What it was learnt from.
        tags: The version's evidence tags.
        reference: What live input and error are held against, columns of `checks.drift.REFERENCE`.
    """
    parts = [
        f"# {naming.FORECASTER}",
        (
            f"Forecasts demand, trained at {tags[naming.TAG_TRAINED_AT]} in {learnt.fit_seconds:.1f} s from "
            f"{len(learnt.states)} series of {_span(grid)}."
        ),
        "## At a glance\n\n" + _glance(learnt),
        "## Judgement\n\n" + _judgement(learnt.report),
        "## Limits\n\n" + _limits(),
        "## Origin\n\n" + "\n".join(f"- `{key}`: {value or 'none'}" for key, value in sorted(tags.items())),
        "## Backtest\n\nRolling origins over the judging part of each history, which neither the choice of the method nor "
        "the intervals have seen. MASE is against seasonal-naive: below 1 is better.\n\n"
        + _report_table(learnt.report),
        "## Drift reference\n\n" + _reference_table(reference),
        "## What was learnt\n\n" + _series_table(learnt, grid),
        "## What was not learnt\n\n" + _skipped(learnt.skipped),
    ]
    return "\n\n".join(parts) + "\n"


def shortened(card: str, limit: int) -> str:
    """The card cut between two lines, with a word on where the rest is; a table cut in a row would not be one.

    Args:
        card: Markdown.
        limit: Most characters.
    """
    if len(card) <= limit:
        return card
    kept = card[: limit - len(_REST)]
    return kept[: kept.rindex("\n")].rstrip() + _REST


def _glance(learnt: LearntForecaster) -> str:
    """How many series each method has, and the median figures of what was chosen, by horizon."""
    counts = Counter(state.method for state in learnt.states)
    methods = ", ".join(f"{count} {method}" for method, count in counts.most_common()) or "none"
    lines = [
        f"Series learnt: {len(learnt.states)} ({methods}); left out: {len(learnt.skipped)}.",
        *([learnt.fleet_note] if learnt.fleet_note else []),
        "",
        "| ahead | series | median R² | median MASE | worst MASE | median coverage |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    chosen = learnt.report.filter("is_chosen", pl.col("judged") > 0).group_by("horizon_hours")
    figures = chosen.agg(
        pl.len().alias("series"),
        pl.col("r2", "mase", "coverage").median(),
        pl.col("mase").max().alias("worst"),
    )
    for row in figures.sort("horizon_hours").iter_rows(named=True):
        cells = " | ".join(_figure(row[name]) for name in ("r2", "mase", "worst", "coverage"))
        lines.append(f"| {horizon_name(row['horizon_hours'])} | {row['series']} | {cells} |")
    return "\n".join(lines)


def live_section(tags: Mapping[str, str], evidence: Verdict | None) -> str:
    """What is known of a version since it was registered, Markdown.

    Args:
        tags: The version's tags as they are now.
        evidence: The last live verdict on it, if there is one.
    """
    lines = ["## Live"]
    for said, at, why in (
        ("in shadow since", naming.TAG_SHADOWED_AT, ""),
        ("champion since", naming.TAG_PROMOTED_AT, ""),
        ("drift seen at", naming.TAG_DRIFTED_AT, naming.TAG_DRIFTED_WHY),
        ("demoted at", naming.TAG_DEMOTED_AT, naming.TAG_DEMOTED_WHY),
        ("retired from shadow at", naming.TAG_RETIRED_AT, naming.TAG_RETIRED_WHY),
        ("taken back at", naming.TAG_WITHDRAWN_AT, naming.TAG_WITHDRAWN_WHY),
    ):
        if tags.get(at):
            lines.append(f"- {said} {tags[at][:16]}" + (f": {tags[why]}" if tags.get(why) else ""))
    if evidence is not None:
        lines.append(
            f"- {evidence.name}: {'yes' if evidence.passed else 'no'}; {'; '.join(evidence.reasons)}"
        )
    return "\n".join(lines if len(lines) > 1 else [*lines, "- nothing yet"])


def _reference_table(reference: pl.DataFrame) -> str:
    lines = [
        (
            "Live values of the last day are held against the training's deciles of the same quarter of a day; live "
            f"errors against the backtest's by a CUSUM that grows above {SLACK:g} times it and alarms at {ALARM:g}.\n"
        ),
        "| series | quarter | median | most unusual training day | error 1 h ahead |",
        f"|{'---|' * 5}",
    ]
    lines += [
        f"| {row['target']}/{row['sensor']} | {6 * row['quarter']:02d}-{6 * row['quarter'] + 6:02d} h "
        f"| {row['deciles'][4]:.4g} | {row['worst_distance']:.2f} | {_figure(row['mae'])} |"
        for row in reference.head(_LISTED).iter_rows(named=True)
    ]
    return "\n".join(lines + _more(reference.height))


def _span(grid: pl.DataFrame) -> str:
    if grid.is_empty():
        return "nothing"
    first, last = grid[OBSERVED_AT].dt.strftime("%Y-%m-%d %H:%M").sort().gather([0, -1])
    return f"{first} to {last} UTC"


def _judgement(report: pl.DataFrame) -> str:
    lines = []
    for verdict in (forecaster_beats_seasonal_naive(report), interval_coverage_holds(report)):
        lines.append(f"- {verdict.name}: {'passed' if verdict.passed else 'failed'}")
        lines += [f"  - {reason}" for reason in verdict.reasons]
    lines.append(
        "- The registered files are judged again, with speed and agreement with the learning process: see the version's "
        f"`{naming.TAG_GATE_PREFIX}*` tags."
    )
    return "\n".join(lines)


def _series_table(learnt: LearntForecaster, grid: pl.DataFrame) -> str:
    spans = {
        (target, sensor): (bins, missing)
        for target, sensor, bins, missing in grid.group_by(TARGET, SENSOR)
        .agg(pl.len(), pl.col(VALUE).is_null().mean())
        .iter_rows()
    }
    lines = [
        "| series | method | bins | missing | mixed from | needs bins | steps ahead |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for state in learnt.states[:_LISTED]:
        bins, missing = spans[state.target, state.sensor]
        lines.append(
            f"| {state.target}/{state.sensor} | {state.method} | {bins} | {missing:.1%} | {_mix(state)} "
            f"| {state.minimum_bins} | {state.horizon_steps} |"
        )
    return "\n".join(lines + _more(len(learnt.states)))


def in_words(learnt: LearntForecaster) -> str:
    """What was learnt and how far it may be trusted, in a sentence or two.

    Args:
        learnt: What was learnt, at least one series.
    """
    count = len(learnt.states)
    methods = Counter(state.method for state in learnt.states)
    told = ", ".join(f"{method} {number}" for method, number in sorted(methods.items()))
    chosen = (
        learnt.report.filter(pl.col("is_chosen"), pl.col("judged") > 0)
        .group_by("horizon_hours")
        .agg(pl.col("mase", "coverage").median())
        .sort("horizon_hours")
    )
    ahead = [
        f"{horizon_name(hours)} ahead {mase:.2f} ({coverage:.0%})"
        for hours, mase, coverage in chosen.iter_rows()
        if mase is not None and coverage is not None
    ]
    words = f"{count} of {count + len(learnt.skipped)} series learnt ({told})."
    if not ahead:
        return f"{words} None could be judged."
    return (
        f"{words} Error relative to repeating the day or week before, below 1 is better, and share of outcomes that its "
        f"{INTERVAL_COVERAGE:.0%} interval held (medians of the judged part): {'; '.join(ahead)}."
    )


def _mix(state: SeriesState) -> str:
    """The components with their mean share of the forecast."""
    means = state.by_component.mean(axis=1)
    return ", ".join(f"{each.method} {mean:.0%}" for each, mean in zip(state.components, means, strict=True))


def _report_table(report: pl.DataFrame) -> str:
    lines = [
        "| series | method | chosen | ahead | judged | R² | MASE | coverage |",
        "|---|---|---|---|---:|---:|---:|---:|",
    ]
    for row in report.head(_LISTED).iter_rows(named=True):
        figures = " | ".join(_figure(row[name]) for name in ("r2", "mase", "coverage"))
        lines.append(
            f"| {row['target']}/{row['sensor']} | {row['method']} | {'yes' if row['is_chosen'] else ''} "
            f"| {horizon_name(row['horizon_hours'])} | {row['judged']} | {figures} |"
        )
    return "\n".join(lines + _more(report.height))


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _skipped(skipped: Mapping[str, str]) -> str:
    lines = [f"- {series}: {why}" for series, why in list(skipped.items())[:_LISTED]]
    return "\n".join(lines + _more(len(skipped))) if lines else "Nothing was left out."


def _more(count: int) -> list[str]:
    return [f"\n{count - _LISTED} more are in the evidence."] if count > _LISTED else []


def _limits() -> str:
    return (
        "- A series it never learnt is answered with `unknown_series`, one whose recent window is too short or has too "
        "many holes with `cold`. It never guesses.\n"
        f"- An interval is meant to hold {INTERVAL_COVERAGE:.0%} of outcomes while the future resembles the judging part; "
        "after a change of regime it will not.\n"
        "- It knows the hour and the weekday; of holidays, releases or campaigns only those it was told of as events.\n"
        "- It extrapolates demand as it was met. Demand that was turned away was never seen."
    )
