"""The HTTP API of one server, within bounds: time, bytes, points, tries.

It is hard because nothing about a server may be trusted while a turn or a run waits for it: it may be down, slow by one
byte a second, somebody else's web page, or answer with more than fits into memory. So an answer is read piece by piece
against a deadline and a size, and every failure is one of a few kinds (`errors`) that say whether to try again.

Long ranges are asked for in pages, because a server refuses more than 11,000 steps of one series at once.

Source: Prometheus manual, "HTTP API" (`/api/v1/query`, `/api/v1/query_range`).
"""

import json
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import numpy as np

from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.prometheus.answers import Answer, LabelledSeries, parse, refusal
from maximus_assets.prometheus.errors import (
    AccessRefusedError,
    NotPrometheusError,
    ServerUnavailableError,
    TooMuchDataError,
)

SERVER_MAX_STEPS: Final = 11_000
"""Steps of one series a server answers at most in one range query."""

_CONNECT_SECONDS: Final = 5.0
_FORM: Final = {"Accept": "application/json"}
_BUSY: Final = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Limits:
    """What one call may cost.

    Attributes:
        timeout_seconds: From the request to the last byte of its answer.
        max_bytes: Of one answer.
        max_points: Of one call, over all its pages.
        page_points: A page of a range is cut so that it should have no more points.
        tries: How often a request is made that fails in a way that may pass; 1 never tries again.
    """

    timeout_seconds: float = 30.0
    max_bytes: int = 64 * 2**20
    max_points: int = 2_000_000
    page_points: int = 500_000
    tries: int = 3


