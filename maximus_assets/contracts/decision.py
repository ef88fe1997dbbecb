"""What was decided, why, and on what: one record a decision, kept for years.

A turn that decides what the turn before it decided, for the same reason, adds to that record's count instead of
writing another.
"""

from typing import Literal
from uuid import UUID

from pydantic import Field

from maximus_assets.contracts.action import ActionPlan
from maximus_assets.contracts.base import Contract, Instant, Name, Ratio
from maximus_assets.contracts.verdict import Verdict

DecisionKind = Literal["noop", "propose"]
Mode = Literal["HIGH_PERFORMANCE", "BALANCED", "ENERGY_EFFICIENT"]
Level = Literal["NORMAL", "ALERT", "EMERGENCY"]


class DecisionRecord(Contract):
    """One decision about one target.

    Attributes:
        id: Identity, a version 4 UUID.
        target: The target.
        first_at: The turn that took it.
        last_at: The last turn that took it again unchanged.
        count: How many turns took it, >= 1.
        epoch: Fencing epoch of the lease it was taken under.
        trigger: What made the loop look (`period`).
        kind: `noop`, or `propose` when there is a plan.
        mode: What the loop optimises for.
        level: How much authority it has left.
        is_dry_run: Whether nothing could be changed by it.
        reason: Why, in words; never empty.
        plan: The plan, for `propose`.
        verdicts: What the gates said.
        state: Figures the decision rests on, each with its unit in its name.
        confidence: How sure, 0 to 1.
        model_version: Registry version of the forecaster used, empty when none was.
    """

    id: UUID
    target: Name
    first_at: Instant
    last_at: Instant
    count: int = Field(default=1, ge=1)
    epoch: int = Field(ge=1)
    trigger: Literal["period"] = "period"
    kind: DecisionKind
    mode: Mode = "BALANCED"
    level: Level = "NORMAL"
    is_dry_run: bool
    reason: str = Field(min_length=1)
    plan: ActionPlan | None = None
    verdicts: tuple[Verdict, ...] = ()
    state: dict[str, float | int | str | bool | None] = Field(default_factory=dict)
    confidence: Ratio
    model_version: str = ""

    def repeats(self, other: "DecisionRecord") -> bool:
        """Whether this is the same unchanged no-op as `other`: then `other`'s count goes up instead.

        What may differ are the instants, the count and the measured figures; not the epoch, for a new leader's first
        decision is always its own.
        """
        return (
            self.kind == other.kind == "noop"
            and self.target == other.target
            and (self.epoch, self.mode, self.level, self.is_dry_run, self.model_version)
            == (other.epoch, other.mode, other.level, other.is_dry_run, other.model_version)
            and self.reason == other.reason
            and [(v.name, v.passed) for v in self.verdicts] == [(v.name, v.passed) for v in other.verdicts]
        )
