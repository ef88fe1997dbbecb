"""Contract values as rows and back: the one place that knows which column holds what.

No statement and no connection is here; `store` and `queries` have those.
"""

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.telemetry import Sample

DECISION_COLUMNS: Final = (
    "id, target, first_at, last_at, count, epoch, trigger, kind, mode, level, is_dry_run, reason, "
    "plan, plan_digest, verdicts, state, confidence, model_version"
)
"""The columns of a decision, in the order `decision_row` gives and `decision_from_row` takes them."""

LONGEST_DECISION: Final = timedelta(days=1)
"""How long one record may go on counting turns. What was still decided at an instant thus began a day before at most,
which is what keeps a question about the last minutes from going over every decision ever taken."""

_json: Final = json.JSONEncoder(allow_nan=False).encode

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def decision_row(record: DecisionRecord) -> tuple[Any, ...]:
    """A decision as a row; plan, verdicts and state as JSON text."""
    plan = record.plan
    verdicts = [verdict.model_dump(mode="json") for verdict in record.verdicts]
    return (
        record.id,
        record.target,
        record.first_at,
        record.last_at,
        record.count,
        record.epoch,
        record.trigger,
        record.kind,
        record.mode,
        record.level,
        record.is_dry_run,
        record.reason,
        None if plan is None else plan.model_dump_json(),
        None if plan is None else plan.digest(),
        _json(verdicts) if verdicts else "[]",
        _json(record.state),
        record.confidence,
        record.model_version,
    )


def decision_from_row(row: tuple[Any, ...]) -> DecisionRecord:
    """The decision of a row of `DECISION_COLUMNS`.

    Raises:
        pydantic.ValidationError: The row was written by a version whose contract was another.
    """
    names = [name.strip() for name in DECISION_COLUMNS.split(",")]
    fields = dict(zip(names, row, strict=True))
    del fields["plan_digest"]
    return DecisionRecord.model_validate(fields)


def copy_text(samples: Iterable[Sample]) -> str:
    """Samples in COPY's text format (PostgreSQL manual, COPY, "Text Format"), by hand for speed.

    Nothing needs escaping: names are checked, the rest are numbers and instants.
    """
    lines = []
    for target, sensor, at, value in samples:
        # NaN and the infinities are the floats that do not equal themselves less themselves.
        if value - value != 0:
            message = f"{target}/{sensor} at {at} is not finite: {value}"
            raise ValueError(message)
        lines.append(f"{_checked(target)}\t{_checked(sensor)}\t{_instant(at)}\t{float(value)!r}\n")
    return "".join(lines)


def forecast_text(forecasts: Iterable[Forecast]) -> str:
    """The points of forecasts in COPY's text format; target, sensor, issued_at, at, mean, lower, upper, version."""
    lines = []
    for one in forecasts:
        head = f"{_checked(one.target)}\t{_checked(one.sensor)}\t{_instant(one.issued_at)}\t"
        tail = f"\t{_escaped(one.model_version)}\n"
        lines += [
            f"{head}{_instant(point.at)}\t{point.mean!r}\t{point.lower!r}\t{point.upper!r}{tail}"
            for point in one.points
        ]
    return "".join(lines)


@lru_cache(maxsize=16)
def _escaped(text: str) -> str:
    """Any text as COPY reads it: backslash first, or what it marks would be marked again."""
    for plain, marked in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(plain, marked)
    return text


@lru_cache(maxsize=65536)
def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        message = f"{name!r} is not a name of a target or sensor"
        raise ValueError(message)
    return name


@lru_cache(maxsize=1024)
def _instant(at: datetime) -> str:
    if at.tzinfo is None:
        message = f"{at} has no time zone"
        raise ValueError(message)
    return at.isoformat()
