"""What the serving side tells of itself: structured logs without secrets, and every Prometheus instrument, named once.

Belongs here: names, units and labels of instruments; how logs look. Does not: when something is counted (each room
counts its own). It is hard because a log line is the easiest way for a password to leave the machine, and because the
same module may be imported twice in a process, which must not register an instrument twice.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, NamedTuple, TypeVar

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import CollectorRegistry

_REDACTED: Final = "***"
_SECRET_KEYS: Final = re.compile(
    r"passw|secret|token|authorization|api_?key|credential|cookie", re.IGNORECASE
)
_URL_PASSWORD: Final = re.compile(r"(?P<head>[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s@/]+@", re.IGNORECASE)
_QUERY_PASSWORD: Final = re.compile(
    r"(?P<head>\b(?:password|passwd|pwd|secret|token)=)[^\s&;'\"]+", re.IGNORECASE
)
_BEARER: Final = re.compile(r"(?P<head>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)

# Local variables stay out of tracebacks: any of them may be a secret.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

_Instrument = TypeVar("_Instrument", bound=MetricWrapperBase)


def redact(text: str) -> str:
    """The text without passwords of URLs and connection strings, and without bearer tokens."""
    text = _URL_PASSWORD.sub(rf"\g<head>:{_REDACTED}@", text)
    text = _QUERY_PASSWORD.sub(rf"\g<head>{_REDACTED}", text)
    return _BEARER.sub(rf"\g<head>{_REDACTED}", text)


def configure_logging(level: str = "INFO", form: Literal["console", "json"] = "console") -> None:
    """Send structlog and the standard library's loggers to standard error, in one form; harmless when repeated.

    Args:
        level: Least severe level that is written.
        form: `console` for people, `json` for collectors (one object a line).
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.types.Processor] = (
        [_TRACEBACKS, redact_event, structlog.processors.JSONRenderer()]
        if form == "json"
        else [
            structlog.processors.format_exc_info,
            redact_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(
        max(root.level, logging.WARNING)
    )  # else a line for every request of every turn
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def redact_event(
    _logger: Any,  # noqa: ANN401 - structlog's own signature
    _method: str,
    event: MutableMapping[str, Any],
) -> MutableMapping[str, Any]:
    """Structlog processor: remove secrets from a whole event, however deep they are."""
    for key, value in event.items():
        event[key] = _REDACTED if _SECRET_KEYS.search(key) and isinstance(value, str) else _clean(value)
    return event


def _clean(value: object) -> object:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {
            key: _REDACTED
            if isinstance(key, str) and _SECRET_KEYS.search(key) and isinstance(item, str)
            else _clean(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, BaseException):
        return redact(repr(value))
    return value


def _instrument(
    kind: type[_Instrument],
    name: str,
    description: str,
    labels: tuple[str, ...] = (),
    *,
    registry: CollectorRegistry = REGISTRY,
    **options: Any,  # noqa: ANN401 - passed on to the instrument
) -> _Instrument:
    """Make an instrument, or answer the one that is registered under its name already.

    A second import of this module (by another name, or after a reload) would otherwise fail. The registry offers no
    public way to ask, hence the private attribute.
    """
    registered = registry._names_to_collectors.get(name.removesuffix("_total"))  # noqa: SLF001
    if registered is None:
        return kind(name, description, labels, registry=registry, **options)
    if type(registered).__name__ != kind.__name__:
        message = f"{name} is registered as a {type(registered).__name__}, not as a {kind.__name__}"
        raise TypeError(message)
    return registered  # type: ignore[return-value]


_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_TURN: Final = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)

LOOP_CYCLE_SECONDS: Final = _instrument(
    Histogram, "maximus_loop_cycle_seconds", "Time one whole turn of the loop took.", buckets=_TURN
)
LOOP_STAGE_SECONDS: Final = _instrument(
    Histogram,
    "maximus_loop_stage_seconds",
    "Time one stage of a turn took (collect, window, forecast, plan, record).",
    ("stage",),
    buckets=_FAST,
)
LOOP_DECISIONS_TOTAL: Final = _instrument(
    Counter, "maximus_loop_decisions_total", "Decisions taken, repeated no-ops included.", ("kind",)
)
LOOP_ERRORS_TOTAL: Final = _instrument(
    Counter, "maximus_loop_errors_total", "Errors met by the loop.", ("stage", "kind")
)
"""`kind`: retryable, permanent or unknown."""
LOOP_LEADING: Final = _instrument(
    Gauge, "maximus_loop_leading", "1 while this process leads, else 0.", multiprocess_mode="livemax"
)
LOOP_EPOCH: Final = _instrument(
    Gauge,
    "maximus_loop_lease_epoch",
    "Fencing epoch this process holds or last held.",
    multiprocess_mode="livemax",
)
LOOP_TURN_TIMESTAMP: Final = _instrument(
    Gauge,
    "maximus_loop_turn_timestamp_seconds",
    "When the last turn ended, in seconds since the Unix epoch.",
    multiprocess_mode="livemax",
)
MONITOR_COLLECTION_SECONDS: Final = _instrument(
    Histogram,
    "maximus_monitor_collection_seconds",
    "Time one collection from a source took.",
    ("source",),
    buckets=_FAST,
)
MONITOR_SAMPLES_TOTAL: Final = _instrument(
    Counter, "maximus_monitor_samples_total", "Samples collected.", ("source",)
)
MONITOR_REJECTED_TOTAL: Final = _instrument(
    Counter,
    "maximus_monitor_rejected_samples_total",
    "Samples thrown away as no possible state of the world.",
    ("source",),
)
ANALYZE_TELEMETRY_LOST: Final = _instrument(
    Gauge,
    "maximus_analyze_telemetry_lost",
    "1 while so much telemetry is lost that nothing is taken away from any target, else 0.",
    multiprocess_mode="livemostrecent",
)
ANALYZE_BLIND_TARGETS: Final = _instrument(
    Gauge,
    "maximus_analyze_blind_targets",
    "Targets that lack a sensor that must fail safe.",
    multiprocess_mode="livemostrecent",
)
ANALYZE_FROZEN_SENSORS: Final = _instrument(
    Gauge,
    "maximus_analyze_frozen_sensors",
    "Sensors, of all targets, that show one value for longer than what they measure can stand still.",
    multiprocess_mode="livemostrecent",
)
PREDICTORS_FORECASTS: Final = _instrument(
    Gauge,
    "maximus_predictors_forecasts",
    "Targets by the status of their latest forecast.",
    ("status",),
    multiprocess_mode="livemostrecent",
)
PREDICTORS_FORECAST_SECONDS: Final = _instrument(
    Histogram, "maximus_predictors_forecast_seconds", "Time one call of the champion took.", buckets=_FAST
)
PREDICTORS_CHAMPION: Final = _instrument(
    Gauge,
    "maximus_predictors_champion_info",
    "1 for the version of the champion in use.",
    ("model", "version"),
    multiprocess_mode="livemostrecent",
)
PREDICTORS_SWAPS_TOTAL: Final = _instrument(
    Counter,
    "maximus_predictors_swaps_total",
    "Times the champion in use was changed while running.",
    ("model",),
)
KNOWLEDGE_WRITE_SECONDS: Final = _instrument(
    Histogram, "maximus_knowledge_write_seconds", "Time one write took.", ("what",), buckets=_FAST
)
KNOWLEDGE_UNAVAILABLE_TOTAL: Final = _instrument(
    Counter, "maximus_knowledge_unavailable_total", "Writes or queries that found no server.", ("what",)
)
KNOWLEDGE_SPOOL_ENTRIES: Final = _instrument(
    Gauge,
    "maximus_knowledge_spool_entries",
    "Entries that wait for PostgreSQL.",
    ("what",),
    multiprocess_mode="livemostrecent",
)
KNOWLEDGE_SPOOL_DROPPED_TOTAL: Final = _instrument(
    Counter, "maximus_knowledge_spool_dropped_samples_total", "Samples dropped because the spool was full."
)
KNOWLEDGE_SPOOL_QUARANTINED_TOTAL: Final = _instrument(
    Counter,
    "maximus_knowledge_spool_quarantined_total",
    "Spool lines set aside because they could not be read.",
)
GATEWAY_REQUESTS: Final = _instrument(
    Counter, "maximus_gateway_requests_total", "Requests answered.", ("route", "status")
)
GATEWAY_REQUEST_SECONDS: Final = _instrument(
    Histogram, "maximus_gateway_request_seconds", "Time to answer a request.", ("route",), buckets=_FAST
)
GATEWAY_STREAMS: Final = _instrument(
    Gauge, "maximus_gateway_streams_open", "Event streams open.", multiprocess_mode="livesum"
)
GATEWAY_STREAMS_DROPPED: Final = _instrument(
    Counter,
    "maximus_gateway_streams_dropped_total",
    "Event streams ended because the client was too slow.",
    ("reason",),
)


class Instrument(NamedTuple):
    """One metric as the README describes it: its name, its type, its labels in order, what it means."""

    name: str
    kind: str
    labels: tuple[str, ...]
    description: str


def instruments() -> list[Instrument]:
    """Every instrument of this module, by name."""
    found = {
        one._name: Instrument(  # noqa: SLF001 - an instrument has no public way to tell its own name
            str(one._name) + ("_total" if one._type == "counter" else ""),  # noqa: SLF001 - the same
            str(one._type),  # noqa: SLF001 - the same
            tuple(one._labelnames),  # noqa: SLF001 - the same
            one._documentation,  # noqa: SLF001 - the same
        )
        for one in globals().values()
        if isinstance(one, MetricWrapperBase)
    }
    return [found[name] for name in sorted(found)]


def show_champion(model: str, version: str) -> None:
    """Show `version` as the champion of `model` in use, and no other; an empty version: there is none.

    Versions shown before stay, at 0: where several processes count together, a label cannot be taken back.
    """
    before = [sample.labels for family in PREDICTORS_CHAMPION.collect() for sample in family.samples]
    for labels in before:
        if labels["model"] == model:
            PREDICTORS_CHAMPION.labels(model, labels["version"]).set(0)
    if version:
        PREDICTORS_CHAMPION.labels(model, version).set(1)
