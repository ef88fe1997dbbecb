"""The web pages."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from serving.gateway import cursor
from serving.gateway.inputs import CursorWord, Kind, OptionalTargetName
from serving.gateway.ports import Ports
from serving.gateway.problems import documented

_HTML = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}


def routes(ports: Ports) -> APIRouter:
    """The routes of the first page and the API reference."""
    router = APIRouter(tags=["pages"])

    @router.get(
        "/",
        summary="The web page: the loop, what is expected of each target, and the decisions",
        response_class=HTMLResponse,
        responses={
            **documented("invalid_request"),
            200: {"description": "The page", **_HTML[200]},
            503: {"description": "The page, saying that the database is away", **_HTML[200]},
        },
    )
    async def overview(
        target: OptionalTargetName = None, kind: Kind = None, cursor_word: CursorWord = None
    ) -> HTMLResponse:
        """Answer the page whole; its script only keeps it true. The filters are those of the decisions it lists."""
        after = None if cursor_word is None else cursor.decode(cursor_word)
        answer = await ports.reading.overview(target=target, kind=kind, after=after)
        html = ports.pages.overview(answer, target=target, kind=kind, is_first=after is None)
        is_away = not answer.health.knowledge_is_reachable
        return HTMLResponse(
            html, status_code=503 if is_away else 200, headers={"Retry-After": "5"} if is_away else {}
        )

    @router.get(
        "/docs",
        summary="The API reference as a page",
        response_class=HTMLResponse,
        responses={**documented(), 200: {"description": "The page", **_HTML[200]}},
    )
    async def reference(request: Request) -> HTMLResponse:
        """Answer the OpenAPI document as text; it loads nothing from elsewhere, so it works without a network."""
        return HTMLResponse(ports.pages.reference(request.app.openapi()))

    return router
