"""`maximus`, the command line: starts and stops the product on this machine, and asks its gateway.

Belongs here: options, words, tables, exit codes. Does not: anything that could be asked of the gateway or done by a
process of its own. It must answer at once, so this module imports only typer, and each command the rest it needs.

Exit codes: 0 done, 1 it failed, 2 wrong input or use, 3 not running or not reachable.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="maximus",
    help="Learn demand and normal behaviour, plan the cheapest safe action, explain every step.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of a table.")]


@app.command()
def up(
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return once everything is ready and leave it running.")
    ] = False,
) -> None:
    """Start everything and keep it running until Ctrl-C; a second `up` shows what runs."""
    from serving.cli import running

    running.up(is_detached=detach)


@app.command()
def down() -> None:
    """Stop everything `up` started."""
    from serving.cli import running

    running.down()


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show every process and the state of the loop; exit code 3 when nothing runs."""
    from serving.cli import running

    running.status(as_json=as_json)


@app.command()
def learn(
    *,
    telemetry: Annotated[
        list[Path], typer.Option("--telemetry", help="CSV or Parquet file, also .gz; may be repeated.")
    ],
    time_column: Annotated[
        str | None,
        typer.Option("--time-column", help="Column that holds the time; `none` when there is none."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option("--timezone", help="Time zone of times that name none (Europe/Berlin, UTC).")
    ] = None,
    origin: Annotated[
        str | None, typer.Option("--origin", help="Instant that relative times, or the first row, start at.")
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="Spacing of rows without a clock, such as 5m.")
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option("--value", help="Column to learn; may be repeated. Needed when several could be it."),
    ] = None,
    sensor: Annotated[
        str | None,
        typer.Option("--sensor", help="What the values are in the sensor catalogue; for --ingest."),
    ] = None,
    ingest: Annotated[
        bool,
        typer.Option(
            "--ingest", help="Also take the files into the running asset graph, which learns from them."
        ),
    ] = False,
    holidays: Annotated[
        str | None,
        typer.Option(
            "--holidays",
            help="Country whose public holidays are known ahead, as of DE, DE-BY or DE-BY@Europe/Berlin.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--json", help="Also write the report to this file, for programs.")
    ] = None,
) -> None:
    """Learn a forecaster from your own files and print how it does against the naive one."""
    from serving.cli import learning

    learning.learn(
        telemetry,
        options={
            "--time-column": time_column,
            "--timezone": timezone,
            "--origin": origin,
            "--step": step,
        },
        values=value or [],
        holidays=holidays,
        report=report,
        sensor=sensor,
        is_ingested=ingest,
    )


@app.command()
def forecast(
    target: Annotated[str, typer.Argument(help="Name of a target, as in `maximus status`.")],
    hours: Annotated[
        float, typer.Option("--hours", min=0.1, max=48.0, help="Hours of history to show beside it.")
    ] = 6.0,
    ahead: Annotated[
        float,
        typer.Option(
            "--ahead",
            min=0.25,
            max=24.0,
            help="Hours ahead; above 1 the champion is asked, which takes seconds.",
        ),
    ] = 24.0,
    sensor: Annotated[
        str | None, typer.Option("--sensor", help="Another sensor than the one the target is sized by.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what came of a target and what is expected, up to a day ahead, with intervals and how sure that is."""
    from serving.cli import forecasting

    forecasting.forecast(target, sensor=sensor, hours=hours, ahead=ahead, as_json=as_json)


@app.command()
def models(
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """List the forecaster's versions: which is champion, which in shadow, their gates, age and live evidence."""
    from serving.cli import versions

    versions.models(limit=limit, as_json=as_json)


@app.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Why; written on the version.")] = "asked for",
    is_confirmed: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Go back to the previous champion, and withdraw the present one for good."""
    from serving.cli import versions

    versions.rollback(reason, is_confirmed=is_confirmed)


@app.command()
def decisions(
    target: Annotated[str | None, typer.Option("--target", "-t", help="Only this target's.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what the loop decided, and why."""
    from serving.cli import deciding

    deciding.decisions(target, limit=limit, as_json=as_json)
