"""The automation condition, by real runs and real ticks on a small graph: data -> table -> model."""

from collections.abc import Iterator

import dagster as dg
import pytest

from maximus_assets.defs.automation import when_gates_pass

KEYS = ("data", "table", "model")


class Wheel:
    """A graph of three assets, an instance, and the cursor of the condition's evaluator."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.version = "1"
        self.passes = True
        self.cursor = None
        self.definitions = dg.Definitions(assets=self._assets())

    def _assets(self) -> list[dg.AssetsDefinition]:
        @dg.asset(check_specs=[dg.AssetCheckSpec("data_is_good", asset="data", blocking=True)])
        def data() -> Iterator[dg.MaterializeResult[None]]:
            yield dg.MaterializeResult(
                data_version=dg.DataVersion(self.version),
                check_results=[dg.AssetCheckResult(check_name="data_is_good", passed=self.passes)],
            )

        @dg.asset(deps=[data], automation_condition=when_gates_pass())
        def table() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult(data_version=dg.DataVersion(self.version))

        @dg.asset(deps=[table], automation_condition=when_gates_pass())
        def model() -> dg.MaterializeResult[None]:
            return dg.MaterializeResult(data_version=dg.DataVersion(self.version))

        return [data, table, model]

    def make(self, *assets: str, version: str | None = None, passes: bool = True) -> None:
        """Materialize assets in one run."""
        self.version, self.passes = version or self.version, passes
        self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            instance=self.instance,
            raise_on_error=False,
        )

    def tick(self) -> list[str]:
        """Evaluate once; what was asked for."""
        result = dg.evaluate_automation_conditions(
            defs=self.definitions, instance=self.instance, cursor=self.cursor
        )
        self.cursor = result.cursor
        return [key for key in KEYS if result.get_num_requested(dg.AssetKey(key))]


@pytest.fixture
def wheel() -> Iterator[Wheel]:
    """Everything made once, and noticed."""
    with dg.DagsterInstance.ephemeral() as instance:
        made = Wheel(instance)
        made.tick()
        made.make(*KEYS)
        made.tick()
        yield made


def test_nothing_is_asked_for_while_nothing_changes(wheel: Wheel) -> None:
    assert [wheel.tick(), wheel.tick()] == [[], []]


def test_a_change_is_carried_to_the_end_in_one_request_and_once(wheel: Wheel) -> None:
    wheel.make("data", version="2")

    assert wheel.tick() == ["table", "model"]
    wheel.make("table", "model")
    assert [wheel.tick(), wheel.tick()] == [[], []]


def test_the_same_data_read_again_asks_for_nothing(wheel: Wheel) -> None:
    wheel.make("data")
    assert wheel.tick() == []


def test_a_run_that_makes_everything_is_not_followed_by_another(wheel: Wheel) -> None:
    wheel.make(*KEYS, version="2")
    assert [wheel.tick(), wheel.tick()] == [[], []]


def test_a_failed_gate_stops_the_change_until_it_passes(wheel: Wheel) -> None:
    wheel.make("data", version="2", passes=False)
    assert [wheel.tick(), wheel.tick()] == [[], []]

    wheel.make("data", passes=True)
    assert wheel.tick() == ["table", "model"]


def test_a_gate_that_fails_again_stops_it_again(wheel: Wheel) -> None:
    asked = []
    for version, passes in (("2", True), ("3", False), ("4", False), ("5", True), ("6", False)):
        wheel.make("data", version=version, passes=passes)
        asked.append(bool(wheel.tick()))
        if asked[-1]:
            wheel.make("table", "model")
            wheel.tick()

    assert asked == [True, False, False, True, False]


def test_a_change_on_the_tick_after_a_request_is_not_forgotten(wheel: Wheel) -> None:
    wheel.make("data", version="2")
    assert wheel.tick() == ["table", "model"]

    wheel.make("data", version="3")
    assert wheel.tick() == ["table", "model"]


def test_a_change_that_lands_after_the_run_is_not_forgotten_when_both_are_noticed_at_once(
    wheel: Wheel,
) -> None:
    wheel.make("data", version="2")
    assert wheel.tick() == ["table", "model"]

    wheel.make("table", "model")
    wheel.make("data", version="3")
    assert wheel.tick() == ["table", "model"]


def test_a_change_that_was_made_before_the_run_that_followed_it_is_done_when_both_are_noticed_at_once(
    wheel: Wheel,
) -> None:
    wheel.make("data", version="2")
    wheel.make("table", "model")

    assert wheel.tick() == []
    wheel.make("data")
    assert [wheel.tick(), wheel.tick()] == [[], []]


@pytest.mark.parametrize("is_finished", [False, True])
def test_a_change_that_lands_while_a_run_is_under_way_is_asked_for_when_it_ends(
    wheel: Wheel, is_finished: bool
) -> None:
    run = wheel.instance.create_run_for_job(
        wheel.definitions.resolve_implicit_global_asset_job_def(),
        asset_selection=frozenset({dg.AssetKey("table")}),
        status=dg.DagsterRunStatus.STARTED,
    )
    planned = dg.DagsterEvent(
        event_type_value="ASSET_MATERIALIZATION_PLANNED",
        job_name=run.job_name,
        event_specific_data=planned_data("table"),
    )
    wheel.instance.report_dagster_event(planned, run.run_id)
    assert wheel.tick() == []
    wheel.make("data", version="2")
    assert wheel.tick() == []

    if is_finished:
        wheel.instance.report_dagster_event(
            dg.DagsterEvent("ASSET_MATERIALIZATION", run.job_name, event_specific_data=made_data("table")),
            run.run_id,
        )
    wheel.instance.report_run_canceled(run)
    assert wheel.tick() == ["table", "model"]
    assert wheel.tick() == []


def test_a_run_that_failed_is_not_asked_for_on_every_tick(wheel: Wheel) -> None:
    wheel.make("data", version="2")
    assert wheel.tick() == ["table", "model"]

    # Nothing was made: the run failed at once.
    assert [wheel.tick() for _ in range(5)] == [[]] * 5


def test_what_follows_waits_for_a_dependency_that_was_never_made() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        wheel = Wheel(instance)
        assert [wheel.tick(), wheel.tick()] == [[], []]
        wheel.make("data")
        assert wheel.tick() == ["table", "model"]


def planned_data(asset: str):
    from dagster._core.events import AssetMaterializationPlannedData

    return AssetMaterializationPlannedData(asset_key=dg.AssetKey(asset))


def made_data(asset: str):
    from dagster._core.events import StepMaterializationData

    return StepMaterializationData(dg.AssetMaterialization(asset, tags={"dagster/data_version": "1"}))
