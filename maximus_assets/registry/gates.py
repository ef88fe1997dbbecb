"""Judging a registered version by what it carries: its report, and its own answers.

Nothing of the process that learnt it is used. The report is read back from the registry, the model is loaded as whoever
serves it loads it, and it is asked for the probe's windows. The judgements themselves are `checks`' pure functions; the
one made here needs the loaded model.
"""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import pandas as pd
import polars as pl
from mlflow.pyfunc import PyFuncModel

from maximus_assets.checks.accuracy import (
    forecaster_beats_seasonal_naive,
    interval_coverage_holds,
    prediction_is_fast,
)
from maximus_assets.contracts.naming import CHAMPION
from maximus_assets.contracts.prediction import FORECAST_INPUT, FORECAST_OUTPUT
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry.packaging import ANSWER, PROBE, REPORT, SERIES
from maximus_assets.registry.promotion import record_verdicts
from maximus_assets.registry.tracking import Registry, Version

TOLERANCE: Final = 1e-12
"""How far apart, relative to the larger of value and 1, the packaged model and the learning process may answer."""

LOST_RATIO: Final = 0.02
"""Share of the champion's series that a candidate may lose: one broken series of a large fleet must not stop all."""

_NAMED: Final = 10
_TIMED_CALLS: Final = 7
_FIGURES: Final = ("mean", "lower", "upper")


def judge(registry: Registry, version: Version) -> tuple[Verdict, ...]:
    """Pass judgement on a version by every required gate and write the verdicts on it.

    Args:
        registry: Where it is.
        version: A version `packaging` registered.

    Raises:
        Retryable: The registry went away.
        Permanent: The version lacks its evidence or cannot be loaded.
    """
    with TemporaryDirectory(prefix="maximus-judge-") as name:
        folder = Path(name)
        evidence = registry.download(version, "evidence", folder)
        report = pl.read_parquet(evidence / REPORT)
        expected = pl.read_parquet(evidence / ANSWER)
        windows = probe_frame(pl.read_parquet(evidence / PROBE))
        seen = pl.read_parquet(evidence / SERIES)
        before = _champion_series(registry, version, folder / "champion")
        model = registry.load(version, folder)
        horizon = int(expected["step"].max() or 1)  # type: ignore[arg-type]
        answered, seconds = ask(model, windows, horizon)
    verdicts = (
        forecaster_beats_seasonal_naive(report),
        interval_coverage_holds(report),
        prediction_is_fast(seconds),
        packaged_model_reproduces_training(expected, answered),
        champion_series_are_kept(before, seen),
    )
    record_verdicts(registry, version, verdicts)
    return verdicts


def _champion_series(registry: Registry, version: Version, folder: Path) -> set[str]:
    """The series the champion knows, none when there is none or it is this version."""
    champion = registry.named(version.name, CHAMPION)
    if champion is None or champion.number == version.number:
        return set()
    folder.mkdir()
    report = pl.read_parquet(registry.download(champion, f"evidence/{REPORT}", folder))
    chosen = report.filter(pl.col("is_chosen")).select("target", "sensor").unique()
    return {f"{target}/{sensor}" for target, sensor in chosen.iter_rows()}


def champion_series_are_kept(before: set[str], seen: pl.DataFrame) -> Verdict:
    """Whether every series the champion forecasts, and of which there still is data, would go on being forecast.

    A series that has vanished from the data is named and refuses nothing: a target that was taken away must not hold up
    the others. Of those still there, at most `LOST_RATIO` may be lost.

    Args:
        before: Series (`target/sensor`) the champion knows.
        seen: Columns `series`, `is_learnt` of the candidate's data.
    """
    known = dict(seen.select("series", "is_learnt").iter_rows())
    gone = sorted(series for series in before if series not in known)
    lost = sorted(series for series in before if known.get(series) is False)
    reasons = [f"it would no longer forecast {_names(lost)}"] if lost else []
    reasons += [f"no data any more of {_names(gone)}"] if gone else []
    return Verdict(
        name="champion_series_are_kept",
        passed=len(lost) <= LOST_RATIO * len(before),
        reasons=tuple(reasons),
        measured={"champion_series_count": len(before), "lost_count": len(lost), "gone_count": len(gone)},
    )


def _names(series: list[str]) -> str:
    more = f" and {len(series) - _NAMED} more" if len(series) > _NAMED else ""
    return ", ".join(series[:_NAMED]) + more


def probe_frame(windows: pl.DataFrame) -> pd.DataFrame:
    """Windows in the form MLflow takes them."""
    return windows.select(*FORECAST_INPUT).to_pandas()


def ask(model: PyFuncModel, windows: pd.DataFrame, horizon_steps: int) -> tuple[pl.DataFrame, float]:
    """The model's answer and the median time of a call in seconds; the first call, which warms up, is not timed."""
    params = {"horizon_steps": horizon_steps}
    answered = model.predict(windows, params=params)
    assert isinstance(answered, pd.DataFrame)
    taken = []
    for _ in range(_TIMED_CALLS):
        started = time.perf_counter()
        model.predict(windows, params=params)
        taken.append(time.perf_counter() - started)
    return pl.from_pandas(answered), median(taken)


def packaged_model_reproduces_training(expected: pl.DataFrame, answered: pl.DataFrame) -> Verdict:
    """Whether the packaged model gives the numbers the learning process gave.

    Args:
        expected: What the learning process predicted, columns `FORECAST_OUTPUT`.
        answered: What the packaged model answers to the same windows.
    """
    name = "packaged_model_reproduces_training"
    keys = [column for column in FORECAST_OUTPUT if column not in _FIGURES]
    ours = expected.select(*FORECAST_OUTPUT).sort("target", "sensor", "step")
    theirs = answered.select(*FORECAST_OUTPUT).sort("target", "sensor", "step")
    measured: dict[str, float | int | str | bool] = {"rows": ours.height}
    if ours.height == 0 or not ours.select(keys).equals(theirs.select(keys)):
        reason = f"it answers other series, steps or statuses: {theirs.height} rows for {ours.height}"
        return Verdict(name=name, passed=False, reasons=(reason,), measured=measured)
    a, b = (frame.select(*_FIGURES).to_numpy() for frame in (ours, theirs))
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        reason = "it leaves other figures out"
        return Verdict(name=name, passed=False, reasons=(reason,), measured=measured)
    worst = float(np.nanmax(np.abs(a - b) / np.maximum(np.abs(a), 1.0), initial=0.0))
    measured["largest_relative_difference_ratio"] = worst
    reasons = () if worst <= TOLERANCE else (f"a figure differs by {worst:.3g}, at most {TOLERANCE:g} may",)
    return Verdict(name=name, passed=not reasons, reasons=reasons, measured=measured)
