"""From a demand to a capacity: replicas by a queueing model, cores by a share that should be busy.

The rule is reactive first: capacity for the largest demand seen lately. A forecast may add to that and never takes
away, so a wrong forecast can waste, not starve. Going down has a dead band, going up has none: too little capacity
hurts users, too much only costs.

What it does not do: decide whether a change may be made, or how large one step may be. That is the planner's.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

from maximus_assets.contracts.target import CoreSizing, ReplicaSizing, Sizing
from maximus_assets.planning.queueing import response_p95_seconds, servers_needed, service_p95_seconds

REPLICA_HEADROOM: Final = 1.1
"""Replicas are sized for this multiple of the demand. The capacity of a replica is known to a few per cent at best, and
a plan that believes 5 % too much of it breaks its objective an order of magnitude more often than one that believes
10 % too little."""

DEAD_BAND: Final = 0.1
"""Going down by at most this share of the present capacity is not worth a change."""

CORE_STEP: Final = 0.1
"""Cores are sized in steps of this size, so that a demand that trembles does not."""

UNREACHABLE_SLACK: Final = 1.05
"""Where the objective lies below what one request takes on an idle replica, waiting may add this much to it."""

Basis = Literal["reactive", "forecast"]
Bound = Literal["none", "minimum", "maximum"]


@dataclass(frozen=True)
class Size:
    """How much capacity is right, and why.

    Attributes:
        desired: Capacity in `unit`, within the bounds of the sizing.
        unit: `replicas` or `cores`.
        demand: The demand it was sized for, in the demand sensor's unit, without head-room.
        modelled_p95_ms: Response time that 95 % of requests would stay within at that demand; None where the queue
            would grow without end, or where no response time is modelled.
        utilization: Share of the desired capacity that demand would keep busy, >= 0; above 1 means overload.
        basis: `reactive` when the recent demand decided, `forecast` when the expected demand asked for more.
        bound: The bound that cut the answer, if one did.
        is_held: Whether the dead band kept the present capacity.
        reason: Why, in words without figures, so that the same reason reads the same from turn to turn.
    """

    desired: float
    unit: Literal["replicas", "cores"]
    demand: float
    modelled_p95_ms: float | None
    utilization: float
    basis: Basis
    bound: Bound
    is_held: bool
    reason: str


def size(sizing: Sizing, *, demand_recent: float, demand_expected: float | None, current: float) -> Size:
    """The capacity a target should have.

    Args:
        sizing: What capacity is counted in, with its bounds and objective.
        demand_recent: Largest demand seen lately, in the demand sensor's unit, >= 0 and finite.
        demand_expected: Upper quantile of the demand expected until a change made now would have taken effect, or
            None without a forecast. It may add capacity, never remove any.
        current: Present capacity in the sizing's unit, >= 0.

    Returns:
        The size; `desired` lies within the sizing's bounds.

    Raises:
        ValueError: If a figure is negative or not finite.
    """
    figures = (demand_recent, current, 0.0 if demand_expected is None else demand_expected)
    if not all(math.isfinite(figure) and figure >= 0.0 for figure in figures):
        msg = f"demand and capacity must be finite and not negative, not {figures}"
        raise ValueError(msg)
    needed_recent = _needed(sizing, demand_recent)
    demand, needed = demand_recent, needed_recent
    basis: Basis = "reactive"
    if demand_expected is not None and demand_expected > demand_recent:
        needed_expected = _needed(sizing, demand_expected)
        if needed_expected > needed_recent:
            demand, needed, basis = demand_expected, needed_expected, "forecast"

    desired = min(max(needed, float(sizing.minimum)), float(sizing.maximum))
    bound: Bound = "minimum" if needed < desired else "maximum" if needed > desired else "none"
    is_held = (
        sizing.minimum <= current <= sizing.maximum and 0.0 < current - desired <= DEAD_BAND * current + 1e-9
    )
    if is_held:
        desired = current
    p95_ms, utilization = _modelled(sizing, demand, desired)
    return Size(
        desired=desired,
        unit="replicas" if isinstance(sizing, ReplicaSizing) else "cores",
        demand=demand,
        modelled_p95_ms=p95_ms,
        utilization=utilization,
        basis=basis,
        bound=bound,
        is_held=is_held,
        reason=_reason(sizing, basis=basis, bound=bound, is_held=is_held),
    )


def _needed(sizing: Sizing, demand: float) -> float:
    """Capacity for a demand before the lower bound; infinite where the upper bound is not enough."""
    if isinstance(sizing, CoreSizing):
        # Rounding first keeps 0.7 / 0.7 from becoming eleven steps of a tenth.
        return round(math.ceil(round(demand / sizing.utilization / CORE_STEP, 6)) * CORE_STEP, 6)
    needed = servers_needed(
        arrivals_per_second=demand * REPLICA_HEADROOM,
        service_seconds=sizing.service_time_ms / 1000.0,
        limit_seconds=_limit_seconds(sizing),
        maximum=sizing.maximum,
    )
    return math.inf if needed is None else float(needed)


def _limit_seconds(sizing: ReplicaSizing) -> float:
    """The response time to plan for: the objective, or what can be reached where the objective cannot."""
    if _is_unreachable(sizing):
        return UNREACHABLE_SLACK * service_p95_seconds(sizing.service_time_ms / 1000.0)
    return sizing.slo_p95_ms / 1000.0


def _is_unreachable(sizing: Sizing) -> bool:
    return isinstance(sizing, ReplicaSizing) and sizing.slo_p95_ms / 1000.0 < service_p95_seconds(
        sizing.service_time_ms / 1000.0
    )


def _modelled(sizing: Sizing, demand: float, desired: float) -> tuple[float | None, float]:
    """Modelled 95th percentile in ms (None: not stable, or not modelled) and utilisation of `desired`."""
    if isinstance(sizing, CoreSizing):
        return None, demand / desired
    service_seconds = sizing.service_time_ms / 1000.0
    servers = max(1, int(desired))
    p95 = response_p95_seconds(arrivals_per_second=demand, service_seconds=service_seconds, servers=servers)
    return (None if p95 is None else p95 * 1000.0), demand * service_seconds / servers


def _reason(sizing: Sizing, *, basis: Basis, bound: Bound, is_held: bool) -> str:
    parts = [
        "the expected demand until a change takes effect asks for more than the recent demand"
        if basis == "forecast"
        else "sized for the largest recent demand"
    ]
    if bound == "minimum":
        parts.append("the lower bound holds")
    elif bound == "maximum":
        parts.append("the upper bound holds and is not enough for the objective")
    if is_held:
        parts.append("less would do, but not by enough to be worth a change")
    if _is_unreachable(sizing):
        parts.append("the objective lies below what one request takes by itself, so no capacity can meet it")
    return "; ".join(parts)
