"""The shape every contract type shares: frozen, closed, finite numbers, aware instants."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""A target, group or sensor: lower case, digits, dot, underscore, dash; 1 to 63 characters."""

Instant = Annotated[AwareDatetime, AfterValidator(lambda at: at.astimezone(UTC))]
"""An aware instant, held in UTC."""

Ratio = Annotated[float, Field(ge=0.0, le=1.0)]


class Contract(BaseModel):
    """Base of every contract type.

    Frozen and closed: an unknown field is an error, so that two versions of the product cannot misread one another
    in silence. Infinite and not-a-number values are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def floor_to_step(at: datetime, step_seconds: int) -> datetime:
    """The start of the grid bin that holds `at`.

    Args:
        at: An aware instant.
        step_seconds: Width of a bin, > 0. Bins are counted from the Unix epoch.
    """
    seconds = int(at.timestamp() // step_seconds) * step_seconds
    return datetime.fromtimestamp(seconds, tz=UTC)
