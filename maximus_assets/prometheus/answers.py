"""Answers of the HTTP API to numbers, trusting nothing: not the form, not the size, not the values.

NaN and the infinities are passed on as they are: PromQL uses them on purpose (0/0 while there is no traffic). Whoever
makes samples of them leaves them out.

Source: Prometheus manual, "HTTP API", sections "Format overview" and "Expression query result formats".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from maximus_assets.prometheus.errors import (
    NotPrometheusError,
    QueryRefusedError,
    ServerUnavailableError,
    TooMuchDataError,
)

Floats = npt.NDArray[np.float64]

_KINDS: Final = ("vector", "matrix", "scalar")
_BUSY: Final = ("timeout", "canceled", "unavailable", "internal")


@dataclass(frozen=True, eq=False)
class LabelledSeries:
    """One series of an answer.

    Attributes:
        labels: Without order; `__name__` is one of them where the query kept it.
        seconds: Unix time of each point, shape (n,), ascending; one point in a vector.
        values: Shape (n,); may be NaN or infinite.
    """

    labels: Mapping[str, str]
    seconds: Floats
    values: Floats


@dataclass(frozen=True)
class Answer:
    """What a query came to.

    Attributes:
        series: A scalar is one series without labels.
        warnings: What the server warns of, such as a remote part of it that did not answer.
    """

    series: tuple[LabelledSeries, ...]
    warnings: tuple[str, ...] = ()


def parse(body: bytes, *, what: str, max_points: int) -> Answer:
    """Read the body of an answer with status 200 whose content says JSON.

    Args:
        body: As it came.
        what: The server, for messages.
        max_points: More points than this are refused.

    Raises:
        ServerUnavailableError: It is no whole JSON document: it was cut off on its way.
        NotPrometheusError: It is one, of another form.
        QueryRefusedError: The server says that the query failed.
        TooMuchDataError: It has more than `max_points` points.
    """
    document = _document(body, what)
    if document.get("status") == "error":
        raise refusal(document, what)
    data = document.get("data")
    if document.get("status") != "success" or not isinstance(data, dict):
        raise NotPrometheusError(f"{what} answers JSON, but none of Prometheus' HTTP API v1")
    kind, result = data.get("resultType"), data.get("result")
    if kind not in _KINDS or not isinstance(result, list):
        raise NotPrometheusError(f"{what} answers a result of type {kind!r}; {', '.join(_KINDS)} are known")
    try:
        series = _series(kind, result, what, max_points)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise NotPrometheusError(f"{what} answers a {kind} of another form: {error!r}") from error
    warnings = document.get("warnings") or ()
    return Answer(series, tuple(str(warning) for warning in warnings))


def refusal(document: Mapping[str, Any], what: str) -> QueryRefusedError | ServerUnavailableError:
    """The error an error object stands for."""
    kind, message = str(document.get("errorType", "unknown")), str(document.get("error", ""))[:500]
    if kind in _BUSY:
        return ServerUnavailableError(f"{what} could not answer ({kind}): {message}")
    return QueryRefusedError(f"{what} refuses the query ({kind}): {message}")


def _document(body: bytes, what: str) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ServerUnavailableError(
            f"{what} sent {len(body)} bytes that are no whole JSON document"
        ) from error
    if not isinstance(document, dict):
        raise NotPrometheusError(f"{what} answers JSON, but none of Prometheus' HTTP API v1")
    return document


def _series(kind: str, result: list[Any], what: str, max_points: int) -> tuple[LabelledSeries, ...]:
    if kind == "scalar":
        return (_one({}, [result]),)
    points = len(result) if kind == "vector" else sum(len(one["values"]) for one in result if "values" in one)
    if points > max_points:
        raise TooMuchDataError(
            f"{what} answers {points:,} points, more than {max_points:,}: ask for fewer series or less time"
        )
    for one in result:
        if "histogram" in one or "histograms" in one:
            raise NotPrometheusError(
                f"{what} answers native histograms; the query must make numbers of them (histogram_quantile)"
            )
    if kind == "vector":
        return tuple(_one(one["metric"], [one["value"]]) for one in result)
    return tuple(_one(one["metric"], one["values"]) for one in result)


def _one(labels: dict[str, Any], points: list[Any]) -> LabelledSeries:
    # Times are numbers and values are text ("NaN", "+Inf"): whatever is not makes float() or the unpacking raise.
    seconds = np.array([float(at) for at, _ in points], dtype=np.float64)
    values = np.array([float(value) for _, value in points], dtype=np.float64)
    if not np.isfinite(seconds).all() or (seconds[1:] <= seconds[:-1]).any():
        raise ValueError("its instants do not ascend")
    return LabelledSeries({str(name): str(value) for name, value in labels.items()}, seconds, values)
