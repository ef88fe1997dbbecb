"""`maximus decisions`: what the loop decided, and why."""

import json
import sys

from serving.cli import asking, tables
from serving.cli.exits import explained

_PAGE = 200


def decisions(target: str | None, *, limit: int, as_json: bool) -> None:
    """Show the newest decisions; see `maximus decisions --help`."""
    with explained():
        records: list[dict[str, object]] = []
        cursor: str | None = None
        while len(records) < limit:
            page = asking.ask(
                "/api/v1/governance/decisions",
                target=target,
                limit=min(_PAGE, limit - len(records)),
                cursor=cursor,
            )
            records += page["decisions"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        if as_json:
            sys.stdout.write(json.dumps(records, indent=1) + "\n")
            return
        console = tables.console()
        if not records:
            console.print(
                "The loop has decided nothing yet." if target is None else f"Nothing yet about {target}."
            )
            return
        console.print(tables.decisions_table(records))
