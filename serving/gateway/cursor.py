"""Where a page of decisions ended, as an opaque word.

Pages go by key, not by number: new decisions arrive all the time, and a page counted from the newest would repeat or
skip some. The key is that of the order decisions are listed in: instant of the first turn, then id, both descending.
"""

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from serving.gateway.problems import FieldProblem, ProblemError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Position(NamedTuple):
    """The last decision of a page; the next page starts right after it.

    Attributes:
        first_at: Its first turn.
        id: Its id.
    """

    first_at: datetime
    id: UUID


def encode(position: Position) -> str:
    """The word for a position: URL-safe, exact to the microsecond."""
    micros = (position.first_at - _EPOCH) // _MICROSECOND
    return base64.urlsafe_b64encode(f"{micros}.{position.id.hex}".encode()).decode().rstrip("=")


def decode(word: str) -> Position:
    """The position a word stands for.

    Raises:
        ProblemError: It was not made by `encode`.
    """
    try:
        text = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True).decode("ascii")
        micros, _, key = text.partition(".")
        position = Position(_EPOCH + int(micros) * _MICROSECOND, UUID(hex=key))
        if encode(position) == word:
            return position
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise ProblemError(
        "invalid_request",
        "query.cursor: not a cursor; take `next_cursor` of a page as it is.",
        errors=(FieldProblem(where="query.cursor", message="not a cursor"),),
    )
