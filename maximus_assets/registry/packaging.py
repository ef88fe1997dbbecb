"""From a learnt forecaster to a registered version: model folder, signature, evidence, card, tags.

The signature is declared from `contracts.prediction`, never inferred from data: what crosses the seam is a contract, not
an accident of the rows at hand. The model is a script and one NumPy archive, of a fleet also its trees; no object of ours
is pickled.

A version also carries a probe: windows, and what the learning process itself predicted from them. Whoever judges the
version later compares what the packaged model answers with it, in another process and without what learnt it.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import mlflow.pyfunc
import numpy as np
import polars as pl
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from maximus_assets import pyfuncs
from maximus_assets.checks.drift import make_reference
from maximus_assets.contracts import naming
from maximus_assets.contracts.prediction import FORECAST_INPUT, FORECAST_OUTPUT, FORECAST_PARAMS
from maximus_assets.contracts.telemetry import GRID_SECONDS, OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.models.forecasting.scoring import horizon_name
from maximus_assets.pyfuncs.boosted import require
from maximus_assets.pyfuncs.forecasting import Prediction, predict
from maximus_assets.pyfuncs.state import SeriesState, dump
from maximus_assets.pyfuncs.window import SeriesWindow
from maximus_assets.registry.card import shortened, write_card
from maximus_assets.registry.promotion import name_candidate
from maximus_assets.registry.tracking import DESCRIPTION_LIMIT, Record, Registry, Version

EXPERIMENT: Final = "forecasting"
STATE_ARTIFACT: Final = "state"
FLEET_ARTIFACT: Final = "fleet"
PROBE_BINS: Final = 8 * 86_400 // GRID_SECONDS
"""Length of a probe's windows: the eight days the loop keeps."""

CARD: Final = "model_card.md"
_MEDIANS: Final = ("r2", "mase", "coverage")
REPORT: Final = "report.parquet"
PROBE: Final = "probe.parquet"
ANSWER: Final = "answer.parquet"
REFERENCE: Final = "reference.parquet"
SERIES: Final = "series.parquet"


@dataclass(frozen=True)
class Origin:
    """Where a version comes from.

    Attributes:
        trained_at: When it was learnt.
        feature_recipe: Hash of the feature recipe.
        data_version: Version of the feature table it was learnt from.
        code_revision: Revision of this code.
        dagster_run_id: The run that learnt it, empty outside Dagster.
        recipe: Why it was learnt; there is one challenger for each.
        history_cuts: What of the history was left out because demand changed (`registry.cuts.as_tag`).
    """

    trained_at: datetime
    feature_recipe: str
    data_version: str
    code_revision: str
    dagster_run_id: str = ""
    recipe: str = naming.NIGHTLY_RECIPE
    history_cuts: str = ""

    def tags(self) -> dict[str, str]:
        """The evidence tags of `contracts.naming`."""
        return {
            naming.TAG_CONTRACT_VERSION: naming.CONTRACT_VERSION,
            naming.TAG_FEATURE_RECIPE: self.feature_recipe,
            naming.TAG_CODE_REVISION: self.code_revision,
            naming.TAG_DAGSTER_RUN: self.dagster_run_id,
            naming.TAG_TRAINED_AT: self.trained_at.isoformat(),
            naming.TAG_DATA_VERSION: self.data_version,
            naming.TAG_RECIPE: self.recipe,
            naming.TAG_HISTORY_CUTS: self.history_cuts,
        }


@dataclass(frozen=True, eq=False)
class Probe:
    """Windows, and what the learning process predicts from them.

    Attributes:
        windows: Columns `FORECAST_INPUT`.
        answer: Columns `FORECAST_OUTPUT`.
        horizon_steps: How many steps ahead were asked for.
    """

    windows: pl.DataFrame
    answer: pl.DataFrame
    horizon_steps: int


def forecaster_signature() -> ModelSignature:
    """The forecaster's signature: columns, types and parameters of `contracts.prediction`."""
    return ModelSignature(
        inputs=Schema([ColSpec(DataType[kind], name) for name, kind in FORECAST_INPUT.items()]),
        outputs=Schema([ColSpec(DataType[kind], name) for name, kind in FORECAST_OUTPUT.items()]),
        params=ParamSchema(
            [ParamSpec(name, DataType.long, default) for name, default in FORECAST_PARAMS.items()]
        ),
    )


def make_probe(learnt: LearntForecaster, grid: pl.DataFrame) -> Probe:
    """Take the last eight days of every learnt series and predict from them in this process.

    Args:
        learnt: What was learnt.
        grid: What it was learnt from.
    """
    states = {(state.target, state.sensor): state for state in learnt.states}
    horizon = min([FORECAST_PARAMS["horizon_steps"], *(state.horizon_steps for state in learnt.states)])
    windows = []
    for (target, sensor), series in grid.partition_by(TARGET, SENSOR, as_dict=True).items():
        if (str(target), str(sensor)) in states:
            recent = series.sort(OBSERVED_AT).tail(PROBE_BINS)
            end = int(recent[OBSERVED_AT].dt.epoch("s")[-1])
            values = recent[VALUE].fill_null(np.nan).to_numpy().astype(np.float64)
            windows.append(SeriesWindow(str(target), str(sensor), end, values))
    rows = pl.concat([_window_rows(window, states[window.target, window.sensor]) for window in windows])
    answers = pl.concat([_answer_rows(got) for got in predict(states, windows, horizon, fleet=learnt.fleet)])
    return Probe(windows=rows, answer=answers, horizon_steps=horizon)