class PrometheusClient:
    """Asks one server. Threads may share it.

    Proxies of the environment are not used: a metrics server is inside the network it measures.

    Args:
        section: The server and its credentials.
        limits: What one call may cost.
        sleep: Waits between tries, seconds.
    """

    def __init__(
        self,
        section: PrometheusSection,
        limits: Limits | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limits = limits or Limits()
        self._section = section
        self._what = f"Prometheus {section.name} at {section.url}"
        self._sleep = sleep
        self._http = httpx.Client(trust_env=False, verify=self._trusted())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up its connections."""
        self._http.close()

    def instant(self, query: str, at: float, *, timeout_seconds: float | None = None) -> Answer:
        """The value of a query at one instant.

        Args:
            query: PromQL.
            at: Unix time.
            timeout_seconds: Less time than the limits grant, > 0.

        Raises:
            ServerUnavailableError: It did not answer in time, and tries are used up.
            QueryRefusedError: The query is wrong or too large for the server.
            NotPrometheusError: What answers has another form.
            AccessRefusedError: The credentials are not accepted.
            TooMuchDataError: The answer is beyond the limits.
        """
        form = {"query": query, "time": f"{at:.3f}"}
        return self._ask("query", form, self.limits.max_points, timeout_seconds)

    def range(self, query: str, start: float, end: float, step: float, *, series: int = 1) -> Answer:
        """The values of a query at every whole multiple of `step` in `start <= t < end`.

        Args:
            query: PromQL.
            start: Unix time, inclusive.
            end: Unix time, exclusive.
            step: Seconds, > 0.
            series: How many series are expected: pages are cut by it.

        Returns:
            Series by labels, their points in order; one that was seen nowhere is absent.

        Raises:
            ServerUnavailableError: As `instant`, as are the others.
        """
        first, last = int(-(-start // step)), int(-(-end // step)) - 1
        page = min(SERVER_MAX_STEPS, max(1, self.limits.page_points // max(1, series)))
        found: dict[frozenset[tuple[str, str]], list[LabelledSeries]] = {}
        warnings: list[str] = []
        left = self.limits.max_points
        for begin in range(first, last + 1, page):
            until = min(last, begin + page - 1)
            form = {
                "query": query,
                "start": f"{begin * step:.3f}",
                "end": f"{until * step:.3f}",
                "step": f"{step:g}",
            }
            answer = self._ask("query_range", form, left)
            left -= sum(one.seconds.size for one in answer.series)
            warnings += [warning for warning in answer.warnings if warning not in warnings]
            for one in answer.series:
                found.setdefault(frozenset(one.labels.items()), []).append(one)
        return Answer(tuple(_joined(parts) for parts in found.values()), tuple(warnings))

    def _ask(
        self, route: str, form: Mapping[str, str], max_points: int, timeout_seconds: float | None = None
    ) -> Answer:
        seconds = min(self.limits.timeout_seconds, timeout_seconds or self.limits.timeout_seconds)
        tries = 0
        while True:
            try:
                return self._try(route, form, max_points, seconds)
            except ServerUnavailableError as error:
                tries += 1
                if tries >= self.limits.tries:
                    raise
                delay = error.delay_seconds
            self._sleep(delay)

    def _try(self, route: str, form: Mapping[str, str], max_points: int, seconds: float) -> Answer:
        deadline = time.monotonic() + seconds
        timeout = f"{max(1, round(seconds * 1000))}ms"  # so that the server does not go on for nobody
        try:
            with self._http.stream(
                "POST",
                f"{self._section.url}/api/v1/{route}",
                data={**form, "timeout": timeout},
                headers={**_FORM, **self._credentials()},
                timeout=httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            ) as response:
                body = self._body(response, deadline, seconds)
        except httpx.HTTPError as error:
            said = str(error) or "no answer in time"
            raise ServerUnavailableError(f"{self._what}: {type(error).__name__}: {said}") from error
        except (httpx.InvalidURL, httpx.StreamError) as error:
            raise NotPrometheusError(f"{self._what}: {error}") from error
        self._check(response, body)
        return parse(body, what=self._what, max_points=max_points)

    def _body(self, response: httpx.Response, deadline: float, seconds: float) -> bytes:
        body = bytearray()
        for piece in response.iter_bytes():
            body += piece
            if len(body) > self.limits.max_bytes:
                raise TooMuchDataError(
                    f"{self._what} answers more than {self.limits.max_bytes:,} bytes: ask for fewer series or less time"
                )
            if time.monotonic() > deadline:
                raise ServerUnavailableError(f"{self._what}: no whole answer within {seconds:g} s")
        return bytes(body)

    def _check(self, response: httpx.Response, body: bytes) -> None:
        """Raise what an answer means that is not a plain success."""
        status = response.status_code
        is_json = "json" in response.headers.get("content-type", "")
        if status in (401, 403, 407):
            raise AccessRefusedError(
                f"{self._what} does not let us in (HTTP {status}): see the section's credentials"
            )
        if status in _BUSY:
            raise ServerUnavailableError(f"{self._what}: HTTP {status}", delay_seconds=_delay(response))
        if is_json and status in (400, 422):
            raise refusal(_error_object(body), self._what)
        if status != 200 or not is_json:
            kind = response.headers.get("content-type", "nothing it names")
            raise NotPrometheusError(
                f"{self._what} answers HTTP {status} with {kind}; the url must be that of a Prometheus server "
                "(2.1 or newer), without the path of a page"
            )

    def _credentials(self) -> dict[str, str]:
        section = self._section
        if section.bearer_token_file is not None:
            return {"Authorization": f"Bearer {self._secret(section.bearer_token_file)}"}
        if section.username is not None and section.password_file is not None:
            pair = f"{section.username}:{self._secret(section.password_file)}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}

    def _secret(self, file: Path) -> str:
        try:
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            # Not the error's own text: of bytes that are no text it quotes some.
            raise AccessRefusedError(
                f"{self._what}: {file} cannot be read ({type(error).__name__})"
            ) from None
        if not secret or not secret.isprintable():
            raise AccessRefusedError(f"{self._what}: {file} must hold one line of text")
        return secret

    def _trusted(self) -> ssl.SSLContext | bool:
        if self._section.ca_file is None:
            return True
        try:
            return ssl.create_default_context(cafile=str(self._section.ca_file))
        except (OSError, ssl.SSLError) as error:
            raise AccessRefusedError(
                f"{self._what}: {self._section.ca_file} holds no certificates: {error}"
            ) from error


def _joined(parts: list[LabelledSeries]) -> LabelledSeries:
    if len(parts) == 1:
        return parts[0]
    return LabelledSeries(
        parts[0].labels,
        np.concatenate([part.seconds for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def _error_object(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    return (
        document if isinstance(document, dict) else {"errorType": "unknown", "error": "it does not say why"}
    )


def _delay(response: httpx.Response) -> float:
    """Seconds after which to try again, as the server says, 1 to 60."""
    try:
        return min(60.0, max(1.0, float(response.headers.get("retry-after", "1"))))
    except ValueError:
        return 1.0
