"""The real assets, in process: what passes its gates becomes champion, what does not never does."""

from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.naming import CANDIDATE, CHAMPION, FORECASTER
from maximus_assets.defs import forecaster
from maximus_assets.defs.forecaster import RECIPE_TAG
from maximus_assets.defs.frames import content_hash
from maximus_assets.features.table import feature_table
from maximus_assets.models.forecasting.learn import LearntForecaster

LEARNT = ("forecaster_candidate", "forecaster_challenger", "forecaster_champion")

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


def test_holidays_that_are_set_reach_what_learns(
    house, learn_with: Learn, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_with(0.8)
    asked: list[dict[str, object]] = []
    give = forecaster.learn
    monkeypatch.setattr(forecaster, "learn", lambda grid, **how: asked.append(how) or give(grid, **how))
    monkeypatch.setenv("MAXIMUS_HOLIDAYS", "DE-BY@Europe/Berlin")

    result = house.run("forecaster_candidate")

    assert result.success
    assert {"Good Friday", "Corpus Christi"} <= {event.name for event in asked[0]["events"]}
    (made,) = result.asset_materializations_for_node("forecaster_candidate")
    assert made.metadata["holidays"].value == "DE-BY@Europe/Berlin"


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

    result = house.run("forecaster_challenger")

    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    said = failure.step_failure_data.user_failure_data
    assert "forecaster_beats_seasonal_naive: failed" in said.description
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 2, CHAMPION: 1}


def test_after_a_failed_gate_the_condition_does_not_ask_for_the_challenger(house, learn_with: Learn) -> None:
    def tick(cursor):
        return dg.evaluate_automation_conditions(
            defs=house.definitions, instance=house.instance, cursor=cursor
        )

    challenger = dg.AssetKey("forecaster_challenger")
    learn_with(0.8)
    house.run(*LEARNT)
    first = tick(None)
    learn_with(2.0)
    house.run("forecaster_candidate")
    poisoned = tick(first.cursor)
    learn_with(0.7)
    house.run("forecaster_candidate")
    healthy = tick(poisoned.cursor)

    assert [result.get_num_requested(challenger) for result in (first, poisoned, healthy)] == [0, 0, 1]


def test_beside_a_champion_a_candidate_that_passes_goes_into_shadow(house, learn_with: Learn) -> None:
    for mase in (0.8, 0.7):
        learn_with(mase)
        assert house.run(*LEARNT).success

    assert house.registry.aliases(FORECASTER) == {CANDIDATE: 2, CHAMPION: 1, "challenger-nightly": 2}


def test_a_run_that_drift_asked_for_has_a_place_in_shadow_of_its_own(house, learn_with: Learn) -> None:
    for tags in ({}, {}, {RECIPE_TAG: "drift"}):
        learn_with(0.8)
        assert house.run(*LEARNT, **tags).success

    assert house.registry.aliases(FORECASTER) == {
        CANDIDATE: 3,
        CHAMPION: 1,
        "challenger-nightly": 2,
        "challenger-drift": 3,
    }


def test_a_candidate_that_forgets_a_series_the_champion_knows_is_refused_with_its_name(
    house, learn_with: Learn, learnt_shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_with(0.8)
    assert house.run(*LEARNT).success
    other = learnt_shop.grid.with_columns(target=pl.lit("other-shop"))
    table = feature_table(other)
    house.store.write("feature_table", None, table, version=content_hash(table))
    learn_with(0.8)
    series = "demo-shop/request_rate_per_second"
    forgetful = forecaster.learn(None)
    renamed = replace(
        forgetful,
        states=tuple(replace(state, target="other-shop") for state in forgetful.states),
        report=forgetful.report.with_columns(target=pl.lit("other-shop")),
        skipped={series: "too many holes"},
    )
    house.store.write("feature_table", None, table, version=content_hash(table))
    monkeypatch.setattr(forecaster, "learn", lambda *_, **__: renamed)

    result = house.run(*LEARNT)

    assert not result.success
    (failed,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (failed.check_name, failed.description) == (
        "champion_series_are_kept",
        f"it would no longer forecast {series}",
    )


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
    from maximus_assets.defs.resources import EvidenceResource, RegistryResource

    with pytest.raises(dg.RetryRequested) as raised:
        list(
            forecaster.forecaster_champion(
                dg.build_asset_context(),
                RegistryResource(tracking_uri="http://127.0.0.1:1"),
                EvidenceResource(database_read_url=""),
            )
        )

    assert raised.value.max_retries == 5
    assert raised.value.seconds_to_wait > 0


def house_schema():
    from maximus_assets.telemetry.frames import SCHEMA

    return SCHEMA