def save_forecaster(learnt: LearntForecaster, folder: Path) -> Path:
    """Write the model as a folder MLflow can load; the folder's path.

    Args:
        learnt: What was learnt.
        folder: Where; `folder/model` must not exist.

    Raises:
        BadInputError: A state names a fleet's model that was not learnt with it.
    """
    require(learnt.states, learnt.fleet)
    state = folder / "state.npz"
    state.write_bytes(dump(learnt.states))
    artifacts = {STATE_ARTIFACT: str(state)}
    needed = ["maximus", "mlflow", "numpy", "pandas"]
    if learnt.fleet is not None:
        trees = folder / "fleet.ubj"
        trees.write_bytes(learnt.fleet.dump())
        artifacts[FLEET_ARTIFACT] = str(trees)
        needed.append("xgboost-cpu")
    model = folder / "model"
    with _quiet_mlflow():
        mlflow.pyfunc.save_model(
            path=str(model),
            python_model=str(Path(pyfuncs.__file__).parent / "forecaster.py"),
            artifacts=artifacts,
            signature=forecaster_signature(),
            # Stated, not inferred: inferring loads the model in another process and takes longer than learning it.
            pip_requirements=[f"{name}=={installed_version(name)}" for name in needed],
        )
    return model


def log_forecaster(
    registry: Registry, learnt: LearntForecaster, grid: pl.DataFrame, origin: Origin
) -> Version:
    """Register a learnt forecaster as the next version of `maximus-forecaster` and make it the candidate.

    Args:
        registry: Where.
        learnt: What was learnt; at least one series.
        grid: What it was learnt from.
        origin: Where it comes from.

    Raises:
        Retryable: The registry went away.
        Permanent: The registry refused it.
    """
    probe = make_probe(learnt, grid)
    reference = make_reference(grid, learnt.report)
    with TemporaryDirectory(prefix="maximus-model-") as name:
        folder = Path(name)
        model = save_forecaster(learnt, folder)
        card = write_card(learnt, grid, origin.tags(), reference)
        (model / CARD).write_text(card, encoding="utf-8")
        evidence = folder / "evidence"
        evidence.mkdir()
        learnt.report.write_parquet(evidence / REPORT)
        probe.windows.write_parquet(evidence / PROBE)
        probe.answer.write_parquet(evidence / ANSWER)
        reference.write_parquet(evidence / REFERENCE)
        seen_series(learnt).write_parquet(evidence / SERIES)
        record = Record(
            experiment=EXPERIMENT,
            run_name=f"forecaster {origin.trained_at:%Y-%m-%d %H:%M}",
            params={"series": str(len(learnt.states)), "skipped": str(len(learnt.skipped))},
            metrics={"fit_seconds": learnt.fit_seconds, **_metrics(learnt.report)},
            tags=origin.tags(),
            description=shortened(card, DESCRIPTION_LIMIT),
        )
        version = registry.register(naming.FORECASTER, model, evidence, record)
    name_candidate(registry, version)
    return version


def seen_series(learnt: LearntForecaster) -> pl.DataFrame:
    """Every series there was data of: `series` (target/sensor), and whether it was learnt."""
    known = {f"{state.target}/{state.sensor}": True for state in learnt.states}
    known |= dict.fromkeys(learnt.skipped, False)
    return pl.DataFrame(
        {"series": list(known), "is_learnt": list(known.values())},
        schema={"series": pl.String(), "is_learnt": pl.Boolean()},
    )


def _metrics(report: pl.DataFrame) -> dict[str, float]:
    """The medians over all series of the chosen methods' figures, by horizon; undefined ones are left out."""
    chosen = report.filter(pl.col("is_chosen")).group_by("horizon_hours").agg(pl.col(*_MEDIANS).median())
    return {
        f"{figure}_{horizon_name(row['horizon_hours'])}": float(row[figure])
        for row in chosen.sort("horizon_hours").iter_rows(named=True)
        for figure in _MEDIANS
        if row[figure] is not None and np.isfinite(row[figure])
    }


def _window_rows(window: SeriesWindow, state: SeriesState) -> pl.DataFrame:
    """A window as rows of the model's input."""
    back = np.arange(1 - len(window.values), 1, dtype=np.int64)
    seconds = window.end_epoch_seconds + state.step_seconds * back
    return (
        pl.DataFrame({OBSERVED_AT: seconds * 1_000_000, VALUE: window.values})
        .with_columns(
            pl.lit(window.target).alias(TARGET),
            pl.lit(window.sensor).alias(SENSOR),
            pl.col(OBSERVED_AT).cast(
                pl.Datetime("us")
            ),  # MLflow's datetime has no zone; the instants are UTC
        )
        .select(*FORECAST_INPUT)
    )


def _answer_rows(prediction: Prediction) -> pl.DataFrame:
    """A prediction as rows of the model's output."""
    is_ok = prediction.status == "ok"
    nothing = np.array([np.nan])
    return (
        pl.DataFrame(
            {
                "step": np.arange(1, len(prediction.mean) + 1) if is_ok else np.zeros(1, dtype=np.int64),
                "mean": prediction.mean if is_ok else nothing,
                "lower": prediction.lower if is_ok else nothing,
                "upper": prediction.upper if is_ok else nothing,
            }
        )
        .with_columns(
            pl.lit(prediction.target).alias(TARGET),
            pl.lit(prediction.sensor).alias(SENSOR),
            pl.lit(prediction.status).alias("status"),
            pl.lit(prediction.method).alias("method"),
        )
        .select(*FORECAST_OUTPUT)
    )


@contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """Keep MLflow's advice about input examples and type hints out of the log: both are declared here."""
    loggers = [
        logging.getLogger(name) for name in ("mlflow.pyfunc", "mlflow.models.model", "mlflow.types.utils")
    ]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
