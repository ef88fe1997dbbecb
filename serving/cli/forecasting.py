"""`maximus forecast`: what came, what is expected and how sure that is, as a plot, a table and a sentence.

What the loop recorded reaches an hour ahead and is shown as it is; beyond that the champion itself is asked
(`expecting`). Where it cannot be asked the record is shown, with the reason.
"""

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from maximus_assets.contracts.errors import MaximusError
from maximus_assets.contracts.telemetry import Series
from serving.cli import asking, tables
from serving.cli.exits import explained

RECORDED_HOURS: Final = 1.0
"""How far ahead the loop records what it expects."""

_HORIZONS: Final = ((0.25, "15 min"), (1.0, "1 h"), (6.0, "6 h"), (24.0, "24 h"))
_PLOT_ROWS: Final = 18
_BAND_ROWS: Final = 2 * _PLOT_ROWS

_NEXT_STEPS: Final = {
    "cold": "It comes by itself once enough of the series has been seen.",
    "unknown_series": "Every night's learning takes up series with three days of history; `maximus learn --telemetry "
    "FILE --ingest` gives it an older one.",
    "no_champion": "Learning runs by itself, and Dagster shows which gate a candidate did not pass.",
    "waiting": "Ask again in a turn of the loop.",
    "unknown": "The database does not answer: see `maximus status`.",
}


def forecast(target: str, *, sensor: str | None, hours: float, ahead: float, as_json: bool) -> None:
    """Show what is expected of a target; see `maximus forecast --help`."""
    with explained():
        now = datetime.now(UTC)
        said = asking.ask(
            "/api/v1/autonomic/forecasts", target=target, since=(now - timedelta(hours=hours)).isoformat()
        )
        said["method"] = ""
        said["note"] = ""
        if (sensor and sensor != said["sensor"]) or ahead > RECORDED_HOURS:
            _ask_champion(said, sensor or said["sensor"], hours, ahead)
        said["horizons"] = horizons(said, ahead)
        if as_json:
            sys.stdout.write(json.dumps(said, indent=1) + "\n")
            return
        _show(tables.console(), said)


def horizons(said: dict[str, Any], ahead: float) -> list[dict[str, Any]]:
    """What is expected at each of the horizons the forecast reaches: the five-minute bin they fall into.

    Args:
        said: The forecast as the API gives it.
        ahead: Hours beyond which nothing was asked.
    """
    if said["latest"] is None:
        return []
    points = said["latest"]["points"]
    ends = [datetime.fromisoformat(point["at"]) + timedelta(seconds=said["step_seconds"]) for point in points]
    now = datetime.fromisoformat(said["until"])
    found = []
    for hours, words in _HORIZONS:
        at = now + timedelta(hours=hours)
        # A record is up to a bin and a turn old: its last bin may end shortly before the hour is full.
        slack = timedelta(seconds=2 * said["step_seconds"])
        if hours > ahead or not ends or at > ends[-1] + slack:
            continue
        place = next((index for index, end in enumerate(ends) if at < end), len(ends) - 1)
        found.append({"ahead": words, **points[place]})
    return found


def _ask_champion(said: dict[str, Any], sensor: str, hours: float, ahead: float) -> None:
    """Put the champion's own answer in the place of what the loop recorded; where there is none, the reason."""
    from maximus_assets.contracts.catalogue import CATALOGUE
    from serving.cli import expecting

    now = datetime.fromisoformat(said["until"])
    is_another = sensor != said["sensor"]
    try:
        points = expecting.history(said["target"], sensor, now)
        if is_another:
            since = now - timedelta(hours=hours)
            shown = [point for point in points if datetime.fromisoformat(point["at"]) >= since]
            nothing = {"compared": 0, "inside_ratio": None, "mean_absolute_error": None}
            unit = CATALOGUE[sensor].unit
            said |= {
                "sensor": sensor,
                "unit": unit,
                "actual": shown,
                "past": [],
                "latest": None,
                "quality": nothing,
            }
        with Console(stderr=True).status("asking the champion"):
            series = Series(target=said["target"], sensor=sensor)
            answer, away = expecting.expect(asking.settings().mlflow_uri, series, points, now, ahead)
    except expecting.NoChampionError as error:
        said["note"] = f"The champion could not be asked: {error}."
    except MaximusError as error:
        if is_another:
            raise  # nothing was recorded of it, so there is nothing else to show
        said["note"] = f"The champion could not be asked: {error}"
    else:
        said["note"] = "".join(f"It rests on what was recorded alone, {why}." for why in away)
        if answer.points:
            said["method"] = answer.method
            said["latest"] = answer.model_dump(mode="json", include={"issued_at", "model_version", "points"})
        else:
            why = f"The champion has no answer: {answer.reason}. {_NEXT_STEPS.get(answer.status, '')}"
            said["note"] = f"{why} {said['note']}".strip()


