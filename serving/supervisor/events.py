"""What a start tells whoever watches it: one event a stage begins, moves or ends with.

The supervisor only says them; a terminal draws them, and a detached start hands them through a pipe as JSON lines.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

EventKind = Literal["started", "moved", "finished", "failed", "skipped", "notice", "ready"]


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Attributes:
        kind: What happened to the stage; `notice` and `ready` belong to none.
        stage: Name of the stage, a few words for people.
        text: More, in words.
        seconds: How long the stage took, for the kinds that end one.
    """

    kind: EventKind
    stage: str = ""
    text: str = ""
    seconds: float = 0.0

    def to_line(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> "Event":
        """Read back what `to_line` wrote."""
        return cls(**json.loads(line))


Listener = Callable[[Event], None]
