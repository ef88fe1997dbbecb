"""What was decided, and why."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response

from maximus_assets.contracts.decision import DecisionRecord
from serving.gateway import cursor
from serving.gateway.answers import DecisionPage, sent
from serving.gateway.inputs import (
    EARLIEST,
    LATEST,
    CursorWord,
    Kind,
    Limit,
    OptionalTargetName,
    Since,
    Until,
    range_of,
)
from serving.gateway.ports import Ports
from serving.gateway.problems import ProblemError, documented


def routes(ports: Ports) -> APIRouter:
    """The routes of decisions."""
    router = APIRouter(tags=["governance"])

    @router.get(
        "/api/v1/governance/decisions",
        summary="Decisions, newest first",
        response_model=DecisionPage,
        response_description="One page of decisions",
        responses=documented("invalid_request", "knowledge_unavailable"),
    )
    async def decisions(
        *,
        target: OptionalTargetName = None,
        kind: Kind = None,
        since: Since = None,
        until: Until = None,
        limit: Limit = 50,
        cursor_word: CursorWord = None,
    ) -> Response:
        """Answer one page of the decisions still taken at or after `since` and first taken before `until`.

        Follow `next_cursor` until it is null: pages go by key, so decisions taken meanwhile shift nothing. A target
        that is no longer watched keeps its decisions; one that never was has none.
        """
        if since is not None or until is not None:
            since, until = range_of(
                since or EARLIEST, until or LATEST, now=ports.clock.now(), default_seconds=0
            )
        after = None if cursor_word is None else cursor.decode(cursor_word)
        page = await ports.reading.decisions(
            target=target, kind=kind, since=since, until=until, after=after, limit=limit
        )
        return sent(page)

    @router.get(
        "/api/v1/governance/decisions/{decision_id}",
        summary="One decision with everything it rests on",
        response_model=DecisionRecord,
        response_description="The record",
        responses=documented("decision_not_found", "invalid_request", "knowledge_unavailable"),
    )
    async def decision(
        decision_id: Annotated[UUID, Path(description="Its id, a UUID.")],
    ) -> Response:
        """Answer the record as it stands: `count` and `last_at` of a repeated no-op still grow."""
        record = await ports.reading.decision(decision_id)
        if record is None:
            raise ProblemError("decision_not_found", f"There is no decision {decision_id}.")
        return sent(record)

    return router
