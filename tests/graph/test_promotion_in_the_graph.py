"""The real assets, in process: what passes its gates becomes champion, what does not never does."""

from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.naming import CANDIDATE, CHAMPION, FORECASTER, PREVIOUS
from maximus_assets.defs import forecaster
from maximus_assets.defs.frames import content_hash
from maximus_assets.features.table import feature_table
from maximus_assets.models.forecasting.learn import LearntForecaster

LEARNT = ("forecaster_candidate", "forecaster_champion")

Learn = Callable[[float], None]


@pytest.fixture
def learn_with(house, learnt_shop, monkeypatch: pytest.MonkeyPatch) -> Learn:
    """Makes learning give the shop's forecaster with a report of this MASE; 0.8 is good, 2.0 is poison."""
    table = feature_table(learnt_shop.grid)
    house.store.write("feature_table", None, table, version=content_hash(table))

    def give(mase: float) -> None:
        report = learnt_shop.learnt.report.with_columns(
            mase=pl.lit(mase), coverage=pl.lit(0.9), coverage_strict=pl.lit(0.9)
        )
        learnt: LearntForecaster = replace(learnt_shop.learnt, report=report)
        monkeypatch.setattr(forecaster, "learn", lambda *_, **__: learnt)

    return give


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def test_a_candidate_that_passes_its_gates_becomes_champion(house, learn_with: Learn, learnt_shop) -> None:
    learn_with(0.8)

    result = house.run(*LEARNT)

    assert result.success
    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 1, CHAMPION: 1}
    champion = house.registry.named(FORECASTER, CHAMPION)
    assert champion.tags["maximus.dagster_run_id"] == result.run_id
    assert champion.tags["maximus.data_version"] == content_hash(feature_table(learnt_shop.grid))


def test_a_failed_gate_stops_promotion_in_the_same_run(house, learn_with: Learn) -> None:
    learn_with(0.8)
    house.run(*LEARNT)
    learn_with(2.0)

    result = house.run(*LEARNT)

    assert not result.success
    assert materialized(result) == {"forecaster_candidate"}
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed == {"forecaster_beats_seasonal_naive"}
    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 2, CHAMPION: 1}


def test_promoting_by_hand_after_a_failed_gate_is_refused_without_retries(house, learn_with: Learn) -> None:
    learn_with(0.8)
    house.run(*LEARNT)
    learn_with(2.0)
    house.run("forecaster_candidate")

    result = house.run("forecaster_champion")

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data
    assert "forecaster_beats_seasonal_naive: failed" in said.description
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 2, CHAMPION: 1}


def test_after_a_failed_gate_the_condition_does_not_ask_for_the_champion(house, learn_with: Learn) -> None:
    def tick(cursor):
        return dg.evaluate_automation_conditions(
            defs=house.definitions, instance=house.instance, cursor=cursor
        )

    champion = dg.AssetKey("forecaster_champion")
    learn_with(0.8)
    house.run(*LEARNT)
    first = tick(None)
    learn_with(2.0)
    house.run("forecaster_candidate")
    poisoned = tick(first.cursor)
    learn_with(0.7)
    house.run("forecaster_candidate")
    healthy = tick(poisoned.cursor)

    assert [result.get_num_requested(champion) for result in (first, poisoned, healthy)] == [0, 0, 1]


def test_a_better_candidate_replaces_the_champion_which_stays_as_previous(house, learn_with: Learn) -> None:
    for mase in (0.8, 0.7):
        learn_with(mase)
        assert house.run(*LEARNT).success

    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 2, CHAMPION: 2, PREVIOUS: 1}


def test_learning_from_nothing_fails_with_a_reason_and_registers_nothing(house) -> None:
    house.store.write("feature_table", None, feature_table(pl.DataFrame(schema=house_schema())), version="v")

    result = house.run("forecaster_candidate")

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "there is no demand series" in failure.step_failure_data.user_failure_data.description
    assert house.registry.aliases(FORECASTER) == {}


def test_a_registry_that_does_not_answer_is_tried_again_after_a_delay(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    from maximus_assets.defs.resources import RegistryResource

    with pytest.raises(dg.RetryRequested) as raised:
        list(
            forecaster.forecaster_champion(
                dg.build_asset_context(), RegistryResource(tracking_uri="http://127.0.0.1:1")
            )
        )

    assert raised.value.max_retries == 5
    assert raised.value.seconds_to_wait > 0


def house_schema():
    from maximus_assets.telemetry.frames import SCHEMA

    return SCHEMA
