"""`maximus models` and `maximus rollback`: asks the learning side, in a process of its own.

`serving` never imports the registry; it starts what does. Output, question and exit code are that process's own.
"""

import os
import subprocess
import sys

import typer

from serving.cli import asking
from serving.cli.exits import Exit, explained

_MODULE = "maximus_assets.registry.versions"


def models(*, limit: int, as_json: bool) -> None:
    """List versions; see `maximus models --help`."""
    _run("list", "--limit", str(limit), *(["--json"] if as_json else []))


def rollback(reason: str, *, is_confirmed: bool) -> None:
    """Go back; see `maximus rollback --help`."""
    _run("rollback", "--reason", reason, *(["--yes"] if is_confirmed else []))


def _run(*arguments: str) -> None:
    with explained():
        environment = {**os.environ, "MLFLOW_TRACKING_URI": asking.settings().mlflow_uri}
        code = subprocess.run(
            [sys.executable, "-m", _MODULE, *arguments], env=environment, check=False
        ).returncode
        if code != Exit.DONE:
            raise typer.Exit(code if code > 0 else Exit.FAILED)
