import gc
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.supervisor import storage


@pytest.mark.parametrize("package", ["mlflow", "dagster"])
def test_an_installed_package_has_exactly_one_newest_schema_version(package):
    assert len(storage.heads(package)) == 1


@pytest.fixture
def switching_threads():
    """The collector runs often and lets another thread go on each time, as it may at any moment."""

    def yield_to_others(phase, info):
        time.sleep(0)

    before = gc.get_threshold()
    gc.callbacks.append(yield_to_others)
    gc.set_threshold(50)
    yield
    gc.set_threshold(*before)
    gc.callbacks.remove(yield_to_others)


def test_stages_may_ask_side_by_side(switching_threads):
    """Without a lock CPython 3.11 fails one of two threads that parse at the same moment."""
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(storage.heads, ["mlflow", "dagster"]))
    assert all(len(heads) == 1 for heads in both)


def test_the_newest_version_of_mlflow_is_the_one_mlflow_itself_asks_for():
    """MLflow's own way to ask: through Alembic, seconds of imports that a start does not pay."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config("postgresql+psycopg2://nobody@/nothing"))
    assert storage.heads("mlflow") == set(script.get_heads())


def test_dagster_is_told_where_everything_is_and_to_keep_to_itself(tmp_path):
    storage.configure_dagster(tmp_path / "dagster")
    options = json.loads((tmp_path / "dagster" / "dagster.yaml").read_text())
    assert options["telemetry"] == {"enabled": False}
    assert options["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_POSTGRES_URL"}
    assert options["compute_logs"]["config"]["base_dir"].startswith(str(tmp_path))
    workspace = json.loads((tmp_path / "dagster" / "workspace.yaml").read_text())
    (server,) = workspace["load_from"]
    assert server["grpc_server"]["socket"] == str(tmp_path / "sock" / "dagster.sock")


def test_dagster_itself_accepts_its_configuration(tmp_path):
    from dagster import Shape
    from dagster._config import validate_config
    from dagster._core.instance.config import dagster_instance_config_schema

    storage.configure_dagster(tmp_path / "dagster")
    options = json.loads((tmp_path / "dagster" / "dagster.yaml").read_text())
    result = validate_config(Shape(dagster_instance_config_schema()), options)
    assert result.success, result.errors
