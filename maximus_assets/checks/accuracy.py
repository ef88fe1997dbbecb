"""Is the forecaster good enough to be promoted? From the backtest's report to Verdicts.

Only chosen methods are judged: what was tried and rejected blocks nothing. Each verdict carries the figures it rests on
and names the series that failed.
"""

from typing import Final

import numpy as np
import polars as pl

from maximus_assets.contracts.prediction import INTERVAL_COVERAGE
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.models.forecasting.learn import WORST_MASE
from maximus_assets.models.forecasting.scoring import horizon_name

COVERAGE_TOLERANCE: Final = 0.03
"""How far the pooled coverage may lie below the nominal one beyond its own uncertainty."""

COVERAGE_EXCESS: Final = 0.05
"""How far it may lie above: an interval that is too wide costs capacity, one that is too narrow costs the service."""

UNCERTAINTY_LIMIT: Final = 0.12
"""The most that uncertainty excuses, whatever the days differ."""

SERIES_COVERAGE_TOLERANCE: Final = 0.08
"""How far one series' coverage may lie below the nominal one beyond its own uncertainty."""

PREDICTION_SECONDS: Final = 0.5
"""Longest a prediction of every series may take."""

_NORMAL_99: Final = 2.576
_NAMED: Final = 5
_TINY: Final = 1e-9


def forecaster_beats_seasonal_naive(report: pl.DataFrame) -> Verdict:
    """Whether no series, nor all of them together, is forecast worse than by the seasonal-naive.

    A series' figure is the mean over horizons of its error relative to the seasonal-naive's; the pooled figure is the
    mean over series. Both must be at most `WORST_MASE`. A horizon at which only the seasonal-naive is without error
    fails the series; one that could not be judged does not count, and a series without any judged horizon fails.
    `learn` has vetoed by the same bound on the same part, so of its own reports a series passes by construction: what
    this adds is that no other report gets past. How often the veto was needed is in the figures, and is the honest
    measure of how well methods are chosen.

    Args:
        report: Columns of `models.forecasting.learn.REPORT_SCHEMA`.
    """
    name = "forecaster_beats_seasonal_naive"
    ratios: dict[str, float] = {}
    reasons: list[str] = []
    for series, rows in _chosen(report):
        judged = rows.filter(pl.col("judged") > 0)
        if judged.is_empty():
            reasons.append(f"{series}: nothing could be judged")
        elif judged["mase"].null_count():
            reasons.append(f"{series}: the seasonal-naive is without error where the chosen method is not")
        else:
            ratios[series] = float(judged["mase"].to_numpy().mean())
    worse = {series: ratio for series, ratio in ratios.items() if ratio > WORST_MASE + _TINY}
    reasons += [f"{series}: MASE {ratio:.3f} is above {WORST_MASE}" for series, ratio in _worst(worse)]
    if not ratios:
        return Verdict(name=name, passed=False, reasons=(*reasons[:_NAMED], "no series was judged"))
    pooled = float(np.mean(list(ratios.values())))
    if pooled > WORST_MASE + _TINY:
        reasons.append(f"pooled MASE {pooled:.3f} is above {WORST_MASE}")
    worst_series, worst = max(ratios.items(), key=lambda each: each[1])
    return Verdict(
        name=name,
        passed=not reasons,
        reasons=tuple(reasons),
        measured={
            "mase_pooled_ratio": pooled,
            "mase_worst_ratio": worst,
            "worst_series": worst_series,
            "series_count": len(ratios),
            "vetoed_count": report.filter("is_vetoed").select("target", "sensor").n_unique(),
            "limit_ratio": WORST_MASE,
        },
    )


