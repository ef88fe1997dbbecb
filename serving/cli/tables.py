"""The tables more than one command prints."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_STATE_STYLES = {
    "ready": "green",
    "leading": "green",
    "live": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "observing": "yellow",
    "standby": "yellow",
    "restarting": "red",
    "unwell": "red",
    "suspended": "red",
    "stopped": "red",
}


def console() -> Console:
    """Standard output, with colours only where it shows them and full width where nobody looks at columns."""
    found = Console(highlight=False, soft_wrap=False)
    return found if found.is_terminal else Console(highlight=False, width=max(found.width, 120))


def state(name: str) -> Text:
    """The name of a state, coloured."""
    return Text(name, style=_STATE_STYLES.get(name, ""))


def decisions_table(records: Iterable[Mapping[str, Any]]) -> Table:
    """Decisions as the API gives them, one a row.

    Args:
        records: `DecisionRecord`s as JSON.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("decided", no_wrap=True)
    table.add_column("target", no_wrap=True)
    table.add_column("decision", no_wrap=True)
    table.add_column("model", no_wrap=True)
    table.add_column("why", ratio=1, overflow="fold")
    for record in records:
        model = record.get("model_version") or ""
        table.add_row(
            when(record["last_at"]),
            str(record["target"]),
            what(record),
            f"v{model}" if model else "none",
            str(record["reason"]),
        )
    return table


def what(record: Mapping[str, Any]) -> str:
    """What was decided, in a few words: `set_replicas 12 -> 14 (dry run)`, `stands: set_replicas 12 -> 14 x7`."""
    plan, standing = record.get("plan"), record.get("state", {}).get("standing_change")
    if plan:
        words = ", ".join(
            f"{action['kind']} {action['current']:g} -> {action['desired']:g}" for action in plan["actions"]
        )
        words += " (dry run)" if record.get("is_dry_run") else ""
    else:
        words = f"stands: {standing}" if standing else "nothing to do"
    count = record.get("count", 1)
    return f"{words} x{count}" if count > 1 else words


def when(instant: str) -> str:
    """An instant of the API in local time."""
    local = datetime.fromisoformat(instant).astimezone()
    today = datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A length of time, short: `42 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
