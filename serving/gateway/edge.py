"""What every request passes first and every answer last: host check, security headers, the last catch, the counts.

A plain ASGI middleware, for the ones built on request and response objects buffer streams and cost a task a request.
The host check is what keeps a web site the operator visits from reading this API through DNS rebinding: the browser
then sends that site's name, and a loopback address is no protection.
"""

from collections.abc import Callable, Iterable
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.gateway.problems import problem_response, unexpected

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})

SECURITY_HEADERS: Final[dict[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
        "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""No inline script or style, nothing from elsewhere, no framing."""

Observe = Callable[[Scope, int, float], None]
"""Told of every answer: its request, status and seconds until its headers went out."""


def host_name(header: str) -> str:
    """The name in a `Host` header, lower case, without port or the root's dot; an IPv6 literal keeps its brackets."""
    name = header.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0].removesuffix(".")


class HostGuard:
    """Refuses a request whose `Host` is not one this server is known by.

    Args:
        app: What is guarded.
        names: Host names accepted besides the loopback ones.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] = ()) -> None:
        self._app = app
        self._names = LOOPBACK_NAMES | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 421."""
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if host_name(host) not in self._names:
                response = problem_response(
                    scope, "host_not_allowed", f"The Host header names {host[:200]!r}, not this machine."
                )
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Edge:
    """Adds the security headers, turns what nobody caught into one problem, and reports every answer.

    Args:
        app: The application inside.
        observe: Told of every answer.
        monotonic: Seconds, for timing.
    """

    def __init__(self, app: ASGIApp, observe: Observe, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._observe = observe
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = self._monotonic()
        has_started = False

        async def send_dressed(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                self._observe(scope, int(message["status"]), self._monotonic() - started_at)
            await send(message)

        try:
            await self._app(scope, receive, send_dressed)
        except Exception as error:
            # Whatever it was, the caller gets the one shape; once headers are out the server must cut the answer.
            if has_started:
                raise
            await unexpected(scope, error)(scope, receive, send_dressed)
