"""The telemetry frame: its schema, and the test that a table is one.

A frame is long, one row for each (target, sensor, instant); rows of one series stand in the order they were observed
or stated. Only the form is tested here, for every reader alike. Whether the values are plausible, complete and fresh
is `telemetry.quality`'s question, and it can only ask it of a frame that still holds what is wrong.
"""

import re
from collections.abc import Iterable
from typing import Final

import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import FRAME_COLUMNS, OBSERVED_AT, SENSOR, TARGET, VALUE, Sample

_TYPES: Final[dict[str, pl.DataType]] = {
    "string": pl.String(),
    "datetime[us, UTC]": pl.Datetime("us", "UTC"),
    "float64": pl.Float64(),
}

SCHEMA: Final = pl.Schema({column: _TYPES[kind] for column, kind in FRAME_COLUMNS.items()})
"""Column -> type of a telemetry frame, in order."""

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,62}$"
"""What `contracts.base.Name` accepts."""

_NAME: Final = re.compile(NAME_PATTERN)


def empty() -> pl.DataFrame:
    """A frame without rows."""
    return pl.DataFrame(schema=SCHEMA)


def from_samples(samples: Iterable[Sample]) -> pl.DataFrame:
    """The frame of some samples, in their order."""
    return pl.DataFrame(list(samples), schema=SCHEMA, orient="row")


def is_name(text: str) -> bool:
    """Whether `text` may name a target."""
    return _NAME.fullmatch(text) is not None


def by_series(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows by target, sensor and instant; rows of one series and instant keep their order.

    Series by series, because comparing names by the million costs eight times as much.

    Args:
        frame: A telemetry frame.
    """
    parts = frame.partition_by(TARGET, SENSOR, as_dict=True)
    return pl.concat(
        [frame.clear(), *(parts[key].sort(OBSERVED_AT, maintain_order=True) for key in sorted(parts))]
    )


def validate(frame: pl.DataFrame, source: str) -> pl.DataFrame:
    """Hand `frame` back if it is a telemetry frame.

    Args:
        frame: Any table.
        source: What to call it in an error.

    Returns:
        The same frame.

    Raises:
        BadInputError: A column is missing, unknown, out of order or of another type; a value is absent, infinite or
            not a number; a target is no name or a sensor is not in the catalogue. Names the first such row.
    """
    if frame.schema != SCHEMA:
        _refuse_schema(frame.schema, source)
    for column in frame.columns:
        if frame[column].null_count():
            _refuse(frame[column].is_null(), source, column, "there is no value")
    is_finite = frame[VALUE].is_finite()
    if not is_finite.all():
        _refuse(~is_finite, source, VALUE, "the value is not a finite number")
    # Names repeat by the thousand: look at each once.
    strange = [name for name in frame[TARGET].unique() if not is_name(name)]
    if strange:
        _refuse(
            frame[TARGET].is_in(strange), source, TARGET, "not a name of a target (a-z 0-9 . _ -, at most 63)"
        )
    unknown = [name for name in frame[SENSOR].unique() if name not in CATALOGUE]
    if unknown:
        _refuse(
            frame[SENSOR].is_in(unknown),
            source,
            SENSOR,
            f"{min(unknown)} is not in the sensor catalogue",
        )
    return frame


def _refuse(is_bad: pl.Series, source: str, column: str, message: str) -> None:
    raise BadInputError(message, source=source, row=(is_bad.arg_max() or 0) + 1, column=column)


def _refuse_schema(found: pl.Schema, source: str) -> None:
    for column, kind in SCHEMA.items():
        if column not in found:
            raise BadInputError("the column is missing", source=source, column=column)
        if found[column] != kind:
            raise BadInputError(f"the type is {found[column]}, not {kind}", source=source, column=column)
    if set(found) != set(SCHEMA):
        extra = next(column for column in found if column not in SCHEMA)
        raise BadInputError("a telemetry frame has no such column", source=source, column=extra)
    raise BadInputError(f"the columns stand in the order {list(found)}, not {list(SCHEMA)}", source=source)


__all__ = [
    "OBSERVED_AT",
    "SCHEMA",
    "SENSOR",
    "TARGET",
    "VALUE",
    "by_series",
    "empty",
    "from_samples",
    "is_name",
    "validate",
]
