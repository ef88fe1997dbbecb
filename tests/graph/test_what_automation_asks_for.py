"""What a run is made of that the daemon starts by itself: ticks of the real condition on the real graph."""

import dagster as dg
import pytest

from maximus_assets.defs.automation import CHAIN
from maximus_assets.defs.forecaster import DRIFT, GATES

pytestmark = pytest.mark.filterwarnings("ignore:Parameter `use_user_code_server` .* is currently in beta")


class Daemon:
    """Evaluates the conditions of the graph as the daemon does, but without a server between."""

    def __init__(self, house) -> None:
        self.instance = house.instance
        self.repository = house.definitions.get_repository_def()
        self.cursor: str | None = None
        self.sensor = dg.AutomationConditionSensorDefinition(
            "in_this_process", target=dg.AssetSelection.all(), use_user_code_server=True
        )

    def tick(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(
            instance=self.instance, repository_def=self.repository, cursor=self.cursor
        ) as context:
            ticked = self.sensor.evaluate_tick(context)
        self.cursor = ticked.cursor
        return list(ticked.run_requests or [])


def was_made(house, asset: str, version: str) -> None:
    """Tell the instance of an asset, as a run of it would."""
    tags = {"dagster/data_version": version}
    house.instance.report_runless_asset_event(dg.AssetMaterialization(asset, tags=tags))
    for key in house.definitions.resolve_asset_graph().get_check_keys_for_assets({dg.AssetKey(asset)}):
        house.instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=key.asset_key, check_name=key.name, passed=True)
        )


def test_a_changed_table_is_learnt_from_judged_by_every_gate_and_settled_in_one_run(house) -> None:
    for asset in CHAIN[1:]:
        was_made(house, asset.to_user_string(), "1")
    daemon = Daemon(house)
    assert daemon.tick() == []
    was_made(house, "feature_table", "2")

    (request,) = daemon.tick()

    assert set(request.asset_selection) == set(CHAIN[2:])
    assert {key.name for key in request.asset_check_keys} == GATES.keys() | DRIFT.keys()
    assert daemon.tick() == []
