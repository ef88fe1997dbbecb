"""Telling a Pushgateway how a batch job went: a job that ends before it could be scraped.

Belongs here: what is told of a job, in the text format. Does not: when. A push never fails the job it tells of: whatever
goes wrong comes back as a sentence to log.

Success and failure are told to one group, by POST, which replaces only what is pushed: so the instant of the last success
survives later failures, and its age is what to raise an alarm by.

Source: Prometheus manual, "When to use the Pushgateway"; README of prometheus/pushgateway, "API".
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from maximus_assets.contracts.clock import Clock

PUSHGATEWAY_VARIABLE: Final = "MAXIMUS_PUSHGATEWAY_URL"

MEASURES: Final[dict[str, str]] = {
    "maximus_job_duration_seconds": "How long the job's last run took.",
    "maximus_job_success": "1 if the job's last run succeeded, else 0.",
    "maximus_job_rows": "Rows of telemetry the job's last run read.",
    "maximus_job_last_success_timestamp_seconds": "When the job last succeeded, in seconds since the Unix epoch.",
}
"""Every metric that is pushed, and what it means; the label `job` says of which job."""

_TIMEOUT_SECONDS: Final = 3.0


@dataclass(frozen=True)
class JobRun:
    """How one run of a batch job went.

    Attributes:
        job: What ran.
        duration_seconds: From its start to its end.
        is_success: Whether it did what it was to do.
        rows: Rows of telemetry it read; None where nobody counted.
        ended_at: Aware instant.
    """

    job: str
    duration_seconds: float
    is_success: bool
    rows: int | None
    ended_at: datetime


def push(run: JobRun, url: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> str:
    """Tell a Pushgateway of a run; never raises.

    Args:
        run: How it went.
        url: Of the Pushgateway; empty: there is none, and nothing is done.
        timeout_seconds: How long it may take, > 0.

    Returns:
        What went wrong, in words without the url's credentials; empty when it was told.
    """
    if not url:
        return ""
    try:
        answer = httpx.post(
            f"{url.rstrip('/')}/metrics/job@base64/{_encoded(run.job)}",
            content=exposition(run),
            headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
            timeout=timeout_seconds,
            trust_env=False,
        )
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return f"the Pushgateway was not told of {run.job}: {type(error).__name__}"
    if answer.is_success:
        return ""
    return f"the Pushgateway was not told of {run.job}: HTTP {answer.status_code}"


@dataclass
class Outcome:
    """What a job learns of itself while it runs.

    Attributes:
        rows: As `JobRun`.
    """

    rows: int | None = None


@contextmanager
def telling(job: str, url: str, *, clock: Clock, complain: Callable[[str], None]) -> Iterator[Outcome]:
    """Tell a Pushgateway how the body went, whichever way it ends; its own error passes unchanged.

    Args:
        job: What runs.
        url: As `push`.
        clock: Tells how long it took.
        complain: Is handed what went wrong with the telling.
    """
    outcome = Outcome()
    began = clock.monotonic()
    is_success = False
    try:
        yield outcome
        is_success = True
    finally:
        run = JobRun(job, clock.monotonic() - began, is_success, outcome.rows, clock.now())
        if problem := push(run, url):
            complain(problem)


def exposition(run: JobRun) -> bytes:
    """A run in Prometheus' text format; what is not known of it is left out."""
    values = {
        "maximus_job_duration_seconds": run.duration_seconds,
        "maximus_job_success": float(run.is_success),
        "maximus_job_rows": run.rows,
        "maximus_job_last_success_timestamp_seconds": run.ended_at.timestamp() if run.is_success else None,
    }
    registry = CollectorRegistry()
    for name, value in values.items():
        if value is not None:
            Gauge(name, MEASURES[name], registry=registry).set(value)
    return generate_latest(registry)


def _encoded(job: str) -> str:
    """A grouping value for a path: base64 without padding takes any text; `=` stands for an empty one."""
    return urlsafe_b64encode(job.encode()).decode().rstrip("=") or "="
