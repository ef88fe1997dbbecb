"""Reading days one after the other: read, compare with what is stored, judge, write aside, forget, go on.

At no time is more than one day in memory, besides the profiles of the days before. Nothing here decides whether the days
are put in their places; the asset does, when it has seen every verdict.

What could not be read, or is held back because its unit seems to have changed, is left out of its day, that series alone,
and written into the day's record. Of a day that is stored already such a series stays as it is stored.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Final

import polars as pl

from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import SENSOR, TARGET, Series
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.judging import LOSS, UNITS, accept, asked_for_units, judge
from maximus_assets.defs.staging import StagedFrame, Staging
from maximus_assets.plots.telemetry import draw_day
from maximus_assets.telemetry.frames import by_series
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.quality_change import (
    REFERENCE_DAYS,
    UNIT_REFERENCE_DAYS,
    changed_units,
    units_hold,
)
from maximus_assets.telemetry.quality_frozen import frozen_runs
from maximus_assets.telemetry.quality_loss import nothing_is_lost
from maximus_assets.telemetry.record import Found, missing, record_of

PROFILES: Final = "telemetry_profile"
"""Name under which the profiles of days are kept beside their frames. A profile made from another content is made anew."""

RECORDS: Final = "telemetry_record"
"""Name under which it is kept how each day was read, beside its frame."""

FARTHEST_DAYS: Final = UNIT_REFERENCE_DAYS
"""How old a day may be that another is compared with."""

MOST_PICTURES: Final = 3
"""Of one run: its last day, and the first days with which something is wrong."""

Look = Callable[[datetime, datetime], Found]


@dataclass(frozen=True)
class DayRead:
    """One day that was read.

    Attributes:
        day: Which.
        staged: What is to be stored of it.
        verdicts: What was found, the question of loss last.
        series: How many series it has.
        targets: How many targets.
        profile: Its profile.
        record: How it was read (`telemetry.record`); None where it stays as it is stored, and so does its record.
        picture: PNG of the day; None for most days of a long run, whose pictures would crowd the event log.
    """

    day: date
    staged: StagedFrame
    verdicts: tuple[Verdict, ...]
    series: int
    targets: int
    profile: pl.DataFrame
    record: pl.DataFrame | None
    picture: bytes | None

    @property
    def missing(self) -> pl.DataFrame:
        """What its record says is missing."""
        return pl.DataFrame() if self.record is None else missing(self.record)


@dataclass(frozen=True)
class DayReader:
    """What reading a day needs.

    Attributes:
        look: Finds every observation from an instant until another, and says what could not be read.
        targets: What is watched.
        now: The present.
        accepted: Checks whose failure is accepted.
        say: Told of every day as it is done.
    """

    look: Look
    targets: Sequence[Target]
    now: datetime
    accepted: Collection[str]
    say: Callable[[str], None]

    def read_days(self, staged: Staging, days: Sequence[date]) -> list[DayRead]:
        """Read days into a staging.

        Args:
            staged: Where their frames go.
            days: Which, oldest first.

        Raises:
            MaximusError: A day cannot be read or written.
        """
        before = thinned(recent_profiles(staged.store, days[0]), asked_for_units(self.targets))
        done: list[DayRead] = []
        for number, day in enumerate(days, 1):
            began = time.perf_counter()
            drawn = sum(one.picture is not None for one in done)
            done.append(
                self._read_day(
                    staged,
                    day,
                    before,
                    must_draw=number == len(days),
                    may_draw=drawn < MOST_PICTURES - 1,
                )
            )
            before = [*thinned(before, asked_for_units(self.targets)), done[-1].profile]
            self.say(
                f"{day}, {number} of {len(days)}: {done[-1].staged.rows:,} rows of {done[-1].series} series "
                f"in {time.perf_counter() - began:.1f} s"
            )
        return done

    def _read_day(
        self, staged: Staging, day: date, before: Sequence[pl.DataFrame], *, must_draw: bool, may_draw: bool
    ) -> DayRead:
        start, end = span_of(day)
        key = day.isoformat()
        found = self.look(start, end)
        seen = profile(found.frame)
        is_stored = staged.store.stamp("telemetry", key) is not None
        # The unit of what is stored was judged, or accepted, when it was: a jump that was accepted once must not be held back
        # by every run that reads the day again.
        reference = [*before, *([profile_of(staged.store, key)] if is_stored else [])]
        asked_for = asked_for_units(self.targets)
        units = accept(units_hold(seen, reference, asked_for), self.accepted)
        held_back = {} if UNITS in self.accepted else changed_units(seen, reference, asked_for)[1]
        absent = {*held_back, *((one.target, one.sensor) for one in found.unread)}
        believed = self._without(staged.store, key, found.frame, absent, is_stored=is_stored)
        loss = accept(self._loss(staged.store, key, believed), self.accepted)
        # The checks speak of what is stored, whichever of the two that is.
        frame = believed if loss.passed else staged.store.read("telemetry", key)
        today = profile(frame)
        recent = before[-REFERENCE_DAYS:]
        asked = judge(
            frame, today, recent, targets=self.targets, span=(start, end), now=self.now, units=units
        )
        verdicts = (*(accept(verdict, self.accepted) for verdict in asked), loss)
        return DayRead(
            day=day,
            staged=staged.put(key, frame) if loss.passed else staged.keep(key, frame.height),
            verdicts=verdicts,
            series=frame.select(TARGET, SENSOR).n_unique(),
            targets=frame[TARGET].n_unique(),
            profile=today,
            record=record_of(found, held_back) if loss.passed else None,
            picture=picture_of(frame, (start, end), verdicts, recent)
            if must_draw or (may_draw and not all(verdict.passed for verdict in verdicts))
            else None,
        )

    @staticmethod
    def _without(
        store: FramesStore, key: str, frame: pl.DataFrame, absent: set[tuple[str, str]], *, is_stored: bool
    ) -> pl.DataFrame:
        """A day without some of its series, or with what is stored of them in their place."""
        if not absent:
            return frame
        names = pl.DataFrame(list(absent), schema={TARGET: pl.String, SENSOR: pl.String}, orient="row")
        parts = [frame.join(names, on=[TARGET, SENSOR], how="anti", maintain_order="left")]
        if is_stored:
            stored = store.read("telemetry", key)
            parts.append(stored.join(names, on=[TARGET, SENSOR], how="semi", maintain_order="left"))
        return by_series(pl.concat(parts))

    def _loss(self, store: FramesStore, key: str, found: pl.DataFrame) -> Verdict:
        if store.stamp("telemetry", key) is None:
            return Verdict(
                name=LOSS,
                passed=True,
                measured={
                    "stored_rows_count": 0,
                    "found_rows_count": found.height,
                    "lost_rows_count": 0,
                    "shrunk_series_count": 0,
                },
            )
        stored = store.read("telemetry", key, columns=(TARGET, SENSOR))
        return nothing_is_lost(stored, found, {target.name for target in self.targets})


def picture_of(
    frame: pl.DataFrame,
    span: tuple[datetime, datetime],
    verdicts: Sequence[Verdict],
    before: Sequence[pl.DataFrame],
) -> bytes:
    """A picture of a stretch of telemetry with what the checks found marked.

    Args:
        frame: What was read, by series and instant.
        span: From when until when.
        verdicts: What was found.
        before: Profiles of the days before.
    """
    said = [reason for verdict in verdicts if not verdict.passed for reason in verdict.reasons]
    names = [f"{t}/{s}" for t, s in frame.select(TARGET, SENSOR).unique(maintain_order=True).iter_rows()]
    flagged = [name for name in names if any(name in reason for reason in said)]
    return draw_day(frame, *span, frozen_runs(frame, before), flagged)


def recent_profiles(store: FramesStore, day: date) -> list[pl.DataFrame]:
    """Profiles of the stored days before a day, oldest first, at most `UNIT_REFERENCE_DAYS` of them.

    Args:
        store: The frames.
        day: The day they lead up to.
    """
    earliest = day - timedelta(days=FARTHEST_DAYS)
    days = [one for one in store.days("telemetry") if earliest <= one < day][-UNIT_REFERENCE_DAYS:]
    return [profile_of(store, one.isoformat()) for one in days]


def thinned(profiles: Sequence[pl.DataFrame], demand: Sequence[Series]) -> list[pl.DataFrame]:
    """The profiles a day is compared with: of the older ones, whose units alone are looked at, only some series.

    Args:
        profiles: Of the days before, oldest first.
        demand: Those series.
    """
    names = pl.DataFrame(
        [(one.target, one.sensor) for one in demand],
        schema={TARGET: pl.String, SENSOR: pl.String},
        orient="row",
    )
    older = profiles[-UNIT_REFERENCE_DAYS:-REFERENCE_DAYS]
    return [
        *(one.join(names, on=[TARGET, SENSOR], how="semi", maintain_order="left") for one in older),
        *profiles[-REFERENCE_DAYS:],
    ]


def profile_of(store: FramesStore, key: str) -> pl.DataFrame:
    """The profile of a stored day; made and kept when there is none of this very frame.

    Args:
        store: The frames.
        key: The day's partition.

    Raises:
        FileNotFoundError: The day is not stored.
    """
    frame, kept = store.stamp("telemetry", key), store.stamp(PROFILES, key)
    if frame is not None and kept is not None and kept.version == frame.content:
        return store.read(PROFILES, key)
    made = profile(store.read("telemetry", key))
    if frame is not None:
        store.write(PROFILES, key, made, version=frame.content)
    return made


def keep_record(store: FramesStore, one: DayRead) -> None:
    """Write how a day was read beside it, before the day itself takes its place: a gap is never without its reason.

    Args:
        store: The frames.
        one: A day that is about to be stored.
    """
    if one.record is not None:
        store.write(RECORDS, one.staged.partition, one.record, version=one.staged.content)


@dataclass(frozen=True)
class Kept:
    """What is kept of how a stored day was read.

    Attributes:
        record: Columns of `telemetry.record.RECORD_SCHEMA`.
        is_of_this_day: Whether it tells of the very frame that is stored. It does not where a run ended between writing the
            two: then the day must be read again.
    """

    record: pl.DataFrame
    is_of_this_day: bool


def records(store: FramesStore, days: Sequence[date]) -> dict[date, Kept]:
    """How each of some days was read; days that are not stored, or that no record was ever written of, are left out.

    Args:
        store: The frames.
        days: Which.
    """
    found: dict[date, Kept] = {}
    for day in sorted(set(days) & set(store.days(RECORDS))):
        key = day.isoformat()
        stored, kept = store.stamp("telemetry", key), store.stamp(RECORDS, key)
        if stored is not None and kept is not None:
            found[day] = Kept(store.read(RECORDS, key), kept.version == stored.content)
    return found


def span_of(day: date) -> tuple[datetime, datetime]:
    """A day's first instant and the next day's."""
    start = datetime.combine(day, time_of_day(), tzinfo=UTC)
    return start, start + timedelta(days=1)
