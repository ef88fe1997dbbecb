"""Events known ahead: a sale, a release, a holiday, as stretches of time that a forecaster may learn from.

Numpy alone, because the shipped forecaster looks its events up while serving. An event says when, never how much: that
is what the forecaster learns from earlier ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError


@dataclass(frozen=True)
class Event:
    """One event.

    Attributes:
        name: What it is, for people.
        start_epoch_seconds: When it begins.
        end_epoch_seconds: When it is over, later than the start.
    """

    name: str
    start_epoch_seconds: int
    end_epoch_seconds: int

    def __post_init__(self) -> None:
        """Refuse an event that ends before it begins.

        Raises:
            BadInputError: It does.
        """
        if self.end_epoch_seconds <= self.start_epoch_seconds:
            raise BadInputError("must end after it begins", source="events", column=self.name)


def windows(events: Sequence[Event]) -> NDArray[np.float64]:
    """The stretches that events cover, in order of time and without overlap, shape (n, 2) in epoch seconds."""
    found: list[list[int]] = []
    for event in sorted(events, key=lambda each: each.start_epoch_seconds):
        if found and event.start_epoch_seconds <= found[-1][1]:
            found[-1][1] = max(found[-1][1], event.end_epoch_seconds)
        else:
            found.append([event.start_epoch_seconds, event.end_epoch_seconds])
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def within(covered: NDArray[np.float64], epoch_seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 where an instant lies within an event, its end excluded, else 0.

    Args:
        covered: What `windows` gave.
        epoch_seconds: Instants, any shape.
    """
    begun = np.searchsorted(covered[:, 0], epoch_seconds, "right")
    over = np.searchsorted(covered[:, 1], epoch_seconds, "right")
    return np.asarray(begun - over, dtype=np.float64)
