"""`maximus learn`: hands the user's files to the learning side, in a process of its own.

`serving` never imports what learns; it starts it. Output, progress and exit code are that process's own.
"""

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import BadInputError
from serving.cli import asking
from serving.cli.exits import Exit, UnreachableError, explained
from serving.supervisor import runfile
from serving.supervisor.children import ENVIRONMENT_FILE


def learn(
    files: Sequence[Path],
    *,
    options: Mapping[str, str | None],
    values: Sequence[str],
    holidays: str | None,
    report: Path | None,
    sensor: str | None,
    is_ingested: bool,
) -> None:
    """Backtest on the files, then take them into the asset graph if asked to; see `maximus learn --help`.

    Args:
        files: Telemetry files.
        options: Option to value of what both programs understand; None is left out.
        values: Columns to learn.
        holidays: Whose public holidays are known ahead; the asset graph has its own setting for that.
        report: Where to write the report as JSON.
        sensor: What the values are; the asset graph keeps it.
        is_ingested: Whether the asset graph takes them in.
    """
    with explained():
        _check_sensor(sensor, is_ingested=is_ingested)
        environment = _graph_environment() if is_ingested else dict(os.environ)
        environment["MAXIMUS_PUSHGATEWAY_URL"] = asking.settings().pushgateway_url or ""
        common = [part for name, value in options.items() if value is not None for part in (name, value)]
        common += [part for column in values for part in ("--value", column)]
        named = [part for file in files for part in ("--telemetry", str(file))]
        reported = [] if report is None else ["--json", str(report)]
        known = [] if holidays is None else ["--holidays", holidays]
        _run("maximus_assets.learning", [*named, *common, *known, *reported], environment)
        if is_ingested:
            kept = [] if sensor is None else ["--sensor", sensor]
            _run("maximus_assets.defs.ingest_files", [*map(str, files), *common, *kept], environment)
            typer.echo(
                "Taken in. The next champion is learnt from it too, by itself and within minutes: Dagster shows the "
                "run, `maximus status` the version in use."
            )


def _check_sensor(sensor: str | None, *, is_ingested: bool) -> None:
    """Refuse a sensor nobody would use or knows, before minutes go into learning.

    Raises:
        BadInputError: It is unknown, or given without `--ingest`.
    """
    if sensor is None:
        return
    if not is_ingested:
        raise BadInputError(
            "only --ingest keeps it: add that, or leave this out", source="maximus learn", column="--sensor"
        )
    if sensor not in CATALOGUE:
        close = difflib.get_close_matches(sensor, CATALOGUE, n=3)
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise BadInputError(
            f"{sensor!r} is not in the sensor catalogue{hint}", source="maximus learn", column="--sensor"
        )


def _run(module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run it on our own terminal; anything but success is our own end too."""
    code = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=dict(environment), check=False
    ).returncode
    if code != Exit.DONE:
        raise typer.Exit(code if code > 0 else Exit.FAILED)


def _graph_environment() -> dict[str, str]:
    """The environment of the running asset graph: its database, its registry, its folders."""
    settings = asking.settings()
    if not (settings.run_dir.exists() and runfile.is_held(settings.run_dir)):
        raise UnreachableError("--ingest needs the running product: start it with `make up`.")
    try:
        said = json.loads((settings.run_dir / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UnreachableError("--ingest needs the running product, and it is only just starting.") from error
    return {**os.environ, **said}
