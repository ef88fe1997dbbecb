"""What the learning of a fresh start left behind: Dagster on PostgreSQL, a registry behind its server, four weeks on disk."""

import json

import polars as pl
import pytest

from maximus_assets.contracts.naming import CHAMPION, FORECASTER
from maximus_assets.defs.first_run import STAGES
from maximus_assets.registry.promotion import REQUIRED_GATES

pytestmark = pytest.mark.slow


def test_four_weeks_were_read_learnt_from_and_judged_by_every_gate_on_real_servers(installation):
    data = installation.root / ".maximus"
    said = (data / "log" / "first-learning.log").read_text(encoding="utf-8").splitlines()
    stages = [json.loads(line)["stage"] for line in said if line.startswith("{")]
    assert stages == ["look", "start", *STAGES, "done"]

    registry = installation.registry()
    first = registry.version(FORECASTER, 1)
    assert first.source.startswith("mlflow-artifacts:")
    assert {gate: first.tags.get(f"gate.{gate}") for gate in REQUIRED_GATES} == dict.fromkeys(
        REQUIRED_GATES, "passed"
    )
    assert registry.aliases(FORECASTER)[CHAMPION] == 1
    table = pl.read_parquet(data / "frames" / "feature_table.parquet")
    assert table.filter(pl.col("sensor") == "request_rate_per_second").height == 28 * 288