def interval_coverage_holds(report: pl.DataFrame) -> Verdict:
    """Whether intervals hold as many outcomes as they claim, neither far fewer nor far more.

    The rule, because neighbouring bins are dependent: uncertainty is the standard error over whole days. At each horizon
    the mean coverage over series must not lie below the nominal one by more than `COVERAGE_TOLERANCE`, nor above it by
    more than `COVERAGE_EXCESS`, each beyond half a 99 % interval: 2.576 standard errors, which count up to
    `UNCERTAINTY_LIMIT` and are averaged over series, as if they all moved together. One series must not lie below the nominal coverage by more than
    `SERIES_COVERAGE_TOLERANCE` plus the same. Too wide is judged without outcomes that equal a bound: a
    series that stands still is always within its interval, which is no fault. How often the nominal coverage lies within
    a series' own 99 % interval, at whichever horizon, is in the figures: of sound intervals it does not once in a hundred.

    Args:
        report: Columns of `models.forecasting.learn.REPORT_SCHEMA`.
    """
    name = "interval_coverage_holds"
    judged = report.filter(pl.col("is_chosen") & pl.col("coverage").is_not_null())
    if judged.is_empty():
        return Verdict(name=name, passed=False, reasons=("no interval was judged",))
    reasons: list[str] = []
    measured: dict[str, float | int | str | bool] = {"nominal_ratio": INTERVAL_COVERAGE}
    for key, rows in judged.group_by("horizon_hours", maintain_order=True):
        name_of = horizon_name(int(str(key[0])))
        inside, strictly = _mean(rows["coverage"]), _mean(rows["coverage_strict"])
        uncertainty = min(_NORMAL_99 * _mean(_errors(rows)), UNCERTAINTY_LIMIT)
        least = INTERVAL_COVERAGE - COVERAGE_TOLERANCE - uncertainty
        most = INTERVAL_COVERAGE + COVERAGE_EXCESS + uncertainty
        measured[f"coverage_{name_of}_ratio"] = inside
        measured[f"coverage_{name_of}_least_ratio"] = least
        if inside < least - _TINY:
            reasons.append(f"{name_of} ahead {inside:.1%} lie within, below {least:.1%}")
        if strictly > most + _TINY:
            reasons.append(f"{name_of} ahead {strictly:.1%} lie within, above {most:.1%}")
    half = _NORMAL_99 * _errors(judged) + _TINY
    holds = (judged["coverage"] >= INTERVAL_COVERAGE - half) & (
        judged["coverage_strict"] <= INTERVAL_COVERAGE + half
    )
    measured["series_holding_nominal_ratio"] = _mean(holds.cast(pl.Float64))
    series_uncertainty = (_NORMAL_99 * _errors(judged)).clip(0.0, UNCERTAINTY_LIMIT)
    series_least = INTERVAL_COVERAGE - SERIES_COVERAGE_TOLERANCE - series_uncertainty - _TINY
    narrow = judged.filter(judged["coverage"] < series_least).sort("coverage")
    reasons += [
        f"{row['target']}/{row['sensor']}: {horizon_name(row['horizon_hours'])} ahead only {row['coverage']:.1%} lie within"
        for row in narrow.head(_NAMED).iter_rows(named=True)
    ]
    measured["series_too_narrow_count"] = narrow.select("target", "sensor").n_unique()
    return Verdict(name=name, passed=not reasons, reasons=tuple(reasons), measured=measured)


def prediction_is_fast(seconds: float) -> Verdict:
    """Whether predicting every series takes at most `PREDICTION_SECONDS`.

    Args:
        seconds: Of one call, as it was measured.
    """
    passed = 0.0 <= seconds <= PREDICTION_SECONDS
    reasons = () if passed else (f"predicting takes {seconds:.3f} s, more than {PREDICTION_SECONDS} s",)
    return Verdict(
        name="prediction_is_fast",
        passed=passed,
        reasons=reasons,
        measured={"prediction_seconds": seconds, "limit_seconds": PREDICTION_SECONDS},
    )


def _chosen(report: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    """The chosen method's rows of each series, by its name."""
    groups = report.filter(pl.col("is_chosen")).group_by("target", "sensor", maintain_order=True)
    return [(f"{key[0]}/{key[1]}", rows) for key, rows in groups]


def _worst(ratios: dict[str, float]) -> list[tuple[str, float]]:
    return sorted(ratios.items(), key=lambda each: -each[1])[:_NAMED]


def _mean(column: pl.Series) -> float:
    return float(column.to_numpy().mean())


def _errors(rows: pl.DataFrame) -> pl.Series:
    """Standard errors; one day alone says nothing about its own and counts as wholly uncertain.

    Days that are all alike, as a few that were all held, seem certain and are not: an error is at least that of as many
    independent outcomes at the nominal coverage as forecasts were judged that do not overlap.
    """
    independent = rows["judged"] / (1 + rows["horizon_hours"])
    least = (INTERVAL_COVERAGE * (1.0 - INTERVAL_COVERAGE) / independent.clip(1.0)).sqrt()
    return rows.select(pl.max_horizontal(pl.col("coverage_error").fill_null(1.0), least)).to_series()
