"""The M/M/c queue: how long requests stay when `c` equal replicas serve one queue.

Only closed forms belong here. What makes it hard is arithmetic, not theory: the textbook sums overflow from about 170
servers on, and the response-time formula divides zero by zero where two of its rates meet. Both are written so that
neither happens.

Sources: D. Gross, J. F. Shortle, J. M. Thompson, C. M. Harris, *Fundamentals of Queueing Theory*, 4th ed. (Wiley
2008), sections 2.3 (M/M/c, Erlang C, waiting times) and 2.6 (Erlang's loss formula); D. L. Jagerman, "Some Properties
of the Erlang Loss Function", Bell System Technical Journal 53(3), 1974, for the recursion.
"""

import math
from typing import Final

TAIL: Final = 0.05
"""The share of requests that may take longer: one minus the percentile the objectives are stated in (the 95th)."""

_RELATIVE_PRECISION: Final = 1e-9


def _erlang_b_step(blocking: float, servers: int, offered: float) -> float:
    """Erlang's loss for `servers`, from the loss for one server fewer; stays within [0, 1] whatever the size."""
    return offered * blocking / (servers + offered * blocking)


def _waiting_probability(blocking: float, servers: int, offered: float) -> float:
    """Erlang C from Erlang B; 1 where the queue is not stable."""
    if offered >= servers:
        return 1.0
    return blocking / (1.0 - offered / servers * (1.0 - blocking))


def erlang_c(servers: int, offered: float) -> float:
    """Probability that a request has to wait.

    Args:
        servers: Number of servers, >= 1.
        offered: Offered load in Erlang (arrival rate x mean service time), >= 0.

    Returns:
        A probability; 1.0 where `offered >= servers`, for then everybody waits in the end.
    """
    blocking = 1.0
    for k in range(1, servers + 1):
        blocking = _erlang_b_step(blocking, k, offered)
    return _waiting_probability(blocking, servers, offered)


def _tail(at_seconds: float, waiting: float, service_rate: float, spare_rate: float) -> float:
    """P(response time > `at_seconds`), given Erlang C and the rates at which service and waiting end.

    The response is a wait, exponential with `spare_rate` = c mu - lambda and there with probability C, plus a service,
    exponential with mu: `exp(-mu t) + C mu (exp(-min t) - exp(-max t)) / (max - min)`. With `expm1` the fraction keeps
    its digits where the two rates meet, and the smaller rate in front keeps it from overflowing.
    """
    slow, gap = min(service_rate, spare_rate), abs(service_rate - spare_rate)
    together = at_seconds if gap * at_seconds < 1e-12 else -math.expm1(-gap * at_seconds) / gap
    return math.exp(-service_rate * at_seconds) + waiting * service_rate * together * math.exp(
        -slow * at_seconds
    )


def response_tail(
    at_seconds: float, *, arrivals_per_second: float, service_seconds: float, servers: int
) -> float:
    """Share of requests whose response takes longer than `at_seconds`; 1.0 where the queue is not stable.

    Args:
        at_seconds: Response time, >= 0.
        arrivals_per_second: Request rate, >= 0.
        service_seconds: Mean service time, > 0.
        servers: Number of servers, >= 1.
    """
    offered = arrivals_per_second * service_seconds
    if offered >= servers:
        return 1.0
    return _tail(
        at_seconds, erlang_c(servers, offered), 1.0 / service_seconds, (servers - offered) / service_seconds
    )


def response_p95_seconds(*, arrivals_per_second: float, service_seconds: float, servers: int) -> float | None:
    """Response time that 95 % of requests stay within, or None where the queue is not stable.

    The tail falls strictly and almost exponentially, so its logarithm is almost a line: its one crossing of 5 % is
    bracketed and found by false position (Illinois variant: M. Dowell, P. Jarratt, BIT 11, 1971) in a few steps.

    Args:
        arrivals_per_second: Request rate, >= 0.
        service_seconds: Mean service time, > 0.
        servers: Number of servers, >= 1.
    """
    offered = arrivals_per_second * service_seconds
    if offered >= servers:
        return None
    waiting = erlang_c(servers, offered)
    service_rate, spare_rate = 1.0 / service_seconds, (servers - offered) / service_seconds

    def excess(at_seconds: float) -> float:
        return math.log(_tail(at_seconds, waiting, service_rate, spare_rate) / TAIL)

    low = service_p95_seconds(service_seconds)  # without any wait
    high = 2.0 * low
    above, below = excess(low), excess(high)
    while below > 0.0:
        low, above = high, below
        high *= 2.0
        below = excess(high)
    kept = (
        0  # which end the step before left where it was: only one that stays again is given half its weight
    )
    while high - low > _RELATIVE_PRECISION * high and above > _RELATIVE_PRECISION < -below:
        at_seconds = low + (high - low) * above / (above - below)
        found = excess(at_seconds)
        if found > 0.0:
            low, above, below = at_seconds, found, 0.5 * below if kept == 1 else below
            kept = 1
        else:
            high, below, above = at_seconds, found, 0.5 * above if kept == -1 else above
            kept = -1
    return high if -below < above else low


def service_p95_seconds(service_seconds: float) -> float:
    """The 95th percentile of the service alone: what no number of servers can improve on."""
    return -math.log(TAIL) * service_seconds


def servers_needed(
    *, arrivals_per_second: float, service_seconds: float, limit_seconds: float, maximum: int
) -> int | None:
    """Fewest servers with which 95 % of responses stay within a limit.

    More servers never make a response slower, so the first that is enough is the answer; Erlang's recursion is carried
    along, which makes the whole search cost one recursion.

    Args:
        arrivals_per_second: Request rate, >= 0.
        service_seconds: Mean service time, > 0.
        limit_seconds: The limit; below `service_p95_seconds` nothing is enough.
        maximum: Most servers to try, >= 1.

    Returns:
        The number, or None where `maximum` servers are not enough.
    """
    offered = arrivals_per_second * service_seconds
    if offered >= maximum or limit_seconds < service_p95_seconds(service_seconds):
        return None
    service_rate = 1.0 / service_seconds
    blocking = 1.0
    for servers in range(1, maximum + 1):
        blocking = _erlang_b_step(blocking, servers, offered)
        if offered >= servers:
            continue
        waiting = _waiting_probability(blocking, servers, offered)
        if _tail(limit_seconds, waiting, service_rate, (servers - offered) / service_seconds) <= TAIL:
            return servers
    return None
