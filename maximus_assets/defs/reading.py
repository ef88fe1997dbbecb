"""Reading days one after the other: read, compare with what is stored, judge, write aside, forget, go on.

At no time is more than one day in memory, besides the profiles of the days before. Nothing here decides whether the days
are put in their places; the asset does, when it has seen every verdict.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import Final

import polars as pl

from maximus_assets.contracts.target import Target
from maximus_assets.contracts.telemetry import SENSOR, TARGET
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.frames import FramesStore
from maximus_assets.defs.judging import LOSS, accept, judge
from maximus_assets.defs.staging import StagedFrame, Staging
from maximus_assets.plots.telemetry import draw_day
from maximus_assets.telemetry.profile import profile
from maximus_assets.telemetry.quality_change import REFERENCE_DAYS
from maximus_assets.telemetry.quality_frozen import frozen_runs
from maximus_assets.telemetry.quality_loss import nothing_is_lost

PROFILES: Final = "telemetry_profile"
"""Name under which the profiles of days are kept beside their frames. A profile made from another content is made anew."""

FARTHEST_DAYS: Final = 28
"""How old a day may be that another is compared with."""

MOST_PICTURES: Final = 3
"""Of one run: its last day, and the first days with which something is wrong."""

Read = Callable[[datetime, datetime], pl.DataFrame]


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
        picture: PNG of the day; None for most days of a long run, whose pictures would crowd the event log.
    """

    day: date
    staged: StagedFrame
    verdicts: tuple[Verdict, ...]
    series: int
    targets: int
    profile: pl.DataFrame
    picture: bytes | None


@dataclass(frozen=True)
class DayReader:
    """What reading a day needs.

    Attributes:
        read: Every observation from an instant until another, by series and instant.
        targets: What is watched.
        now: The present.
        accepted: Checks whose failure is accepted.
        say: Told of every day as it is done.
    """

    read: Read
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
        before = recent_profiles(staged.store, days[0])
        done: list[DayRead] = []
        for number, day in enumerate(days, 1):
            began = time.perf_counter()
            drawn = sum(one.picture is not None for one in done)
            done.append(
                self._read_day(
                    staged,
                    day,
                    before[-REFERENCE_DAYS:],
                    must_draw=number == len(days),
                    may_draw=drawn < MOST_PICTURES - 1,
                )
            )
            before.append(done[-1].profile)
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
        found = self.read(start, end)
        loss = accept(self._loss(staged.store, key, found), self.accepted)
        # The checks speak of what is stored, whichever of the two that is.
        frame = found if loss.passed else staged.store.read("telemetry", key)
        today = profile(frame)
        is_stored = staged.store.stamp("telemetry", key) is not None
        asked = judge(
            frame,
            today,
            before,
            targets=self.targets,
            span=(start, end),
            now=self.now,
            stored=[profile_of(staged.store, key)] if is_stored else [],
        )
        verdicts = (*(accept(verdict, self.accepted) for verdict in asked), loss)
        return DayRead(
            day=day,
            staged=staged.put(key, frame) if loss.passed else staged.keep(key, frame.height),
            verdicts=verdicts,
            series=frame.select(TARGET, SENSOR).n_unique(),
            targets=frame[TARGET].n_unique(),
            profile=today,
            picture=picture_of(frame, (start, end), verdicts, before)
            if must_draw or (may_draw and not all(verdict.passed for verdict in verdicts))
            else None,
        )

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
    """Profiles of the stored days before a day, oldest first, at most `REFERENCE_DAYS` of them.

    Args:
        store: The frames.
        day: The day they lead up to.
    """
    earliest = day - timedelta(days=FARTHEST_DAYS)
    days = [one for one in store.days("telemetry") if earliest <= one < day][-REFERENCE_DAYS:]
    return [profile_of(store, one.isoformat()) for one in days]


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


def span_of(day: date) -> tuple[datetime, datetime]:
    """A day's first instant and the next day's."""
    start = datetime.combine(day, time_of_day(), tzinfo=UTC)
    return start, start + timedelta(days=1)
