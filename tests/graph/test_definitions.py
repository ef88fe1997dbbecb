"""The graph is a reviewed artefact: keys, dependencies, checks, automation, schedules, sensors, jobs.

A change of the graph shows as a change of `golden/graph.json`. To make one on purpose:

    MAXIMUS_UPDATE_GOLDEN=1 python -m pytest tests/graph/test_definitions.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from maximus_assets.defs.forecaster import GATES
from maximus_assets.registry.promotion import REQUIRED_GATES

GOLDEN = Path(__file__).parent / "golden" / "graph.json"
ROOT = Path(__file__).parents[2]


def describe(definitions: dg.Definitions) -> dict[str, Any]:
    """The graph's shape, without anything that depends on the day or the machine."""
    repository = definitions.get_repository_def()
    graph = repository.asset_graph
    assets = {}
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "partitions": type(node.partitions_def).__name__ if node.partitions_def else None,
            "is_described": bool(node.description),
            "single_run_backfill": bool(
                node.backfill_policy and node.backfill_policy.max_partitions_per_run is None
            ),
            "automation": node.automation_condition.get_label() if node.automation_condition else None,
            "freshness": type(node.freshness_policy).__name__ if node.freshness_policy else None,
            "checks": {
                check.name: "blocking" if graph.get_check_spec(check).blocking else "warning"
                for check in sorted(node.check_keys, key=lambda check: check.name)
            },
        }
    return {
        "assets": assets,
        "jobs": {
            job.name: sorted(key.to_user_string() for key in job.asset_layer.executable_asset_keys)
            for job in repository.get_all_jobs()
            if not job.name.startswith("__")
        },
        "schedules": {
            schedule.name: {
                "cron": schedule.cron_schedule,
                "zone": schedule.execution_timezone,
                "job": schedule.job_name,
                "by_default": schedule.default_status.value,
            }
            for schedule in repository.schedule_defs
        },
        "sensors": {
            sensor.name: {
                "kind": type(sensor).__name__,
                "by_default": sensor.default_status.value,
                "every_seconds": sensor.minimum_interval_seconds,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda sensor: sensor.name)
        },
        "resources": sorted(repository.get_top_level_resources()),
    }


def test_the_graph_is_the_one_that_was_reviewed(loaded_definitions: dg.Definitions) -> None:
    found = describe(loaded_definitions)
    if os.environ.get("MAXIMUS_UPDATE_GOLDEN") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    assert json.loads(GOLDEN.read_text(encoding="utf-8")) == found


def test_every_required_gate_is_a_blocking_check_of_the_candidate(loaded_definitions: dg.Definitions) -> None:
    graph = loaded_definitions.get_repository_def().asset_graph
    checks = graph.get(dg.AssetKey("forecaster_candidate")).check_keys

    assert {check.name for check in checks} == set(REQUIRED_GATES) == set(GATES)
    assert all(graph.get_check_spec(check).blocking for check in checks)


def test_the_graph_loads_with_nothing_set_and_warns_of_nothing(tmp_path: Path) -> None:
    unset = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("MAXIMUS_", "MLFLOW_", "DAGSTER_"))
    }
    code = "from maximus_assets.definitions import definitions; definitions().get_repository_def()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        env=unset,
        cwd=tmp_path,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_workspace_and_project_name_the_same_code_location() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    (module,) = yaml.safe_load((ROOT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]

    assert module["python_module"]["location_name"] == project["code_location_name"]
    assert module["python_module"]["module_name"] == project["root_module"] + ".definitions"
