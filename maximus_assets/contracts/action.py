"""What may be done to a target, and the plan that proposes it.

Reversibility, bounds and blast radius belong to the kind, so that no plan can claim them for itself. A plan is a value:
its digest names the exact change, and approvals and intents are bound to it.
"""

import hashlib
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

import rfc8785
from pydantic import Field

from maximus_assets.contracts.base import Contract, Name, Ratio


class ActionKind(StrEnum):
    """Every change the product knows."""

    SET_REPLICAS = "set_replicas"
    SET_CPU_LIMIT = "set_cpu_limit"


class ActionTraits(Contract):
    """What is true of every action of a kind.

    Attributes:
        is_reversible: Whether the prior value can be put back and then holds.
        unit: Unit of the desired value.
        minimum: Smallest desired value ever accepted.
        maximum: Largest desired value ever accepted.
        blast_radius: Largest share of a target's ready capacity one action may take away.
    """

    is_reversible: bool
    unit: str
    minimum: float
    maximum: float
    blast_radius: Ratio


ACTION_TRAITS: Final[dict[ActionKind, ActionTraits]] = {
    ActionKind.SET_REPLICAS: ActionTraits(
        is_reversible=True, unit="replicas", minimum=1, maximum=1000, blast_radius=0.25
    ),
    ActionKind.SET_CPU_LIMIT: ActionTraits(
        is_reversible=True, unit="cores", minimum=0.05, maximum=1024, blast_radius=0.25
    ),
}


class Effect(Contract):
    """What an action is declared to change, checked afterwards against what it did.

    Attributes:
        sensor: The sensor expected to move.
        before: Its value now, in its unit.
        expected: Its value once the action has settled.
        settles_within_seconds: By when.
    """

    sensor: Name
    before: float
    expected: float
    settles_within_seconds: float = Field(gt=0)


class Action(Contract):
    """One change: set a quantity of a target from its present to a desired value."""

    kind: ActionKind
    target: Name
    current: float
    desired: float
    effects: tuple[Effect, ...] = Field(min_length=1)


class ActionPlan(Contract):
    """A proposed change, complete enough to be judged, approved, applied and undone by somebody else.

    Attributes:
        id: Identity of this proposal; not part of its digest.
        target: The target; every action is about it.
        proposer: Which planner proposed it.
        actions: At least one.
        reason: Why, in words.
        confidence: How sure the planner is, 0 to 1.
        direction: Whether it adds capacity (protective) or takes it away (saving).
    """

    id: UUID
    target: Name
    proposer: str
    actions: tuple[Action, ...] = Field(min_length=1)
    reason: str
    confidence: Ratio
    direction: Literal["protective", "saving"]

    def digest(self) -> str:
        """SHA-256 of the plan's canonical JSON (RFC 8785), hexadecimal, without its id.

        Two plans that would do the same for the same reasons have the same digest on every machine.
        """
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json", exclude={"id"}))).hexdigest()
