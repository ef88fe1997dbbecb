"""`maximus decisions`: what the loop decided, and why."""

import json
import sys

from maximus_assets.contracts.errors import Permanent
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
        watched = [one.name for one in asking.settings().targets]
        if not records and target is not None and target not in watched:
            raise Permanent(
                f"Nothing was ever decided about {target}, and it is not watched; watched are "
                f"{', '.join(sorted(watched))}."
            )
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
