"""Sensors of a service: what is asked of it, how it answers, and how many replicas answer; and of the loop's own turns.

A queue, an error ratio or a number of replicas may stand still for days; a rate of requests may only where it is zero.
"""

from typing import Final

from maximus_assets.contracts.catalogue.declare import FAIL_SAFE, HOLD, IDLE, SHORT, SOON, declare
from maximus_assets.contracts.sensors import Category, Sensor

_APPLICATION: Final = Category.APPLICATION

_FEW_REQUESTS: Final = 1800.0
"""A scraped rate of very few requests repeats itself by chance, so these get longer than a busy counter."""

APPLICATION: Final[tuple[Sensor, ...]] = (
    declare(
        "request_rate_per_second",
        _APPLICATION,
        "per_second",
        "Requests received.",
        "simulated",
        "prometheus",
        kind="rate",
        maximum=1e8,
        missing=FAIL_SAFE,
        frozen=_FEW_REQUESTS,
        rests_at=IDLE,
    ),
    declare(
        "request_throughput_per_second",
        _APPLICATION,
        "per_second",
        "Requests answered without an error.",
        "prometheus",
        kind="rate",
        maximum=1e8,
        missing=SHORT,
        frozen=_FEW_REQUESTS,
        rests_at=IDLE,
    ),
    declare(
        "request_error_ratio",
        _APPLICATION,
        "ratio",
        "Share of requests that failed.",
        "simulated",
        "prometheus",
        kind="rate",
        thresholds=(0.01, 0.05),
        missing=SHORT,
    ),
    declare(
        "request_p50_ms",
        _APPLICATION,
        "ms",
        "Median response time.",
        "prometheus",
        maximum=1e7,
        missing=SHORT,
    ),
    declare(
        "request_p95_ms",
        _APPLICATION,
        "ms",
        "95th percentile of response time.",
        "simulated",
        "prometheus",
        maximum=1e7,
        missing=SHORT,
    ),
    declare(
        "request_p99_ms",
        _APPLICATION,
        "ms",
        "99th percentile of response time.",
        "prometheus",
        maximum=1e7,
        missing=SHORT,
    ),
    declare(
        "request_queue_count",
        _APPLICATION,
        "count",
        "Requests waiting.",
        "simulated",
        "prometheus",
        maximum=1e9,
        missing=SHORT,
    ),
    declare(
        "requests_in_flight_count",
        _APPLICATION,
        "count",
        "Requests being worked on.",
        "prometheus",
        maximum=1e9,
        missing=SHORT,
    ),
    declare(
        "ready_replicas_count",
        _APPLICATION,
        "count",
        "Replicas that serve.",
        "simulated",
        "prometheus",
        maximum=1e6,
        missing=FAIL_SAFE,
    ),
    declare(
        "wanted_replicas_count",
        _APPLICATION,
        "count",
        "Replicas that were asked for.",
        "prometheus",
        maximum=1e6,
        missing=HOLD,
    ),
    declare(
        "replica_restarts_per_second",
        _APPLICATION,
        "per_second",
        "Replicas started again after they had ended.",
        "prometheus",
        kind="rate",
        maximum=1e6,
        thresholds=(0.01, 0.1),
    ),
    declare(
        "saturation_ratio",
        _APPLICATION,
        "ratio",
        "Use of whatever the service is shortest of, of what there is: connections, threads, queue places.",
        "prometheus",
        thresholds=(0.8, 0.95),
        missing=SHORT,
    ),
    declare(
        "demand_count",
        _APPLICATION,
        "count",
        "Demand as a file of the user's states it, in that file's own unit.",
        "files",
        "prometheus",
        minimum=-1e15,
        maximum=1e15,
        missing=FAIL_SAFE,
    ),
    declare(
        "loop_turn_ms",
        _APPLICATION,
        "ms",
        "Mean time a whole turn of the loop took, since the bin before.",
        "loop",
        maximum=1e6,
        thresholds=(1000.0, 5000.0),
        stale=900.0,
        frozen=SOON * 2,
    ),
)
"""In the order in which they are shown."""
