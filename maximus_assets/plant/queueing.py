"""How long requests wait, given how busy the replicas are: the M/M/c queue in its steady state.

The plant answers for single instants and keeps no state, so it cannot carry a backlog from one to the next; each
instant shows the steady state of its own load. Past saturation there is none: there the queue is as long as clients
are patient, and the overflow fails (the fluid limit). Sizing capacity does not belong here.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from maximus_assets.plant.noise import Floats

PATIENCE_SECONDS: Final = 5.0
"""How long a client waits before it gives up."""

_QUANTILE: Final = 0.95
_BUSIEST: Final = 0.9995
"""Utilization above which the steady state is longer than any client's patience."""


class QueueState(NamedTuple):
    """What the queue looks like, each of shape (n,).

    Attributes:
        p95_ms: 95th percentile of response time.
        waiting: Requests waiting, on average.
        failed_ratio: Share of requests that find no capacity.
    """

    p95_ms: Floats
    waiting: Floats
    failed_ratio: Floats


def waiting_probability(servers: int, utilization: Floats) -> Floats:
    """Erlang's C formula: the share of requests that have to wait.

    By the recursion on Erlang's B formula, which never forms a factorial (Cooper: Introduction to Queueing Theory,
    1981, chapter 3).

    Args:
        servers: How many, >= 1.
        utilization: Shape (n,), in [0, 1).

    Returns:
        Shape (n,), in [0, 1].
    """
    offered = servers * utilization
    blocked = np.ones_like(offered)
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1.0 - utilization * (1.0 - blocked))


def response_tail(servers: int, utilization: Floats, time: Floats) -> Floats:
    """Share of requests whose response takes longer than `time` in M/M/c, first come first served.

    The wait is 0 with probability 1 - C and exponential with rate c - a otherwise; the service is exponential with
    rate 1; the two are independent (Gross et al.: Fundamentals of Queueing Theory, 4th ed. 2008, section 2.3).

    Args:
        servers: How many, >= 1.
        utilization: Shape (n,), in [0, 1).
        time: Shape (n,), in mean service times.
    """
    wait = waiting_probability(servers, utilization)
    rate = servers * (1.0 - utilization)
    served = np.exp(-time)
    # At rate 1 wait and service have the same law and their sum is a gamma; step aside rather than divide by zero.
    rate = np.where(np.abs(rate - 1.0) < 1e-6, 1.0 + 1e-6, rate)
    both = (rate * served - np.exp(-rate * time)) / (rate - 1.0)
    return (1.0 - wait) * served + wait * both


@lru_cache(maxsize=64)
def _table(servers: int) -> tuple[Floats, Floats, Floats]:
    """Utilization, 95th percentile of response in mean service times, requests waiting; closer where it is steep."""
    utilization = 1.0 - np.geomspace(1.0, 1.0 - _BUSIEST, 1000)
    low = np.zeros_like(utilization)
    high = np.full_like(utilization, 1e5)
    for _ in range(60):
        middle = (low + high) / 2.0
        is_longer = response_tail(servers, utilization, middle) > 1.0 - _QUANTILE
        low = np.where(is_longer, middle, low)
        high = np.where(is_longer, high, middle)
    return utilization, high, waiting_probability(servers, utilization) * utilization / (1.0 - utilization)


def steady_state(servers: int, service_seconds: float, utilization: Floats) -> QueueState:
    """The queue of `servers` equal replicas.

    Args:
        servers: How many, >= 1.
        service_seconds: Mean service time, > 0.
        utilization: Shape (n,), offered load over capacity, >= 0; may be above 1.
    """
    stable = np.minimum(utilization, _BUSIEST)
    table_utilization, table_p95, table_waiting = _table(servers)
    p95_seconds = np.interp(stable, table_utilization, table_p95) * service_seconds
    waiting = np.interp(stable, table_utilization, table_waiting)
    longest = servers / service_seconds * PATIENCE_SECONDS
    return QueueState(
        p95_ms=1000.0 * np.minimum(p95_seconds, PATIENCE_SECONDS),
        waiting=np.minimum(waiting, longest),
        failed_ratio=np.maximum(0.0, 1.0 - 1.0 / np.maximum(utilization, 1.0)),
    )