def _show(console: Console, said: dict[str, Any]) -> None:
    console.print(f"{said['target']}: {said['sensor']} in {said['unit']}", style="bold")
    if said["latest"] is None:
        console.print(f"There is no forecast yet: {said['note'] or _why_not(said['target'])}")
        return
    _plot(console, said)
    _table(console, said)
    console.print(_in_words(said))
    if said["note"]:
        console.print(said["note"], style="yellow")
    quality = said["quality"]
    if quality["compared"]:
        console.print(
            f"Of {quality['compared']} past forecasts {quality['inside_ratio']:.0%} lay inside the interval "
            f"(meant: {said['coverage']:.0%}); mean absolute error {quality['mean_absolute_error']:.3g} "
            f"{said['unit']}.",
        )


def _why_not(target: str) -> str:
    """What the loop says about a target it does not forecast, and what to do about it."""
    health = asking.ask("/api/v1/autonomic/health")
    found: dict[str, Any] = next((one for one in health["targets"] if one["target"] == target), {})
    state = str(found.get("forecast") or "")
    said = str(found.get("forecast_reason") or state or "the loop has not spoken of it")
    if found.get("bins") is not None:
        said += f" ({found['bins']} five-minute bins seen so far)"
    return f"{said}. {_NEXT_STEPS[state]}" if state in _NEXT_STEPS else said


def _in_words(said: dict[str, Any]) -> str:
    """What is expected an hour from now and at the end, and how sure that is, in plain sentences."""
    rows = [row for row in said["horizons"] if row["ahead"] == "1 h"] + said["horizons"][-1:]
    unit = str(said["unit"]).replace("_", " ")
    recent = [point["value"] for point in said["actual"][-12:]]
    before = float(np.mean(recent)) if recent else None
    sentences = [
        f"{row['ahead']} from now {row['mean']:.4g} {unit} are expected{_compared(row, before)}; {_sureness(row)}, with "
        f"a chance of {said['coverage']:.0%} it will be between {row['lower']:.4g} and {row['upper']:.4g}."
        for place, row in enumerate(rows)
        if row not in rows[:place]
    ]
    return " ".join(sentences)


def _compared(row: dict[str, Any], before: float | None) -> str:
    """The expectation against the last hour's mean, when there is one."""
    if not before:
        return ""
    change = (row["mean"] - before) / abs(before)
    if abs(change) < 0.05:
        return ", about as in the last hour"
    return f", {abs(change):.0%} {'above' if change > 0 else 'below'} the last hour's mean of {before:.4g}"


def _sureness(row: dict[str, Any]) -> str:
    """How wide the interval is for what is expected."""
    level = abs(row["mean"])
    spread = (row["upper"] - row["lower"]) / level if level > 0 else np.inf
    return (
        "that is quite sure" if spread < 0.3 else "that is roughly so" if spread < 1.0 else "that is unsure"
    )


def _hours(instant: str, now: datetime) -> float:
    return (datetime.fromisoformat(instant) - now).total_seconds() / 3600


def _band(
    hours: Sequence[float], points: Sequence[dict[str, Any]], columns: int
) -> tuple[list[float], list[float]]:
    """The interval as many dots, close enough to fill it at this size."""
    across = np.linspace(hours[0], hours[-1], columns)
    lower = np.interp(across, hours, [point["lower"] for point in points])
    upper = np.interp(across, hours, [point["upper"] for point in points])
    up = np.linspace(0.0, 1.0, _BAND_ROWS)
    filled = lower[:, None] + (upper - lower)[:, None] * up[None, :]
    return np.repeat(across, _BAND_ROWS).tolist(), filled.ravel().tolist()


def _plot(console: Console, said: dict[str, Any]) -> None:
    import plotext

    now = datetime.fromisoformat(said["until"])
    points = said["latest"]["points"]
    ahead = [_hours(point["at"], now) for point in points]
    came = [(_hours(point["at"], now), point["value"]) for point in said["actual"]]
    figure = plotext.figure
    figure.clear()
    figure.plot_size(console.width - 1, _PLOT_ROWS)
    band = f"{said['coverage']:.0%} interval"
    # A legend within the plot would lie over what came.
    legend = Text.assemble(("▚ came   ", "white"), ("▚ expected   ", "cyan"), (f"░ {band}", "yellow"))
    console.print(legend)
    series = [
        (*_band(ahead, points, console.width), "░", "yellow", False),
        (ahead, [point["mean"] for point in points], "hd", "cyan", True),
    ]
    if came:
        series.append(([at for at, _ in came], [value for _, value in came], "hd", "white", True))
    for at, values, symbol, colour, is_line in series:
        signal = figure.signal(at, values, marker=plotext.marker(symbol, colour))
        figure.draw(signal.lines(is_line))
    figure.label("hours from now", "x")
    is_plain = not console.is_terminal or console.no_color
    console.file.write(figure.build().string(colorless=is_plain) + "\n")


def _table(console: Console, said: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("ahead", "at"):
        table.add_column(heading, no_wrap=True)
    for heading in ("expected", "lower", "upper"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in said["horizons"]:
        table.add_row(
            row["ahead"],
            tables.when(row["at"]),
            *(f"{row[name]:.4g}" for name in ("mean", "lower", "upper")),
        )
    console.print(table)
    latest = said["latest"]
    method = f", method {said['method']}" if said["method"] else ""
    console.print(
        f"Forecaster version {latest['model_version']}{method}, issued {tables.when(latest['issued_at'])}.",
        style="dim",
    )
