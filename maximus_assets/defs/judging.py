"""What is asked of telemetry before it is stored, in plain words; and a verdict in Dagster's.

The questions themselves are pure functions of `telemetry.quality*`. Here is which of them are asked of which telemetry,
which of them stop what is downstream, and which failures a person may accept for one run.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.errors import BadInputError, Permanent
from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import COLLECT_SECONDS, SENSOR, TARGET, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.telemetry import quality
from maximus_assets.telemetry.quality_change import distribution_holds
from maximus_assets.telemetry.quality_frozen import moves
from maximus_assets.telemetry.quality_loss import over_days

QUALITY: Final[dict[str, str]] = {
    "telemetry_is_plausible": "Every value is a finite number within its sensor's valid range.",
    "telemetry_clock_is_sound": "Time runs forward in every series and stays out of the future.",
    "telemetry_has_no_duplicates": "Every series has at most one value for an instant.",
    "telemetry_units_hold": (
        "Demand is in the unit it was in before: it has not jumped by a factor such as 8, 60, 100, 1000 or 1024 and stayed "
        "there. A warning: such a series is held back, its day is stored without it, and everything else goes on. If it "
        "really has jumped, accept it once by run configuration."
    ),
    "telemetry_is_complete": "Every target was seen nearly all of the time. A gap is worth a warning: the machine was off.",
    "telemetry_is_not_frozen": (
        "No sensor that usually moves repeated one value for far longer than usual. A warning: one hung exporter must not "
        "hold back what all others saw."
    ),
    "telemetry_distribution_holds": (
        "Values are distributed as in the two weeks before. A warning: a workload may change, and then the change is what "
        "must be learnt."
    ),
}
"""Every question asked of a stretch of telemetry and what it says when it passes."""

LOSS: Final = "telemetry_loses_nothing"
LOSS_SAYS: Final = (
    "A day that is read again holds at least what was stored of it. If not, the stored day stays as it is: the metrics "
    "table has forgotten what the frame still knows."
)

UNITS: Final = "telemetry_units_hold"

WARNS_ONLY: Final = frozenset(
    {"telemetry_is_complete", "telemetry_is_not_frozen", "telemetry_distribution_holds", UNITS, LOSS}
)
"""Checks that do not stop what is downstream. What blocks is what makes a whole day unbelievable, wherever in it it was found:
values no sensor can show, a clock that runs backwards, rows told twice. What can be told series by series holds back that
series."""

ACCEPTABLE: Final = frozenset({UNITS, LOSS})
"""Failures that may be genuine, and that a person may accept for one run."""


class QualityNotPassedError(Permanent):
    """Telemetry failed a blocking check. Nothing of it was stored, so that no later run learns from it."""


def check_accepted(names: Collection[str]) -> frozenset[str]:
    """What a run is told to accept.

    Raises:
        BadInputError: A name is no check whose failure may be accepted.
    """
    if strange := sorted(set(names) - ACCEPTABLE):
        raise BadInputError(
            f"{strange[0]} cannot be accepted; these can: {', '.join(sorted(ACCEPTABLE))}",
            source="run configuration",
            column="accept",
        )
    return frozenset(names)


def judge(
    frame: pl.DataFrame,
    today: pl.DataFrame,
    before: Sequence[pl.DataFrame],
    *,
    targets: Sequence[Target],
    span: tuple[datetime, datetime],
    now: datetime,
    units: Verdict,
) -> tuple[Verdict, ...]:
    """Ask every quality question of a day, or of as much of it as there is.

    Args:
        frame: What was read for `span`, by series and instant.
        today: Its profile.
        before: Profiles of the days before, oldest first.
        targets: What was to be seen.
        span: From when, inclusive, until when, exclusive.
        now: What is the future.
        units: What was found of its units, before what changed was held back.
    """
    demand = [Series(target=target.name, sensor=target.demand_sensor) for target in targets]
    return (
        quality.value_range(frame),
        quality.clock(frame, now),
        quality.duplicates(frame),
        units,
        quality.completeness(
            frame,
            step_seconds=COLLECT_SECONDS,
            start=span[0],
            end=span[1],
            expected=_expected(demand, targets, before),
        ),
        moves(frame, before),
        distribution_holds(today, before),
    )


def asked_for_units(targets: Sequence[Target]) -> list[Series]:
    """The series whose unit is asked about: demand, of every target but this machine.

    Its own figures are in our unit whatever it does: from idle to busy is a hundredfold there, and genuine.

    Args:
        targets: What is watched.
    """
    return [Series(target=it.name, sensor=it.demand_sensor) for it in targets if it.source != "host"]


def _expected(
    demand: Sequence[Series], targets: Sequence[Target], before: Sequence[pl.DataFrame]
) -> list[Series]:
    """Demand, and what was seen of the same targets the day before: a sensor that vanished is missed for a day."""
    wanted = dict.fromkeys(demand)
    if before:
        names = [target.name for target in targets]
        seen = (
            before[-1]
            .filter(pl.col(TARGET).is_in(names))
            .select(TARGET, SENSOR)
            .unique()
            .sort(TARGET, SENSOR)
        )
        wanted.update(dict.fromkeys(Series(target=t, sensor=s) for t, s in seen.iter_rows()))
    return list(wanted)


def accept(verdict: Verdict, accepted: Collection[str]) -> Verdict:
    """The verdict, passed when its failure was accepted; it still says what was found."""
    if verdict.passed or verdict.name not in accepted:
        return verdict
    said = tuple(f"accepted by run configuration: {reason}" for reason in verdict.reasons)
    return verdict.model_copy(update={"passed": True, "reasons": said})


def together(by_day: Mapping[date, Sequence[Verdict]]) -> tuple[Verdict, ...]:
    """The verdicts of several days as one for each question, in the order of the first day's questions.

    One that holds back a series says how to let it in, after what was found.
    """
    names = [verdict.name for verdict in next(iter(by_day.values()))]
    return tuple(
        _with_way_out(over_days({day: verdicts[place] for day, verdicts in by_day.items()}))
        for place in range(len(names))
    )


def _with_way_out(verdict: Verdict) -> Verdict:
    if verdict.passed or verdict.name != UNITS:
        return verdict
    way_out = (
        "held back, everything else is stored; if that is genuine, materialize the day once with run configuration "
        f"accept: [{verdict.name}]"
    )
    return verdict.model_copy(update={"reasons": (*verdict.reasons, way_out)})


def refuse_bad_telemetry(verdicts: Sequence[Verdict]) -> None:
    """Stop what did not pass.

    Args:
        verdicts: What was found.

    Raises:
        QualityNotPassedError: A check that blocks failed; says which and why.
    """
    failed = [v for v in verdicts if not v.passed and v.name not in WARNS_ONLY]
    if failed:
        said = "; ".join(f"{v.name}: {', '.join(v.reasons)}" for v in failed)
        raise QualityNotPassedError(f"telemetry is not stored, {said}")


def check_specs(asset: str, *, are_blocking: bool = True) -> list[dg.AssetCheckSpec]:
    """The specs of every question for one asset.

    Args:
        asset: The asset.
        are_blocking: Whether those that block do so here.
    """
    return [
        dg.AssetCheckSpec(
            name, asset=asset, description=said, blocking=are_blocking and name not in WARNS_ONLY
        )
        for name, said in QUALITY.items()
    ]
