"""`maximus models` and `maximus rollback`: real processes over a real registry, and none."""

import json
import os
import subprocess
import sys

import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.naming import CHAMPION, FORECASTER, TAG_WITHDRAWN_WHY
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.registry.packaging import log_forecaster
from maximus_assets.registry.promotion import REQUIRED_GATES, promote, record_verdicts
from maximus_assets.registry.tracking import Registry


@pytest.fixture
def run(registry_uri, tmp_path):
    def run(*arguments, uri=registry_uri):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MAXIMUS_")}
        environment |= {"MLFLOW_TRACKING_URI": uri, "MAXIMUS_DATA_DIR": str(tmp_path / "data")}
        return subprocess.run(
            [sys.executable, "-m", "serving.cli", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )

    return run


def test_going_back_is_asked_for_confirmed_told_and_written_down(run, registry_uri, learnt_shop):
    registry = Registry(registry_uri)
    passed = tuple(Verdict(name=name, passed=True) for name in REQUIRED_GATES)
    for number in (1, 2):
        version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
        record_verdicts(registry, version, passed)
        evidence = Verdict(
            name="challenger_beats_champion",
            passed=True,
            reasons=("better: so it was told",),
            measured={"challenger_version": str(number), "champion_version": "1"},
        )
        promote(registry, version, evidence=evidence if number > 1 else None, clock=SystemClock())

    listed = run("models", "--json")
    unconfirmed = run("rollback")
    done = run("rollback", "--yes", "--reason", "it was slow")

    rows = json.loads(listed.stdout)
    assert [(row["version"], row["aliases"], row["gates"], row["live"]) for row in rows] == [
        (2, ["candidate", "champion"], "all 5 passed", "better: so it was told"),
        (1, ["previous"], "all 5 passed", ""),
    ]
    assert unconfirmed.returncode == 2
    assert "say --yes" in unconfirmed.stderr
    assert (done.returncode, done.stdout.splitlines()[0][:23]) == (0, "Version 1 is champion, ")
    assert registry.aliases(FORECASTER)[CHAMPION] == 1
    assert registry.version(FORECASTER, 2).tags[TAG_WITHDRAWN_WHY] == "it was slow"


@pytest.mark.parametrize("command", [("models",), ("rollback", "--yes")])
def test_a_registry_that_is_not_there_is_exit_code_3_and_one_sentence(run, command):
    done = run(*command, uri="http://127.0.0.1:9")

    assert done.returncode == 3
    assert "http://127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
