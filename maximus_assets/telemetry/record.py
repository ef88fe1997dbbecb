"""The record of how a day was read: what is missing from it and why, and how much there was to read.

A day is stored although a server was away or a series changed its unit, for everything else of it is good. What keeps
that honest is this record beside the frame: a gap nobody knows the reason of would be taken for silence of the target, or,
once the server is back, never be filled. It is a frame of its own, a row for each series that is missing and each target
whose samples were counted; nothing is read or judged here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from maximus_assets.contracts.telemetry import SENSOR, TARGET
from maximus_assets.telemetry.history import Unread

HELD_BACK: Final = "held_back"
"""The series was read, and is not believed: its unit seems to have changed."""

UNANSWERED: Final = "unanswered"
"""The series could not be read, for its server gave nothing; asking again may bring it."""

REFUSED: Final = "refused"
"""The series cannot be read before somebody changes the mapping or the labels."""

COUNTED: Final = "counted"
"""Nothing is missing; `samples` tells how many raw samples of the target's demand its server held."""

RECORD_SCHEMA: Final = pl.Schema(
    {
        TARGET: pl.String(),
        SENSOR: pl.String(),
        "kind": pl.String(),
        "reason": pl.String(),
        "samples": pl.Int64(),
        "mapping": pl.String(),
    }
)
"""One row for each finding; `samples` is null but for those that were counted, whose sensor and reason are empty. `mapping` is
a fingerprint of the Prometheus sections it was read by."""


@dataclass(frozen=True, eq=False)
class Found:
    """What was found of a stretch of time, over all sources.

    Attributes:
        frame: A telemetry frame by series and instant.
        unread: What could not be read.
        counted: Target -> raw samples of its demand that its server held just before.
        mapping: Fingerprint of the Prometheus sections.
    """

    frame: pl.DataFrame
    unread: tuple[Unread, ...] = ()
    counted: Mapping[str, int] = field(default_factory=dict)
    mapping: str = ""


def record_of(found: Found, held_back: Mapping[tuple[str, str], str]) -> pl.DataFrame:
    """The record of a reading.

    Args:
        found: What was found.
        held_back: (target, sensor) -> why it is not believed.

    Returns:
        Columns of `RECORD_SCHEMA`.
    """
    rows: list[tuple[str, str, str, str, int | None]] = [
        (one.target, one.sensor, UNANSWERED if one.may_pass else REFUSED, str(one.error), None)
        for one in found.unread
    ]
    rows += [(target, sensor, HELD_BACK, why, None) for (target, sensor), why in held_back.items()]
    rows += [(target, "", COUNTED, "", count) for target, count in found.counted.items()]
    told = [(*row, found.mapping) for row in rows]
    return pl.DataFrame(told, schema=RECORD_SCHEMA, orient="row").sort("kind", TARGET, SENSOR)


def missing(record: pl.DataFrame) -> pl.DataFrame:
    """The rows of a record that say that a series is missing."""
    return record.filter(pl.col("kind") != COUNTED)


def to_read_again(record: pl.DataFrame, watched: Collection[str]) -> pl.DataFrame:
    """The rows that say that a series of a target still watched could not be read."""
    could_not = pl.col("kind").is_in([UNANSWERED, REFUSED])
    return record.filter(could_not & pl.col(TARGET).is_in(list(watched)))


def counts(record: pl.DataFrame) -> dict[str, int]:
    """Target -> raw samples counted when it was read."""
    return dict(record.filter(pl.col("kind") == COUNTED).select(TARGET, "samples").iter_rows())


def in_words(records: Sequence[pl.DataFrame], most: int = 20) -> list[str]:
    """What is missing, a sentence for each target and reason, the most frequent first.

    Args:
        records: Of some days.
        most: Most sentences; more are counted.
    """
    if not records:
        return []
    said = (
        missing(pl.concat(records))
        .group_by(TARGET, "kind", "reason")
        .agg(pl.col(SENSOR).unique().sort().alias("sensors"), pl.len().alias("times"))
        .sort("times", TARGET, "reason", descending=[True, False, False])
    )
    words = [
        f"{row[TARGET]} ({', '.join(row['sensors'][:3])}{' and more' if len(row['sensors']) > 3 else ''}): "
        f"{row['kind'].replace('_', ' ')}, {row['reason']}"
        for row in said.head(most).iter_rows(named=True)
    ]
    return [*words, f"and {said.height - most} more"] if said.height > most else words
