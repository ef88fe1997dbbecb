"""The hourly series of the M4 competition: 48 hours ahead of each series' end, by the competition's own definitions.

Makridakis, Spiliotis and Assimakopoulos, The M4 Competition (International Journal of Forecasting 36, 2020): sMAPE is
the mean of 200 |a - f| / (|a| + |f|); MASE is the mean absolute error over the mean of |y_t - y_(t-24)| of the training
part. The series have no clock: the first value is taken to be of an arbitrary midnight. The test values are not in the
history that is forecast from: it ends in missing bins.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.demand.series import Skipped, numbers, read_csv
from maximus_assets.contracts.errors import BadInputError, MaximusError
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.evaluate import evaluate
from maximus_assets.models.forecasting.fleetwide import Fleetwide

Array = NDArray[np.float64]
Row = dict[str, Any]

HORIZON: Final = 48
SEASON: Final = 24
STEP_SECONDS: Final = 3600
FOLDER: Final = "m4_hourly"


def read(root: Path, train: Path | None = None) -> tuple[dict[str, tuple[Array, Array]], list[Skipped]]:
    """Every series that has both a training and a test part.

    Args:
        root: A folder laid out like the data folder.
        train: Another one, whose training part is used for series that `root` has only the test of.

    Returns:
        Name -> training values and the 48 that followed; and files and series left out, with reasons.
    """
    skipped: list[Skipped] = []
    known = _training(root, train, skipped)
    found = {}
    for name, actual in _read_all(root, "test", skipped).items():
        if name not in known:
            skipped.append(Skipped(f"{FOLDER}/{name}", "there is no training part"))
        elif len(actual) != HORIZON or np.isnan(actual).any():
            skipped.append(Skipped(f"{FOLDER}/{name}", f"its test part has not {HORIZON} values"))
        elif len(known[name]) <= SEASON or np.isnan(known[name]).any():
            skipped.append(Skipped(f"{FOLDER}/{name}", "its training part is too short or has holes"))
        else:
            found[name] = (known[name], actual)
    return found, skipped


def training_parts(root: Path, train: Path | None = None) -> dict[str, Array]:
    """Training values of every series, also of those without a test part; for a model that learns from all of them."""
    found = _training(root, train, [])
    return {name: one for name, one in found.items() if len(one) > SEASON and not np.isnan(one).any()}


def mase(actual: Array, forecast: Array, training: Array) -> float | None:
    """Mean absolute error over the in-sample seasonal error; None where that is zero."""
    scale = float(np.abs(training[SEASON:] - training[:-SEASON]).mean())
    return float(np.abs(actual - forecast).mean()) / scale if scale > 0.0 else None


def smape(actual: Array, forecast: Array) -> float:
    """Symmetric mean absolute percentage error, 0 to 200; 0 / 0 counts as 0."""
    total = np.abs(actual) + np.abs(forecast)
    difference = 200.0 * np.abs(actual - forecast)
    return float(np.mean(np.divide(difference, total, out=np.zeros_like(total), where=total > 0.0)))


def repeated(training: Array) -> Array:
    """The seasonal-naive: the last day, twice."""
    return np.tile(training[-SEASON:], HORIZON // SEASON)


def judge(name: str, training: Array, actual: Array, fleet: Fleetwide | None = None) -> Row:
    """Forecast one series; never raises.

    Args:
        name: The series.
        training: What is known.
        actual: What followed.
        fleet: What the competition's series were taught together; None for a series by itself.

    Returns:
        A row of kind `m4`; of kind `failed`, with its reason, where it could not be forecast.
    """
    try:
        return _judged(name, training, actual, fleet)
    except MaximusError as error:
        return {"kind": "failed", "series": f"{FOLDER}/{name}", "reason": str(error)}
    except Exception as error:  # noqa: BLE001 - one series' defect must not end the others; it stands in the report
        reason = f"{type(error).__name__}: {error}"
        return {"kind": "failed", "series": f"{FOLDER}/{name}", "reason": reason}


def to_history(training: Array) -> History:
    """A training part, and the bins that will be judged as missing ones."""
    values = np.concatenate([training, np.full(HORIZON, np.nan)])
    return History(values, 0, STEP_SECONDS, 0.0 if float(training.min()) >= 0.0 else -np.inf)


def _judged(name: str, training: Array, actual: Array, fleet: Fleetwide | None) -> Row:
    history = to_history(training)
    ratio = HORIZON / len(history.values)
    found = evaluate(history, fleet, judged_ratio=ratio, horizon_steps=HORIZON)
    (where,) = np.flatnonzero(found.origins == len(training))
    forecast = found.forecasts[where]
    if len(forecast) != HORIZON or not np.isfinite(forecast).all():
        raise RuntimeError(f"{np.isfinite(forecast).sum()} of {HORIZON} steps were forecast")
    covered = (actual >= found.lower[where]) & (actual <= found.upper[where])
    naive = repeated(training)
    return {
        "kind": "m4",
        "series": f"{FOLDER}/{name}",
        "chosen": ", ".join(dict.fromkeys(map(str, found.methods))),
        "mase": mase(actual, forecast, training),
        "smape": smape(actual, forecast),
        "seasonal_naive_mase": mase(actual, naive, training),
        "seasonal_naive_smape": smape(actual, naive),
        "coverage": float(covered.mean()),
        "fleet_series": 0 if fleet is None else len(fleet.cuts),
        "fit_seconds": float(found.fit_seconds),
    }


def _training(root: Path, train: Path | None, skipped: list[Skipped]) -> dict[str, Array]:
    known: dict[str, Array] = {}
    for folder in (train, root):
        if folder is not None:
            known |= _read_all(folder, "train", skipped)
    return known


def _read_all(root: Path, part: str, skipped: list[Skipped]) -> dict[str, Array]:
    """The series of every file of a part; damaged files and rows go to `skipped`."""
    found: dict[str, Array] = {}
    paths = sorted(
        path for path in (root / FOLDER).glob("*") if part in path.name.lower() and ".csv" in path.name
    )
    for path in paths:
        name = str(path.relative_to(root))
        try:
            found |= _read(path)
        except BadInputError as error:
            skipped.append(Skipped(name, str(error)))
        except (OSError, EOFError, zlib.error, gzip.BadGzipFile, pl.exceptions.PolarsError) as error:
            skipped.append(Skipped(name, f"{name} cannot be read: {error}".splitlines()[0]))
    return found


def _read(path: Path) -> dict[str, Array]:
    """One file: a series a row, its name first, then its values, padded with empty fields at the end."""
    frame = read_csv(path)
    values = np.column_stack([numbers(frame, column, path.name) for column in frame.columns[1:]])
    found = {}
    for name, row in zip(frame[frame.columns[0]], values, strict=True):
        seen = np.flatnonzero(np.isfinite(row))
        found[str(name)] = row[: seen[-1] + 1] if len(seen) else row[:0]
    return found
