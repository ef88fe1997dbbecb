"""Which of two versions forecast better, live: from forecasts and what came to a Verdict.

Champion and challenger are compared on the same outcomes alone, as pairs. Two figures decide: the error of the mean of
the hour ahead, which is what the backtest measures too, and the decision loss of the next bin's upper bound, which is
what the loop sizes by: a request too many for the capacity costs `UNDER_COST` times what an idle one does.

What is hard is that somebody looks every hour for weeks, and with bounds for a single look (`paired`) would find a winner among
equals by looking long enough. So bounds only describe and forbid; what decides is evidence that may be looked at at any time
(`sequential`), with a level that counts all looks at all challengers of 90 days together. A challenger wins only
when one figure is better, and none worse, by both.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.checks.paired import Ratio, compared, hourly
from maximus_assets.checks.sequential import change_evidence, evidence
from maximus_assets.contracts.prediction import HOUR_STEPS, INTERVAL_COVERAGE
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry.outcomes import SEASONS, Outcomes

Array = NDArray[np.float64]

UNDER_COST: Final = 19.0
"""Cost of a unit of demand above the bound over that of one below it: the loss whose optimum is the 95 % quantile, the
upper end of a 90 % interval (Koenker and Bassett 1978)."""

PROMOTION_LEVEL: Final = 1e-4
"""Chance that a challenger which is no better is ever promoted as better, however often it is looked at: of the sixty that a
champion meets in 90 days, one each 36 hours, all together 1 %, and 5 % where neighbouring hours are correlated by 0.3."""

RENEWAL_LEVEL: Final = 0.05
"""The same for one that is worse by more than `RENEWAL_MARGIN` and replaces an old champion; and for one that is no better, or
whose intervals hold no more, and replaces a champion that is known to have drifted. Waiting costs more then, and an alarm that
is false is rare before that."""

DEMOTION_LIMIT: Final = 90 * 24 / 0.05
"""Evidence that demotes a champion: one that is exactly `DEMOTION_MARGIN` worse than the naive is demoted within 90 days with a
probability of 5 % (more where neighbouring hours are correlated); one that is as good as the naive hardly ever."""

LEAST_COVERAGE: Final = INTERVAL_COVERAGE - 0.1
"""A challenger whose intervals hold fewer outcomes live, and fewer than the champion's, is not promoted, however small its
errors are."""

RENEWAL_MARGIN: Final = 0.05
"""How much worse a challenger may be, beyond noise excluded, to replace a champion that is old, or that lacks live series the
challenger has."""

DEMOTION_MARGIN: Final = 0.1
"""How much worse than the seasonal-naive, beyond noise, a champion must be to lose its place."""

_LEAST_BINS: Final = HOUR_STEPS // 2
_MOST_TOLD: Final = 20.0

Action = Literal["promote", "keep", "wait", "retire"]


@dataclass(frozen=True)
class Rules:
    """How much evidence is enough.

    Attributes:
        minimum_hours: Hours with outcomes before a challenger may win.
        minimum_hours_after_drift: The same while the champion is known to have drifted; waiting costs more then.
        minimum_series_ratio: Share of the champion's series that both must have been judged on.
        retire_hours: Age in shadow at which a challenger that has not won goes.
        renew_hours: Age of a champion from which a challenger need only be no worse.
    """

    minimum_hours: int = 24
    minimum_hours_after_drift: int = 8
    minimum_series_ratio: float = 0.8
    retire_hours: int = 96
    renew_hours: int = 168

    def hours(self, *, has_drifted: bool) -> int:
        """How many hours of evidence are enough."""
        return min(self.minimum_hours_after_drift, self.minimum_hours) if has_drifted else self.minimum_hours


@dataclass(frozen=True)
class Judgement:
    """What to do with a challenger, and why."""

    action: Action
    verdict: Verdict


@dataclass(frozen=True)
class Standing:
    """What is known of champion and challenger besides their forecasts.

    Attributes:
        champion: Its version.
        challenger: Its version.
        champion_age_hours: Since it was learnt.
        shadow_hours: How long the challenger has been in shadow.
        has_drifted: Whether the champion's data or error is known to have moved.
        added_series: How many live series the challenger forecasts that the champion does not, where it forecasts all of the
            champion's too; else 0.
    """

    champion: str
    challenger: str
    champion_age_hours: float
    shadow_hours: float
    has_drifted: bool = False
    added_series: int = 0


def scored(outcomes: Outcomes) -> pl.DataFrame:
    """Every forecast beside what came of it.

    Args:
        outcomes: As read.

    Returns:
        One row for each version, series and bin of which something came: `version`, `series`, `issued_at`, `error` and
        `hour_actual` of the hour ahead, `naive_day` and `naive_week` (errors of repeating the same hour, null where that was
        not seen), `loss` and `is_covered` of the next bin (null where that was not seen).
    """
    keys = [TARGET, SENSOR]
    actuals = outcomes.actuals.sort(*keys, OBSERVED_AT)
    hours = (
        actuals.rolling(OBSERVED_AT, period="1h", offset="0m", closed="right", group_by=keys)
        .agg(pl.col(VALUE).mean().alias("hour_actual"), pl.len().alias("bins"))
        .filter(pl.col("bins") >= _LEAST_BINS)
        .select(*keys, pl.col(OBSERVED_AT).alias("issued_at"), "hour_actual")
    )
    step = pl.duration(seconds=GRID_SECONDS)
    following = actuals.select(
        *keys, (pl.col(OBSERVED_AT) - step).alias("issued_at"), pl.col(VALUE).alias("next_actual")
    )
    joined = outcomes.forecasts.join(hours, on=[*keys, "issued_at"]).join(
        following, on=[*keys, "issued_at"], how="left"
    )
    for name, back in zip(("naive_day", "naive_week"), SEASONS, strict=True):
        before = hours.select(
            *keys, (pl.col("issued_at") + back).alias("issued_at"), pl.col("hour_actual").alias(name)
        )
        joined = joined.join(before, on=[*keys, "issued_at"], how="left")
    above = pl.col("next_actual") - pl.col("next_upper")
    return joined.select(
        "version",
        pl.concat_str(TARGET, SENSOR, separator="/").alias("series"),
        "issued_at",
        "hour_actual",
        (pl.col("hour_mean") - pl.col("hour_actual")).abs().alias("error"),
        (pl.col("naive_day") - pl.col("hour_actual")).abs(),
        (pl.col("naive_week") - pl.col("hour_actual")).abs(),
        pl.when(above > 0).then(above * UNDER_COST).otherwise(-above).alias("loss"),
        ((pl.col("next_actual") >= pl.col("next_lower")) & (above <= 0)).alias("is_covered"),
    ).sort("version", "issued_at", "series")


def judge_challenger(scores: pl.DataFrame, standing: Standing, rules: Rules, known_series: int) -> Judgement:
    """Whether a challenger takes the champion's place, goes on, or goes.

    Args:
        scores: Of `scored`.
        standing: Who they are.
        rules: How much evidence is enough.
        known_series: How many series the champion forecasts, as far as read.
    """
    ours = scores.filter(pl.col("version") == standing.challenger)
    both = ours.join(
        scores.filter(pl.col("version") == standing.champion).select(
            "series", "issued_at", "error", "loss", "is_covered"
        ),
        on=["series", "issued_at"],
        suffix="_champion",
    ).filter(pl.col("loss").is_not_null())
    hours = both["issued_at"].dt.truncate("1h").n_unique()
    series = both["series"].n_unique()
    measured: dict[str, float | int | str | bool] = {
        "champion_version": standing.champion,
        "challenger_version": standing.challenger,
        "hours": hours,
        "series_count": series,
        "has_drifted": standing.has_drifted,
        "added_series_count": standing.added_series,
    }
    needed = rules.hours(has_drifted=standing.has_drifted)
    level = RENEWAL_LEVEL if standing.has_drifted else PROMOTION_LEVEL
    is_spent = standing.shadow_hours >= rules.retire_hours
    if hours < needed or series < rules.minimum_series_ratio * known_series or not series:
        why = f"{hours} of {needed} hours and {series} of {known_series} series have outcomes of both"
        return _judgement("retire" if is_spent else "wait", [why], measured)
    error, loss = compared(both, "error"), compared(both, "loss")
    coverage, other = (_share(both[name]) for name in ("is_covered", "is_covered_champion"))
    measured |= {
        "error_ratio": error.ratio,
        "error_ratio_low": error.low,
        "error_ratio_high": error.high,
        "decision_loss_ratio": loss.ratio,
        "decision_loss_ratio_low": loss.low,
        "decision_loss_ratio_high": loss.high,
        "coverage_ratio": coverage,
        "champion_coverage_ratio": other,
    }
    against = [
        f"its {name} is {it.ratio:.3f} of the champion's ({it.low:.3f} to {it.high:.3f}): worse"
        for name, it in (("error", error), ("decision loss", loss))
        if it.low > 1.0
    ]
    if coverage < min(LEAST_COVERAGE, other):
        against.append(f"only {coverage:.1%} of outcomes lie within its intervals")
    better = [evidence(hourly(both, figure)) for figure in ("error", "loss")]
    # The mean of two wealths is one: whoever bets half on either figure risks no more.
    together = float(np.logaddexp(better[0], better[1]) - np.log(2.0))
    measured |= {
        "error_log_evidence": better[0],
        "decision_loss_log_evidence": better[1],
        "log_evidence": together,
        "needed_log_evidence": float(-np.log(level)),
    }
    is_better = min(error.high, loss.high) < 1.0 and together >= -np.log(level)
    # No worse is enough where something is won besides: youth, or targets that nobody forecasts now.
    wins_besides = standing.champion_age_hours >= rules.renew_hours or standing.added_series > 0
    is_renewal = wins_besides and _is_no_worse(both, error, loss)
    holds_again = standing.has_drifted and _holds_again(both, coverage, other, max(error.ratio, loss.ratio))
    if not against and (is_better or is_renewal or holds_again):
        besides = (
            f"it forecasts {standing.added_series} more series"
            if standing.added_series
            else "the champion is old"
        )
        if holds_again:
            besides = f"its intervals hold {coverage:.0%} of outcomes, the drifted champion's {other:.0%}"
        why = "better" if is_better else f"no worse, and {besides}"
        return _judgement("promote", [f"{why}: {_words(error, loss)} over {hours} hours"], measured)
    certainty = f"evidence {np.exp(min(together, _MOST_TOLD)):.3g} of {1 / level:.3g} to 1"
    reasons = against or [f"no better beyond noise: {_words(error, loss)} over {hours} hours, {certainty}"]
    return _judgement("retire" if is_spent else "keep", reasons, measured)


def champion_holds_against_naive(scores: pl.DataFrame, champion: str, minimum_hours: int) -> Verdict:
    """Whether the champion is not clearly worse than repeating the day or the week before, on the same outcomes.

    Of the two, each series has the better one over the whole span: a champion has to be worse than the better naive by
    more than `DEMOTION_MARGIN` beyond noise to fail.

    Args:
        scores: Of `scored`.
        champion: Its version.
        minimum_hours: Hours with outcomes below which nothing is concluded.
    """
    name = "champion_holds_against_naive"
    ours = scores.filter((pl.col("version") == champion) & pl.col("naive_day").is_not_null())
    hours = ours["issued_at"].dt.truncate("1h").n_unique()
    measured: dict[str, float | int | str | bool] = {"champion_version": champion, "hours": hours}
    if hours < minimum_hours:
        why = f"nothing is concluded from {hours} of {minimum_hours} hours"
        return Verdict(name=name, passed=True, reasons=(why,), measured=measured)
    week_is_whole = pl.col("naive_week").is_not_null().all().over("series")
    week_is_better = pl.col("naive_week").sum().over("series") < pl.col("naive_day").sum().over("series")
    both = ours.with_columns(
        pl.when(week_is_whole & week_is_better)
        .then("naive_week")
        .otherwise("naive_day")
        .alias("error_champion")
    )
    error = compared(both, "error")
    measured |= {
        "error_ratio": error.ratio,
        "error_ratio_low": error.low,
        "error_ratio_high": error.high,
        "limit_ratio": 1.0 + DEMOTION_MARGIN,
    }
    swapped = both.rename({"error": "error_champion", "error_champion": "error"})
    against = change_evidence(hourly(swapped, "error", margin=1.0 / (1.0 + DEMOTION_MARGIN)))
    measured |= {"log_evidence": against, "needed_log_evidence": float(np.log(DEMOTION_LIMIT))}
    if error.low <= 1.0 + DEMOTION_MARGIN or against < np.log(DEMOTION_LIMIT):
        return Verdict(name=name, passed=True, measured=measured)
    why = f"its error is {error.ratio:.2f} times the seasonal-naive's ({error.low:.2f} to {error.high:.2f})"
    return Verdict(name=name, passed=False, reasons=(f"{why} over {hours} hours",), measured=measured)


def _is_no_worse(both: pl.DataFrame, error: Ratio, loss: Ratio) -> bool:
    """Whether neither figure is worse by more than `RENEWAL_MARGIN`, by the bounds and by the evidence."""
    limit = 1.0 + RENEWAL_MARGIN
    return max(error.high, loss.high) <= limit and all(
        evidence(hourly(both, figure, limit)) >= -np.log(RENEWAL_LEVEL) for figure in ("error", "loss")
    )


def _holds_again(both: pl.DataFrame, coverage: float, other: float, worst_ratio: float) -> bool:
    """Whether intervals that no longer hold would be replaced by ones that do, with nothing else worse by a margin.

    A champion that follows a changed demand from hour to hour errs little more than one that learnt it, but has no idea how
    far it may be off: what is sized by its upper bound is what suffers.
    """
    if other >= LEAST_COVERAGE or coverage < LEAST_COVERAGE or worst_ratio > 1.0 + RENEWAL_MARGIN:
        return False
    missed = both.with_columns(
        (1 - pl.col(f"is_covered{whose}").cast(pl.Int8)).alias(f"missed{whose}")
        for whose in ("", "_champion")
    )
    return bool(evidence(hourly(missed, "missed")) >= -np.log(RENEWAL_LEVEL))


def _share(column: pl.Series) -> float:
    return float(column.cast(pl.Float64).to_numpy().mean())


def _words(error: Ratio, loss: Ratio) -> str:
    return (
        f"error {error.ratio:.3f} ({error.low:.3f} to {error.high:.3f}) and decision loss {loss.ratio:.3f} "
        f"({loss.low:.3f} to {loss.high:.3f}) of the champion's"
    )


def _judgement(
    action: Action, reasons: list[str], measured: dict[str, float | int | str | bool]
) -> Judgement:
    verdict = Verdict(
        name="challenger_beats_champion",
        passed=action == "promote",
        reasons=tuple(reasons),
        measured={**measured, "action": action},
    )
    return Judgement(action, verdict)
