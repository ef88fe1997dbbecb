"""The one shape of every failed answer: RFC 9457 problem details, from a mistyped path to a lost database.

What belongs here: the kinds of problem, their status and title, and how exceptions become them. It is a room of its
own because FastAPI, Starlette and our own errors each have another default shape, and a client should need one.
"""

import math
from typing import Final, NamedTuple

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from maximus_assets.contracts.base import Contract
from maximus_assets.contracts.errors import BadInputError, Retryable

MEDIA_TYPE: Final = "application/problem+json"

_log = structlog.get_logger("maximus.gateway")


class Kind(NamedTuple):
    """A kind of problem: its HTTP status, its title, and what a caller should do."""

    status: int
    title: str
    advice: str


KINDS: Final[dict[str, Kind]] = {
    "invalid_request": Kind(
        422, "The request cannot be understood", "Correct the fields named under `errors`."
    ),
    "route_not_found": Kind(404, "There is no such address", "The addresses are listed under /docs."),
    "target_not_found": Kind(
        404, "There is no such target", "The message lists the targets that are watched."
    ),
    "decision_not_found": Kind(
        404, "There is no such decision", "Take the id from /api/v1/governance/decisions."
    ),
    "method_not_allowed": Kind(
        405,
        "This address does not take that method",
        "The `Allow` header names the methods; nothing here writes.",
    ),
    "payload_too_large": Kind(
        413, "The request carries a body that is too large", "No route here takes a body."
    ),
    "host_not_allowed": Kind(
        421,
        "This host name is not served here",
        "Use 127.0.0.1 or localhost: other names are refused so that no web site can reach in by DNS rebinding.",
    ),
    "refused": Kind(400, "The request was refused", "The message says why."),
    "internal": Kind(
        500, "Something went wrong inside", "The log has the details; try again, and report it if it stays."
    ),
    "knowledge_unavailable": Kind(
        503, "The knowledge base cannot be reached", "Try again after the seconds in `Retry-After`."
    ),
    "too_many_streams": Kind(
        503, "Too many event streams are open", "Close one, or try again after the seconds in `Retry-After`."
    ),
}
"""Code -> kind. The page at /docs lists them all."""


class FieldProblem(Contract):
    """What is wrong with one input.

    Attributes:
        where: Place and name of the input, as `query.limit` or `path.id`.
        message: What is wrong with it.
    """

    where: str
    message: str


class Problem(Contract):
    """An RFC 9457 problem document.

    Attributes:
        type: Reference to the explanation of this kind of problem.
        title: The kind in words, the same for every problem of the kind.
        status: The HTTP status.
        code: The kind as a word a program can switch on.
        detail: What happened this time.
        instance: The path that was asked for.
        errors: The inputs at fault, for `invalid_request`.
    """

    type: str = Field(examples=["/docs#problem-knowledge_unavailable"])
    title: str
    status: int
    code: str
    detail: str
    instance: str
    errors: tuple[FieldProblem, ...] = ()


class ProblemError(Exception):
    """Raised by a route to answer with a problem.

    Args:
        code: A key of `KINDS`.
        detail: What happened, for the caller to read.
        errors: The inputs at fault.
        retry_after_seconds: When trying again makes sense.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: tuple[FieldProblem, ...] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after_seconds = retry_after_seconds


def problem_response(  # noqa: D417  # the arguments are those of ProblemError
    scope: Scope,
    code: str,
    detail: str,
    *,
    errors: tuple[FieldProblem, ...] = (),
    retry_after_seconds: float | None = None,
    headers: dict[str, str] | None = None,
    status: int | None = None,
) -> JSONResponse:
    """The answer for a problem, with its media type and headers.

    Args:
        scope: The request it answers.
        status: Another status than the kind's own.
    """
    kind = KINDS[code]
    problem = Problem(
        type=f"/docs#problem-{code}",
        title=kind.title,
        status=status or kind.status,
        code=code,
        detail=detail,
        instance=str(scope.get("path", "")),
        errors=errors,
    )
    sent = dict(headers or {})
    if retry_after_seconds is not None:
        sent["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
    return JSONResponse(
        problem.model_dump(mode="json"), status_code=problem.status, headers=sent, media_type=MEDIA_TYPE
    )


def unexpected(scope: Scope, error: Exception) -> JSONResponse:
    """The answer to an error nobody foresaw: it is logged whole and told in one sentence."""
    _log.error("unexpected_error", path=scope.get("path"), exc_info=error)
    return problem_response(scope, "internal", "An unexpected error ended this request; it has been logged.")


async def _on_problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return problem_response(
        request.scope,
        error.code,
        error.detail,
        errors=error.errors,
        retry_after_seconds=error.retry_after_seconds,
    )


async def _on_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = tuple(
        FieldProblem(where=".".join(str(part) for part in item["loc"]), message=str(item["msg"]))
        for item in error.errors()
    )
    detail = "; ".join(f"{item.where}: {item.message}" for item in errors)
    return problem_response(request.scope, "invalid_request", detail, errors=errors)


async def _on_bad_input(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BadInputError)
    where = error.column or error.source
    return problem_response(
        request.scope,
        "invalid_request",
        str(error),
        errors=(FieldProblem(where=where, message=str(error)),),
    )


async def _on_retryable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Retryable)
    _log.warning("knowledge_unavailable", path=request.url.path, reason=str(error))
    return problem_response(
        request.scope,
        "knowledge_unavailable",
        "The database does not answer; the product recovers by itself once it is back.",
        retry_after_seconds=error.delay_seconds,
    )


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "route_not_found", 405: "method_not_allowed", 413: "payload_too_large"}
    code = codes.get(error.status_code, "refused" if error.status_code < 500 else "internal")
    detail = error.detail
    if code == "route_not_found":
        detail = f"Nothing is served at {request.url.path}."
    elif code == "method_not_allowed":
        detail = f"{request.url.path} does not take {request.method}."
    return problem_response(
        request.scope, code, detail, headers=dict(error.headers or {}), status=error.status_code
    )


def install(app: FastAPI) -> None:
    """Make every failure of `app`'s routes answer with a problem; what is left is caught at the edge."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(BadInputError, _on_bad_input)
    app.add_exception_handler(Retryable, _on_retryable)
    app.add_exception_handler(HTTPException, _on_http)


def documented(*codes: str) -> dict[int | str, dict[str, object]]:
    """OpenAPI `responses` of a route that may answer with these problems, besides those any route may."""
    answers: dict[int | str, dict[str, object]] = {}
    for code in ("host_not_allowed", "method_not_allowed", "internal", *codes):
        kind = KINDS[code]
        known = answers.get(kind.status)
        title = kind.title if known is None else f"{known['description']}; or: {kind.title}"
        answers[kind.status] = {
            "description": title,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return answers
