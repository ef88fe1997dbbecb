"""The heartbeat row: how a loop in another process is seen. A type only; `store` writes it, `queries` reads it."""

from datetime import datetime
from typing import Any, Literal, NamedTuple

LoopState = Literal["starting", "observing", "leading", "standby", "suspended"]


class Heartbeat(NamedTuple):
    """What a process tells of itself, one row a process name.

    Attributes:
        name: Of the row; one for each place a loop may run at.
        holder: Which process it is, as in the lease.
        epoch: Fencing epoch it holds or last held, 0 when it never led.
        pid: Its process id.
        started_at: When it started.
        beat_at: Now.
        turn_at: When its last turn ended.
        turn_seconds: How long that turn took.
        turns: How many turns it has ended.
        state: What it is doing.
        detail: Anything else worth showing, JSON.
    """

    name: str
    holder: str
    epoch: int
    pid: int
    started_at: datetime
    beat_at: datetime
    turn_at: datetime | None
    turn_seconds: float | None
    turns: int
    state: LoopState
    detail: dict[str, Any]
