"""The application: routes, the shape of failures, the edge around them.

It is built when the module that serves it is imported, before there is an event loop, so nothing is opened here:
`ports.running` opens and closes what the routes use, within the application's lifespan.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Match
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from serving.gateway import exposition, problems
from serving.gateway.edge import Edge, HostGuard
from serving.gateway.ports import Ports
from serving.gateway.routes import decisions, health, page, prometheus, stream, telemetry

DESCRIPTION: Final = (
    "What Maximus sees, expects and decides. This API only reads. Every failure is an RFC 9457 problem document "
    "(`application/problem+json`) with a `code` a program can switch on. Instants are RFC 3339 in UTC."
)


class EveryOtherAddress(BaseRoute):
    """The last route: answers 404 or 405 for what no other route takes.

    Without it an address that is not ours would fall through to whatever the server around this application answers,
    in another shape.
    """

    def __init__(self, others: list[BaseRoute]) -> None:
        self._others = others

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Take every HTTP request that came this far."""
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say whether it is the address or the method that is unknown.

        Raises:
            HTTPException: Always: 405 when another method would have been taken, else 404.
        """
        del receive, send
        if any(route.matches(scope)[0] is Match.PARTIAL for route in self._others if route is not self):
            raise HTTPException(405, headers={"Allow": "GET"})
        raise HTTPException(404)


def create_app(ports: Ports) -> FastAPI:
    """The gateway as an ASGI application.

    Args:
        ports: What it needs; opened when the application starts.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with ports.running():
            yield

    app = FastAPI(
        title="Maximus",
        version=version("maximus"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # the stock pages load their scripts from elsewhere; ours is /docs
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(Edge, observe=exposition.observe, monotonic=ports.clock.monotonic),
            Middleware(HostGuard, names=ports.host_names),
        ],
    )
    problems.install(app)
    for module in (health, telemetry, decisions, stream, prometheus, page):
        app.include_router(module.routes(ports))
    app.mount("/static", StaticFiles(directory=ports.static_dir), name="static")
    app.router.routes.append(EveryOtherAddress(app.router.routes))
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI documents this way to extend it
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the one shape of failure in place of the framework's own."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, definitions = models_json_schema(
            [(problems.Problem, "serialization")], ref_template="#/components/schemas/{model}"
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(definitions["$defs"])
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema
