"""The command line answers at once: nothing heavy is imported to show help, a status or a table."""

import subprocess
import sys

import pytest

HEAVY = {
    "mlflow",
    "dagster",
    "bentoml",
    "torch",
    "pandas",
    "polars",
    "numpy",
    "sklearn",
    "statsmodels",
    "scipy",
}


@pytest.mark.parametrize("command", ["--help", "status", "down"])
def test_no_command_imports_what_learns_or_serves(command, tmp_path):
    script = (
        "import sys\n"
        f"sys.argv = ['maximus', {command!r}]\n"
        "from serving.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()))"
    )
    environment = {"MAXIMUS_DATA_DIR": str(tmp_path), "MAXIMUS_GATEWAY_PORT": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=environment,
    )
    assert done.stdout.splitlines()[-1] == "[]"
