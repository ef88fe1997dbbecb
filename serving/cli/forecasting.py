"""`maximus forecast`: what is expected of a target, as a plot with intervals and a table."""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table

from serving.cli import asking, tables
from serving.cli.exits import explained

_TABLE_ROWS = 12
_PLOT_ROWS = 18
_WIDEST_PLOT = 110


def forecast(target: str, *, hours: float, as_json: bool) -> None:
    """Show the forecast in force and the hours before it; see `maximus forecast --help`."""
    with explained():
        since = datetime.now(UTC) - timedelta(hours=hours)
        said = asking.ask("/api/v1/autonomic/forecasts", target=target, since=since.isoformat())
        if as_json:
            sys.stdout.write(json.dumps(said, indent=1) + "\n")
            return
        console = tables.console()
        latest = said["latest"]
        console.print(f"{said['target']}: {said['sensor']} in {said['unit']}", style="bold")
        if latest is None:
            console.print(f"There is no forecast yet: {_why_not(target)}")
            return
        _plot(console, said)
        _table(console, said)
        quality = said["quality"]
        if quality["compared"]:
            console.print(
                f"Of {quality['compared']} past forecasts {quality['inside_ratio']:.0%} lay inside the interval "
                f"(meant: {said['coverage']:.0%}); mean absolute error {quality['mean_absolute_error']:.3g} "
                f"{said['unit']}.",
            )


def _why_not(target: str) -> str:
    """What the loop says about a target it does not forecast."""
    health = asking.ask("/api/v1/autonomic/health")
    found: dict[str, Any] = next((one for one in health["targets"] if one["target"] == target), {})
    said = found.get("forecast_reason") or found.get("forecast") or "the loop has not spoken of it"
    bins = found.get("bins")
    return f"{said} ({bins} five-minute bins seen so far)" if bins is not None else str(said)


def _hours(instant: str, now: datetime) -> float:
    return (datetime.fromisoformat(instant) - now).total_seconds() / 3600


def _plot(console: Console, said: dict[str, Any]) -> None:
    import plotext

    now = datetime.fromisoformat(said["until"])
    points = said["latest"]["points"]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(min(console.width - 2, _WIDEST_PLOT), _PLOT_ROWS)
    series = (
        ("came", [(p["at"], p["value"]) for p in said["actual"]], "hd", "white", True),
        ("expected", [(p["at"], p["mean"]) for p in points], "hd", "cyan", True),
        (f"{said['coverage']:.0%} interval", [(p["at"], p["lower"]) for p in points], "·", "yellow", False),
        ("", [(p["at"], p["upper"]) for p in points], "·", "yellow", False),
    )
    for label, pairs, symbol, colour, is_line in series:
        if not pairs:
            continue
        hours = [_hours(at, now) for at, _ in pairs]
        signal = figure.signal(hours, [value for _, value in pairs], marker=plotext.marker(symbol, colour))
        signal = signal.lines(is_line)
        figure.draw(signal.label(label) if label else signal)
    figure.label("hours from now", "x")
    console.file.write(figure.build().string(colorless=not console.is_terminal) + "\n")


def _table(console: Console, said: dict[str, Any]) -> None:
    points = said["latest"]["points"]
    stride = max(1, -(-len(points) // _TABLE_ROWS))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("at", no_wrap=True)
    for heading in ("expected", "lower", "upper"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in points[::stride]:
        table.add_row(
            tables.when(point["at"]), *(f"{point[name]:.4g}" for name in ("mean", "lower", "upper"))
        )
    console.print(table)
    console.print(
        f"Forecaster version {said['latest']['model_version']}, issued {tables.when(said['latest']['issued_at'])}.",
        style="dim",
    )
