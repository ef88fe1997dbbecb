"""`python -m maximus_assets.registry.versions`: what versions there are, and going back to the one before.

`maximus models` and `maximus rollback` start it, for serving never imports the registry. The table goes to standard
output, words to standard error. Exit codes: 0 done, 1 it failed, 2 wrong use or nothing to do, 3 the registry does not
answer.
"""

import json
import os
import sys
from datetime import timedelta
from typing import Annotated, Any, Final

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import MaximusError, Permanent, Retryable
from maximus_assets.contracts.naming import (
    CHAMPION,
    FORECASTER,
    PREVIOUS,
    TAG_DEMOTED_AT,
    TAG_GATE_PREFIX,
    TAG_RETIRED_AT,
    TAG_TRAINED_AT,
    TAG_WITHDRAWN_AT,
)
from maximus_assets.registry.promotion import (
    REQUIRED_GATES,
    NothingToRollBackError,
    age,
    last_evidence,
    rollback,
    unpassed_gates,
)
from maximus_assets.registry.tracking import Registry, Version

VARIABLE: Final = "MLFLOW_TRACKING_URI"
PIPE_WIDTH: Final = 140
EXIT_FAILED: Final = 1
EXIT_WRONG: Final = 2
EXIT_UNREACHABLE: Final = 3

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("list")
def show(
    *,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the forecaster's versions: aliases, gates, age, how they do live."""
    try:
        rows = [_row(registry_in_force(), version) for version in _versions(limit)]
    except MaximusError as error:
        raise _left(error) from error
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=1) + "\n")
        return
    if not rows:
        typer.echo(f"{FORECASTER} has no version yet: nothing was ever learnt.", err=True)
        return
    stdout = Console(highlight=False) if sys.stdout.isatty() else Console(width=PIPE_WIDTH, highlight=False)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("version", "is", "learnt", "gates", "live"):
        table.add_column(name, no_wrap=name in {"version", "learnt"}, overflow="fold")
    for row in rows:
        aliases = ", ".join(row["aliases"]) or row["was"] or ""
        table.add_row(str(row["version"]), aliases, row["age"], row["gates"], row["live"])
    stdout.print(table)


@app.command("rollback")
def go_back(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; written on the version.")] = "asked for",
    is_confirmed: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the previous champion the champion again, and withdraw the present one for good."""
    try:
        registry = registry_in_force()
        champion, previous = registry.named(FORECASTER, CHAMPION), registry.named(FORECASTER, PREVIOUS)
        if champion is None or previous is None:
            raise NothingToRollBackError(_nothing_to_go_back_to(champion))
        if not is_confirmed:
            _ask(
                f"Version {champion.number} would be withdrawn for good and version {previous.number} champion."
            )
        done = rollback(registry, FORECASTER, clock=SystemClock(), reason=reason)
    except MaximusError as error:
        raise _left(error) from error
    assert done.champion is not None
    typer.echo(
        f"Version {done.champion.number} is champion, version {champion.number} is withdrawn ({reason}). "
        "The loop takes it up within a minute; `maximus status` shows the version in use."
    )


def registry_in_force() -> Registry:
    """The registry the environment names, after it has said that it is there.

    Raises:
        Permanent: None is named.
        Retryable: It does not answer.
    """
    address = os.environ.get(VARIABLE, "")
    if not address:
        raise Permanent(f"{VARIABLE} is not set: say where the model registry is")
    registry = Registry(address)
    registry.check_reachable()
    return registry


def _versions(limit: int) -> list[Version]:
    return registry_in_force().versions(FORECASTER, limit)


def _row(registry: Registry, version: Version) -> dict[str, Any]:
    """A version as JSON types."""
    aliases = sorted(
        alias for alias, number in registry.aliases(version.name).items() if number == version.number
    )
    evidence = last_evidence(version)
    unpassed = unpassed_gates(version)
    was = next(
        (
            f"{what} {version.tags[tag][:16]}"
            for what, tag in (
                ("withdrawn", TAG_WITHDRAWN_AT),
                ("demoted", TAG_DEMOTED_AT),
                ("retired", TAG_RETIRED_AT),
            )
            if tag in version.tags
        ),
        "",
    )
    return {
        "version": version.number,
        "aliases": aliases,
        "was": was,
        "trained_at": version.tags.get(TAG_TRAINED_AT, version.created_at.isoformat()),
        "age": _age(age(version, TAG_TRAINED_AT, SystemClock().now())),
        "gates": f"all {len(REQUIRED_GATES)} passed" if not unpassed else "; ".join(unpassed),
        "verdicts": {
            key.removeprefix(TAG_GATE_PREFIX): said
            for key, said in version.tags.items()
            if key.startswith(TAG_GATE_PREFIX)
        },
        "live": "" if evidence is None else "; ".join(evidence.reasons),
        "evidence": None if evidence is None else evidence.model_dump(mode="json"),
    }


def _age(since: timedelta) -> str:
    hours = since / timedelta(hours=1)
    return f"{hours:.0f} h ago" if hours < 72 else f"{hours / 24:.0f} days ago"


def _nothing_to_go_back_to(champion: Version | None) -> str:
    if champion is None:
        return f"{FORECASTER} has no champion; `maximus models` lists its versions"
    return f"version {champion.number} is the only champion there has been: there is none before it to go back to"


def _ask(what: str) -> None:
    """Let somebody confirm.

    Raises:
        Permanent: Nobody can be asked, or they said no.
    """
    if not sys.stdin.isatty():
        raise Permanent(f"{what} Nobody can be asked here: say --yes to do it.")
    if not typer.confirm(f"{what} Do it?", err=True):
        raise Permanent("nothing was changed")


def _left(error: MaximusError) -> typer.Exit:
    typer.echo(str(error), err=True)
    if isinstance(error, Retryable):
        return typer.Exit(EXIT_UNREACHABLE)
    return typer.Exit(EXIT_WRONG if isinstance(error, Permanent) else EXIT_FAILED)


if __name__ == "__main__":
    app(prog_name="maximus")
