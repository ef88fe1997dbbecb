"""What a caller may ask for, checked: instants, steps, targets, sensors. Every range is bounded.

Bounds are what keeps one request from costing the others their database: a range has at most so many points, a page so
many rows, and history reaches no further back than it is kept.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import AwareDatetime

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.decision import DecisionKind
from maximus_assets.contracts.target import PRODUCT, Target
from maximus_assets.contracts.telemetry import GRID_SECONDS
from serving.gateway.problems import FieldProblem, ProblemError

MAX_POINTS: Final = 2000
MAX_DECISIONS: Final = 500
MIN_STEP_SECONDS: Final = 15
MAX_STEP_SECONDS: Final = 86_400
EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

TargetName = Annotated[
    str,
    Query(description="Name of a watched target.", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["host"]),
]
OptionalTargetName = Annotated[
    str | None,
    Query(description="Only this target.", pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", examples=["host"]),
]
SensorName = Annotated[
    str,
    Query(
        description="Name of a sensor of the catalogue.",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        examples=["cpu_used_cores"],
    ),
]
Since = Annotated[
    AwareDatetime | None,
    Query(description="Start of the range, inclusive: an RFC 3339 instant with its offset."),
]
Until = Annotated[
    AwareDatetime | None,
    Query(description="End of the range, exclusive: an RFC 3339 instant with its offset. Default: now."),
]
Step = Annotated[
    int,
    Query(
        description="Width of a step in seconds; each point is the mean of its step.",
        ge=MIN_STEP_SECONDS,
        le=MAX_STEP_SECONDS,
    ),
]
Kind = Annotated[DecisionKind | None, Query(description="Only decisions of this kind.")]
Limit = Annotated[int, Query(description="Most decisions in one answer.", ge=1, le=MAX_DECISIONS)]
CursorWord = Annotated[
    str | None,
    Query(
        alias="cursor", description="`next_cursor` of the page before, with the same filters.", max_length=120
    ),
]
LeadSteps = Annotated[
    int,
    Query(
        description="How many bins ahead the past forecasts that are compared were made, 1 to 288.",
        ge=1,
        le=288,
    ),
]


def invalid(where: str, message: str) -> ProblemError:
    """The error for an input that only its context shows to be wrong."""
    return ProblemError(
        "invalid_request", f"{where}: {message}", errors=(FieldProblem(where=where, message=message),)
    )


def known_target(targets: dict[str, Target], name: str) -> Target:
    """The watched target of that name.

    Raises:
        ProblemError: There is none.
    """
    if name in targets:
        return targets[name]
    shown = sorted(targets)[:20]
    more = f" and {len(targets) - len(shown)} more" if len(targets) > len(shown) else ""
    raise ProblemError("target_not_found", f"{name!r} is not watched; watched are {', '.join(shown)}{more}.")


def observed_name(targets: dict[str, Target], name: str) -> str:
    """The name of a watched target, or of the product itself, which is observed though it is not watched.

    Raises:
        ProblemError: It is neither.
    """
    return name if name == PRODUCT else known_target(targets, name).name


def require_sensor(sensor: str) -> None:
    """Refuse a sensor that is not in the catalogue.

    Raises:
        ProblemError: It is not.
    """
    if sensor not in CATALOGUE:
        raise invalid("query.sensor", f"{sensor!r} is not in the sensor catalogue")


def range_of(
    since: datetime | None, until: datetime | None, *, now: datetime, default_seconds: float
) -> tuple[datetime, datetime]:
    """The range asked for, in UTC.

    Args:
        since: Its start; by default `default_seconds` before its end.
        until: Its end; by default `now`.
        now: The present.
        default_seconds: Its length without a start.

    Raises:
        ProblemError: It is empty, reversed, or reaches beyond the years 2000 to 2200.
    """
    end = (until or now).astimezone(UTC)
    if not EARLIEST <= end <= LATEST:
        raise invalid("query.until", "must lie between the years 2000 and 2200")
    start = (since or end - timedelta(seconds=default_seconds)).astimezone(UTC)
    if not EARLIEST <= start < end:
        raise invalid("query.since", "must lie before `until`, and not before the year 2000")
    return start, end


def require_bounded(since: datetime, until: datetime, step_seconds: int) -> None:
    """Refuse a range that would give more than `MAX_POINTS` points.

    Raises:
        ProblemError: It would; the message names the smallest step that does not.
    """
    seconds = (until - floor_to_step(since, step_seconds)).total_seconds()
    if seconds / step_seconds > MAX_POINTS:
        smallest = -(-int(seconds) // MAX_POINTS)
        grid = -(-smallest // GRID_SECONDS) * GRID_SECONDS if smallest > 60 else smallest
        raise invalid(
            "query.step", f"would give more than {MAX_POINTS} points; {grid} or more suits this range"
        )
