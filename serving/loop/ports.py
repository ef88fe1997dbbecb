"""What the runner needs of the lease, of the champion, and of what it tells of itself: its ports and its progress."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from maximus_assets.contracts.prediction import JudgedForecasts
from serving.knowledge.heartbeat import LoopState
from serving.loop.lease import LeaseTiming


class Leads(Protocol):
    """Port: the lease."""

    @property
    def holder(self) -> str:
        """Who we are."""
        ...

    @property
    def epoch(self) -> int:
        """The epoch held, or last held."""
        ...

    @property
    def timing(self) -> LeaseTiming:
        """How long things last."""
        ...

    def is_leading(self) -> bool:
        """Whether this process may decide now."""
        ...

    async def tend(self) -> bool:
        """One try to keep the lease or to get it."""
        ...

    async def release(self) -> None:
        """Give it up."""
        ...


class Follows(Protocol):
    """Port: the champion."""

    async def refresh(self) -> bool:
        """Look at the registry; whether the champion changed."""
        ...

    def version(self) -> str:
        """Version in use, empty without one."""
        ...

    def status(self) -> str:
        """How the last look went, in words."""
        ...


class Shadows(Protocol):
    """Port: versions that are asked beside the champion and have no say."""

    async def refresh(self) -> None:
        """Look which they are, and load what is new."""
        ...

    def take(self) -> tuple[JudgedForecasts, ...]:
        """What they and the champion expected since the last call; never waits."""
        ...

    def status(self) -> dict[str, str]:
        """How each does, in words."""
        ...


@dataclass
class Progress:
    """What the loop tells of itself."""

    started_at: datetime
    state: LoopState = "starting"
    observations: int = 0
    turns: int = 0
    turn_at: datetime | None = None
    turn_seconds: float | None = None
    has_seen_lease: bool = False
    failures_in_a_row: int = 0
    failure: str = ""
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    telemetry: dict[str, Any] = field(default_factory=dict)
