"""A version is complete: signature by contract, evidence, card, tags; and it is judged by what it carries."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import polars as pl
import pytest
from mlflow.models import Model

from maximus_assets.checks.drift import make_reference
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.naming import CANDIDATE, FORECASTER, TAG_GATE_PREFIX
from maximus_assets.contracts.prediction import FORECAST_INPUT, FORECAST_OUTPUT, FORECAST_PARAMS
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.boosted import Growth, fit
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.pyfuncs.boosted_features import Recipe
from maximus_assets.pyfuncs.state import dump
from maximus_assets.registry.card import write_card
from maximus_assets.registry.gates import judge, packaged_model_reproduces_training
from maximus_assets.registry.packaging import (
    PROBE_BINS,
    forecaster_signature,
    log_forecaster,
    make_probe,
    save_forecaster,
)
from maximus_assets.registry.promotion import REQUIRED_GATES, unpassed_gates
from maximus_assets.registry.tracking import Registry
from serving.predictors.shelf import Named, Shelf


@pytest.fixture
def good_report(learnt_shop) -> pl.DataFrame:
    """The report with figures every gate accepts, whatever ten days of this service happen to give."""
    return learnt_shop.learnt.report.with_columns(
        mase=pl.lit(0.8), coverage=pl.lit(0.9), coverage_strict=pl.lit(0.9)
    )


@pytest.fixture
def learnt(learnt_shop, good_report: pl.DataFrame) -> LearntForecaster:
    return replace(learnt_shop.learnt, report=good_report, skipped={"host/cpu_used_cores": "too short"})


def test_the_signature_is_the_contract_column_by_column() -> None:
    signature = forecaster_signature()

    assert {column.name: column.type.name for column in signature.inputs} == FORECAST_INPUT
    assert {column.name: column.type.name for column in signature.outputs} == FORECAST_OUTPUT
    assert {p.name: (p.dtype.name, p.default) for p in signature.params} == {
        name: ("long", default) for name, default in FORECAST_PARAMS.items()
    }


def test_the_saved_model_holds_a_script_and_an_archive_and_no_pickle(learnt_shop, tmp_path: Path) -> None:
    folder = save_forecaster(learnt_shop.learnt, tmp_path)

    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "forecaster.py", "state.npz"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle"))]
    assert Model.load(str(folder)).signature == forecaster_signature()


def test_a_version_carries_its_evidence_and_becomes_the_candidate(
    registry: Registry, learnt: LearntForecaster, learnt_shop, tmp_path: Path
) -> None:
    version = log_forecaster(registry, learnt, learnt_shop.grid, learnt_shop.origin)

    assert registry.aliases(FORECASTER) == {CANDIDATE: version.number}
    assert dict(version.tags) == {
        "maximus.contract_version": "3",
        "maximus.feature_recipe": learnt_shop.origin.feature_recipe,
        "maximus.code_revision": "release:0",
        "maximus.dagster_run_id": "run",
        "maximus.trained_at": "2026-02-12T00:00:00+00:00",
        "maximus.data_version": "test",
        "maximus.recipe": "nightly",
        "maximus.history_cuts": "",
    }
    card = registry.download(version, "model/model_card.md", tmp_path).read_text(encoding="utf-8")
    for said in (
        "demo-shop/request_rate_per_second | combination | 2880 | 0.0%",
        "2026-02-02 00:00 to 2026-02-11 23:55 UTC",
        "host/cpu_used_cores: too short",
        "forecaster_beats_seasonal_naive: passed",
        "unknown_series",
    ):
        assert said in card


def test_an_honest_version_passes_every_required_gate_and_says_so_in_its_tags(
    registry: Registry, learnt: LearntForecaster, learnt_shop
) -> None:
    version = log_forecaster(registry, learnt, learnt_shop.grid, learnt_shop.origin)
    assert unpassed_gates(version) != ()

    verdicts = judge(registry, version)

    assert {verdict.name for verdict in verdicts} == set(REQUIRED_GATES)
    assert [verdict.reasons for verdict in verdicts if not verdict.passed] == []
    assert unpassed_gates(registry.version(FORECASTER, version.number)) == ()


def test_a_version_whose_states_were_changed_after_it_was_learnt_is_found_out(
    registry: Registry, learnt: LearntForecaster, learnt_shop, tmp_path: Path
) -> None:
    version = log_forecaster(registry, learnt, learnt_shop.grid, learnt_shop.origin)
    (stored,) = (tmp_path / "artifacts").rglob("state.npz")
    state = learnt.states[0]
    stored.write_bytes(dump([replace(state, weights=np.roll(state.weights, 1))]))

    verdicts = {verdict.name: verdict for verdict in judge(registry, version)}

    assert not verdicts["packaged_model_reproduces_training"].passed
    tags = registry.version(FORECASTER, version.number).tags
    assert tags[TAG_GATE_PREFIX + "packaged_model_reproduces_training"] == "failed"


def test_a_forecaster_worse_than_the_seasonal_naive_fails_its_gate(
    registry: Registry, learnt: LearntForecaster, learnt_shop, good_report: pl.DataFrame
) -> None:
    worse = replace(learnt, report=good_report.with_columns(mase=pl.lit(1.03)))
    version = log_forecaster(registry, worse, learnt_shop.grid, learnt_shop.origin)

    failed = [verdict.name for verdict in judge(registry, version) if not verdict.passed]

    assert failed == ["forecaster_beats_seasonal_naive"]


def test_the_probe_asks_for_the_last_eight_days_of_what_was_learnt(learnt_shop) -> None:
    probe = make_probe(learnt_shop.learnt, learnt_shop.grid)

    assert probe.windows.columns == list(FORECAST_INPUT)
    assert probe.windows.height == PROBE_BINS == 2304
    assert probe.windows["observed_at"].max() == learnt_shop.grid["observed_at"].max().replace(tzinfo=None)
    assert probe.answer["step"].to_list() == list(range(1, 13))
    assert set(probe.answer["status"]) == {"ok"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda answer: answer.with_columns(pl.col("mean") * (1 + 1e-11)), "differs"),
        (lambda answer: answer.head(11), "11 rows for 12"),
        (lambda answer: answer.with_columns(status=pl.lit("cold")), "other series, steps or statuses"),
        (lambda answer: answer.with_columns(lower=pl.lit(float("nan"))), "figures out"),
        (lambda answer: answer.clear(), "0 rows"),
    ],
)
def test_an_answer_that_differs_is_told_apart(learnt_shop, change, reason: str) -> None:
    answer = make_probe(learnt_shop.learnt, learnt_shop.grid).answer

    verdict = packaged_model_reproduces_training(answer, change(answer))

    assert not verdict.passed
    assert reason in verdict.reasons[0]


def test_an_answer_in_another_order_or_off_by_rounding_is_the_same(learnt_shop) -> None:
    answer = make_probe(learnt_shop.learnt, learnt_shop.grid).answer
    nudged = answer.with_columns(mean=np.nextafter(answer["mean"].to_numpy(), np.inf))

    assert packaged_model_reproduces_training(answer, nudged.reverse()).passed


def test_no_answer_at_all_proves_nothing(learnt_shop) -> None:
    answer = make_probe(learnt_shop.learnt, learnt_shop.grid).answer.clear()

    assert not packaged_model_reproduces_training(answer, answer).passed


def test_a_fleets_version_carries_its_model_and_answers_as_learning_did(
    registry: Registry, learnt_fleet, tmp_path: Path
) -> None:
    version = log_forecaster(registry, learnt_fleet.learnt, learnt_fleet.grid, learnt_fleet.origin)

    verdicts = {verdict.name: verdict for verdict in judge(registry, version)}

    assert verdicts["packaged_model_reproduces_training"].passed
    (trees,) = (tmp_path / "artifacts").rglob("fleet.ubj")
    assert trees.read_bytes() == learnt_fleet.learnt.fleet.dump()
    card = next((tmp_path / "artifacts").rglob("model_card.md")).read_text()
    assert re.search(r"[1-8] of 8 states have a share of it", card)


def test_the_kept_champion_of_a_fleet_answers_without_the_registry(learnt_fleet, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    model = save_forecaster(learnt_fleet.learnt, tmp_path / "made")
    shelf = Shelf(tmp_path / "shelf")
    shelf.keep(Named("1", "models:/m-1", {}), model)
    shutil.rmtree(tmp_path / "made")
    probe = make_probe(learnt_fleet.learnt, learnt_fleet.grid)

    kept = mlflow.pyfunc.load_model(str(shelf.last().files)).unwrap_python_model()
    answer = kept.predict(None, probe.windows.to_pandas(), {"horizon_steps": probe.horizon_steps})

    assert np.array_equal(answer["mean"].to_numpy(), probe.answer["mean"].to_numpy())


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-50]), "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_bytes(other_fleet()), "needs the fleet's boosted model"),
    ],
    ids=["cut", "empty", "another"],
)
def test_a_fleets_model_that_is_damaged_or_another_is_refused_at_load(
    learnt_fleet, tmp_path: Path, damage, reason: str
) -> None:
    model = save_forecaster(learnt_fleet.learnt, tmp_path)
    damage(model / "artifacts" / "fleet.ubj")

    with pytest.raises(BadInputError, match=reason):
        mlflow.pyfunc.load_model(str(model))


def test_states_without_the_model_they_name_are_not_packaged(learnt_fleet, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"s\d/demand_count.*there is none"):
        save_forecaster(replace(learnt_fleet.learnt, fleet=None), tmp_path)


def test_a_forecaster_of_one_series_has_no_fleet_and_its_card_says_why(learnt_shop, tmp_path: Path) -> None:
    model = save_forecaster(learnt_shop.learnt, tmp_path)

    assert not list(model.rglob("fleet.ubj"))
    assert "xgboost" not in (model / "requirements.txt").read_text()
    origin, reference = learnt_shop.origin, make_reference(learnt_shop.grid, learnt_shop.learnt.report)
    card = write_card(learnt_shop.learnt, learnt_shop.grid, origin.tags(), reference)
    assert "No boosted model: of 1 series 0 have 5 days" in card


def other_fleet() -> bytes:
    """Whole, and not the one the states name."""
    values = 100.0 + np.random.default_rng(1).normal(size=24 * 20)
    growth = Growth(max_rows=500, rounds=2, patience=1, depth=2)
    return fit([History(values, 0, 3600)], Recipe(3600, 24, 192), growth).dump()
