"""How far the loop of a start has come, judged from what the gateway says of it. Pure but for the asking.

It is hard because the gateway tells what is in the database, and after a restart that is what the loop before wrote:
a row that calls itself live and a decision of a minute ago prove nothing. What counts is what the loop of this start
has said and done.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx

_WITHOUT_CHAMPION: Final = "no_champion"
"""What a decision's state says of its forecast when it was taken before a champion was loaded."""


@dataclass(frozen=True)
class Standing:
    """How far it is.

    Attributes:
        is_live: Whether the loop of this start turns.
        has_champion: Whether it uses the champion there is; also true when there is none to use.
        undecided: Targets it has not decided about yet with all it could know.
    """

    is_live: bool
    has_champion: bool
    undecided: tuple[str, ...]


def judge(health: Mapping[str, Any], *, since: float, champion: str) -> Standing:
    """Judge an answer of the health route.

    Args:
        health: The answer, empty when there was none.
        since: Unix time of the start.
        champion: Version the registry calls champion, empty when it calls none so.
    """
    loop = health.get("loop") or {}
    is_ours = bool(loop) and _unix(loop["started_at"]) >= since
    is_live = is_ours and health.get("status") == "live" and loop.get("state") != "starting"
    targets = health.get("targets", [])
    return Standing(
        is_live=is_live,
        has_champion=is_ours and health.get("champion_version", "") == champion,
        undecided=tuple(
            sorted(
                str(target["target"])
                for target in targets
                if not _is_informed(target.get("latest_decision"), since, champion)
            )
        ),
    )


def decided_since(health: Mapping[str, Any], since: float) -> list[Mapping[str, Any]]:
    """The latest decision about each target, of those taken since then.

    Args:
        health: An answer of the health route.
        since: Unix time.
    """
    latest = [target.get("latest_decision") for target in health.get("targets", [])]
    return [decision for decision in latest if decision and _unix(decision["last_at"]) >= since]


async def ask(client: httpx.AsyncClient) -> Mapping[str, Any]:
    """What the gateway says of the loop; nothing while it cannot say."""
    try:
        health = (await client.get("/api/v1/autonomic/health")).json()
    except (httpx.HTTPError, ValueError):
        return {}
    return health if isinstance(health, dict) else {}


def _is_informed(decision: Mapping[str, Any] | None, since: float, champion: str) -> bool:
    """Whether a decision was taken since then, and with the champion at hand if there is one."""
    if not decision or _unix(decision["last_at"]) < since:
        return False
    return not champion or (decision.get("state") or {}).get("forecast_status") != _WITHOUT_CHAMPION


def _unix(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()
