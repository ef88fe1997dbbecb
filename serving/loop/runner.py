"""What keeps the loop turning: period, lease, failures, heartbeat, stopping.

One task turns, one tends the lease, one follows the champion; a thread watches that turns end. The rules:
nothing is decided before one look without deciding, nor while the lease is not held; an error that nobody foresaw slows
the turns and never ends them; the lease is given back on the way out. What can wait is done between the turns: a large
fleet's forecasts, and looking for garbage.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from maximus_assets.contracts.clock import Clock
from maximus_assets.contracts.errors import MaximusError, Permanent, Retryable
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.heartbeat import Heartbeat
from serving.knowledge.store import StaleEpochError
from serving.loop import garbage
from serving.loop.cycle import Cycle, Memory, Observation, Turn
from serving.loop.ports import Follows, Leads, Progress, Shadows
from serving.loop.recorder import Recorder
from serving.loop.warmup import Remembered
from serving.loop.watchdog import Watchdog
from serving.observability import (
    ANALYZE_BLIND_TARGETS,
    ANALYZE_FROZEN_SENSORS,
    ANALYZE_TELEMETRY_LOST,
    LOOP_CYCLE_SECONDS,
    LOOP_DECISIONS_TOTAL,
    LOOP_EPOCH,
    LOOP_ERRORS_TOTAL,
    LOOP_LEADING,
    LOOP_STAGE_SECONDS,
    LOOP_TURN_TIMESTAMP,
    PREDICTORS_FORECASTS,
)

_log = structlog.get_logger("maximus.loop")

STUCK_PERIODS: Final = 3.0
_STUCK_SECONDS: Final = 30.0
"""At the least: a turn whose every write waits for a server that hangs takes nearly so long, whatever the period is."""

_LONGEST_PAUSE_PERIODS: Final = 2.0
"""A failing loop pauses longer and longer, but less than the watchdog waits."""

_FORECAST_STATUSES: Final = ("ok", "cold", "unknown_series", "no_champion")
_JUMP_SECONDS: Final = 60.0
_REMEMBERED_AT_ONCE: Final = 20_000
_POLL_SECONDS: Final = 15.0
_POLL_WITHOUT_CHAMPION_SECONDS: Final = 3.0


class Runner:
    """Runs turns until it is told to stop.

    Args:
        name: Of the heartbeat row.
        cycle: What a turn does.
        recorder: Where its results go.
        lease: Who may decide.
        champion: Follows the registry.
        clock: The time.
        period_seconds: From one turn to the next.
        warm_up: Fills the windows and says what the sources remember; called at the start and when the clock was set,
            and again while it could not ask the knowledge base.
        shadow: Versions that are asked beside the champion; none unless given.
        exit_process: What the watchdog does in the end.
    """

    def __init__(
        self,
        *,
        name: str,
        cycle: Cycle,
        recorder: Recorder,
        lease: Leads,
        champion: Follows,
        clock: Clock,
        period_seconds: float,
        warm_up: Callable[[datetime, Callable[[], None]], Awaitable[Remembered]],
        shadow: Shadows | None = None,
        exit_process: Callable[[int], None] = os._exit,
    ) -> None:
        self._name = name
        self._cycle = cycle
        self._recorder = recorder
        self._lease = lease
        self._champion = champion
        self._shadow = shadow
        self._clock = clock
        self._period = period_seconds
        self._warm_up = warm_up
        self.memory = Memory()
        self.progress = Progress(started_at=clock.now())
        self.watchdog = Watchdog(clock, max(_STUCK_SECONDS, STUCK_PERIODS * period_seconds), exit_process)
        self._was_leading = False
        self._wall: tuple[float, float] | None = None
        self._needs_warm_up = True
        self._remembered: Sequence[Sample] = ()
        self._settled_with = champion.version()

    def is_ready(self) -> bool:
        """Whether one look has been had without deciding, and the lease has been seen."""
        return self.progress.observations > 0 and self.progress.has_seen_lease and self.is_alive()

    def is_alive(self) -> bool:
        """Whether turns end."""
        return self.watchdog.idle_seconds <= self.watchdog.limit_seconds

    async def run(self) -> None:
        """Turn until cancelled; then give the lease back."""
        self.watchdog.start()
        helpers = [
            asyncio.create_task(_forever(self._tend_lease), name="lease"),
            asyncio.create_task(_forever(self._follow_champion), name="champion"),
            *(
                [asyncio.create_task(_forever(self._follow_challengers), name="challengers")]
                if self._shadow
                else []
            ),
        ]
        try:
            while True:
                started = self._clock.monotonic()
                pause = await self.step()
                await self._clock.sleep(max(0.0, started + pause - self._clock.monotonic()))
        finally:
            self.watchdog.stop()
            for helper in helpers:
                helper.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._lease.release()

    async def step(self) -> float:
        """One turn, well or badly; never raises but when cancelled.

        Returns:
            How long the next turn should start after this one did, in seconds.
        """
        with garbage.left_alone():
            pause = await self._step()
        self._between_turns()
        return pause

    async def _step(self) -> float:
        started = self._clock.monotonic()
        turns_before = self.progress.turns
        try:
            await self._turn()
        except StaleEpochError as error:
            # Another leads: what was decided here is void, and remembering it would pretend otherwise.
            _log.warning("decisions_void", reason=str(error))
            self.progress.state = "standby"
            pause = self._period
        except Exception as error:  # noqa: BLE001 - whatever it is slows the loop and never ends it
            pause = self._failed(error)
            if self.progress.turns == turns_before:
                self.progress.state = "suspended"  # nothing was decided, whatever was before
        else:
            self.progress.failures_in_a_row, self.progress.failure = 0, ""
            LOOP_TURN_TIMESTAMP.set(self._clock.now().timestamp())
            pause = self._period
        self.watchdog.progressed()
        seconds = self._clock.monotonic() - started
        self.progress.turn_seconds = seconds
        LOOP_CYCLE_SECONDS.observe(seconds)
        try:
            await self._beat()
        except Exception as error:  # noqa: BLE001 - as above
            LOOP_ERRORS_TOTAL.labels("beat", "unknown").inc()
            _log.exception("heartbeat_failed", reason=str(error))
        return pause

    def _between_turns(self) -> None:
        """What would make a turn slow and nothing in it waits for."""
        try:
            self._cycle.proceed()
        except Exception as error:  # noqa: BLE001 - as in a turn
            LOOP_ERRORS_TOTAL.labels("between_turns", "unknown").inc()
            _log.exception("forecast_not_begun", reason=str(error))
        if self._champion.version() != self._settled_with:
            self._settled_with = self._champion.version()
            garbage.settle()

    def _failed(self, error: Exception) -> float:
        """Count an error and say how long to pause: longer each time, up to twice the period."""
        self.progress.failures_in_a_row += 1
        # The words of an error nobody foresaw may hold anything; they are for the log, which is cleaned of secrets.
        self.progress.failure = str(error) if isinstance(error, MaximusError) else type(error).__name__
        kind = (
            "retryable"
            if isinstance(error, Retryable)
            else "permanent"
            if isinstance(error, Permanent)
            else "unknown"
        )
        LOOP_ERRORS_TOTAL.labels("turn", kind).inc()
        _log.error("turn_failed", kind=kind, reason=str(error), exc_info=kind == "unknown")
        if isinstance(error, Retryable):
            return max(self._period, min(error.delay_seconds, _LONGEST_PAUSE_PERIODS * self._period))
        factor = min(2.0 ** (self.progress.failures_in_a_row - 1), _LONGEST_PAUSE_PERIODS)
        return factor * self._period

    async def _turn(self) -> None:
        now = self._clock.now()
        self._notice_clock(now)
        is_first = self.progress.observations == 0
        if self._needs_warm_up and (is_first or self._lease.is_leading()):
            # Leading, the knowledge base was there a moment ago: a past it could not tell before can be had now.
            found = await self._warm_up(now, self.watchdog.progressed)
            self._remembered = found.samples
            self._needs_warm_up = not found.is_whole
            if found.telemetry is not None and not self.progress.turns:
                self.memory.telemetry = found.telemetry
            now = self._clock.now()
        with LOOP_STAGE_SECONDS.labels("collect").time():
            observation = await self._cycle.observe(now)
        self.progress.observations += 1
        if not self._lease.is_leading():
            await self._stand_by(observation)
            return
        self._was_leading = True
        if is_first:
            # A rate needs two readings, and what is stale now may be fresh a period later.
            self.progress.state = "observing"
        else:
            try:
                await self._decide(now)
            except StaleEpochError:
                raise  # whoever leads now records what it sees
            except Exception:
                # What was seen is worth keeping whatever became of the decision.
                await self._recorder.samples(observation.samples)
                raise
        with LOOP_STAGE_SECONDS.labels("record").time():
            await self._recorder.samples(observation.samples)
            await self._record_remembered()
        await self._recorder.maintain(now)

    async def _record_remembered(self) -> None:
        """Record some of what the sources remembered at the start: a large fleet's past must not hold up a turn.

        Only a leader does, and only once it is known to be kept.
        """
        if self._remembered and not self._recorder.is_away:
            await self._recorder.samples(self._remembered[:_REMEMBERED_AT_ONCE])
            self._remembered = self._remembered[_REMEMBERED_AT_ONCE:]

    async def _decide(self, now: datetime) -> None:
        epoch = self._lease.epoch
        with LOOP_STAGE_SECONDS.labels("plan").time():
            turn = await self._cycle.decide(now, epoch, self.memory)
        if not self._lease.is_leading():
            _log.warning("turn_void", reason="the lease ran out while the turn was deciding", epoch=epoch)
            self.progress.state = "suspended"
            return
        with LOOP_STAGE_SECONDS.labels("record").time():
            await self._recorder.decisions(turn.records, epoch=epoch)
        self.memory.keep(turn)
        self._tell(turn)
        await self._recorder.forecasts(turn.forecasts)
        if self._shadow is not None:  # last: nothing above waits for it, and nothing decided rests on it
            await self._recorder.judged(self._shadow.take())

    async def _stand_by(self, observation: Observation) -> None:
        """Look without deciding.

        Who led until now cannot know whether another took over or the knowledge base went away, until it writes; if it
        went away, what is seen goes on being kept, for nobody else can be doing that.
        """
        if self._was_leading:
            await self._recorder.samples(observation.samples)
        is_cut_off = self._recorder.is_away or not self.progress.has_seen_lease
        self.progress.state = "suspended" if is_cut_off else "standby"
        if not is_cut_off:
            self._was_leading = False
            await self._recorder.hand_on()

    def _tell(self, turn: Turn) -> None:
        """Take a recorded turn into what the heartbeat says."""
        self.progress.state = "leading"
        self.progress.turns += 1
        self.progress.turn_at = turn.at
        bins = self._cycle.windows.seen_bins()
        statuses = Counter(str(record.state["forecast_status"]) for record in turn.records)
        for status in _FORECAST_STATUSES:
            PREDICTORS_FORECASTS.labels(status).set(statuses[status])
        ANALYZE_TELEMETRY_LOST.set(turn.telemetry.is_lost)
        ANALYZE_BLIND_TARGETS.set(turn.telemetry.blind_targets)
        ANALYZE_FROZEN_SENSORS.set(turn.frozen_sensors)
        self.progress.telemetry = {
            "is_lost": turn.telemetry.is_lost,
            "reason": turn.telemetry.reason,
            "blind_targets": turn.telemetry.blind_targets,
            "good_turns": turn.telemetry.good_turns,
            "frozen_sensors": turn.frozen_sensors,
            "own_concerns": list(turn.own_concerns),
        }
        for row, record in enumerate(turn.records):
            LOOP_DECISIONS_TOTAL.labels(record.kind).inc()
            self.progress.targets[record.target] = {
                "status": record.state.get("forecast_status"),
                "reason": record.state.get("forecast_reason"),
                "severity": record.state.get("severity"),
                "bins": int(bins[row]),
            }

    def _notice_clock(self, now: datetime) -> None:
        """If the wall clock moved unlike the monotonic one, what the windows hold is at the wrong place."""
        wall, steady = now.timestamp(), self._clock.monotonic()
        if self._wall is not None and abs((wall - self._wall[0]) - (steady - self._wall[1])) > _JUMP_SECONDS:
            _log.warning(
                "clock_was_set", by_seconds=round(wall - self._wall[0] - (steady - self._wall[1]), 1)
            )
            self._cycle.windows.reset()
            self._needs_warm_up = True
        self._wall = (wall, steady)

    # -- beside the turns -------------------------------------------------------------------------------------------------

    async def _tend_lease(self) -> None:
        try:
            await self._lease.tend()
            self.progress.has_seen_lease = True
        except MaximusError as error:
            LOOP_ERRORS_TOTAL.labels(
                "lease", "retryable" if isinstance(error, Retryable) else "permanent"
            ).inc()
            _log.warning("lease_not_tended", reason=str(error), is_leading=self._lease.is_leading())
        LOOP_LEADING.set(self._lease.is_leading())
        LOOP_EPOCH.set(self._lease.epoch)
        await self._clock.sleep(self._lease.timing.retry_seconds)

    async def _follow_champion(self) -> None:
        if await self._champion.refresh():
            _log.info("champion_changed", version=self._champion.version(), status=self._champion.status())
            if self.progress.observations:  # before that it would hide what the loop before said last
                await self._beat()
        has_one = bool(self._champion.version())
        await self._clock.sleep(_POLL_SECONDS if has_one else _POLL_WITHOUT_CHAMPION_SECONDS)

    async def _follow_challengers(self) -> None:
        """A task of its own: a challenger that loads slowly must not hold up a new champion."""
        assert self._shadow is not None
        await self._shadow.refresh()
        await self._clock.sleep(_POLL_SECONDS)

    async def _beat(self) -> None:
        progress = self.progress
        await self._recorder.beat(
            Heartbeat(
                name=self._name,
                holder=self._lease.holder,
                epoch=self._lease.epoch,
                pid=os.getpid(),
                started_at=progress.started_at,
                beat_at=self._clock.now(),
                turn_at=progress.turn_at,
                turn_seconds=progress.turn_seconds,
                turns=progress.turns,
                state=progress.state,
                detail={
                    "champion_version": self._champion.version(),
                    "champion_status": self._champion.status(),
                    "challengers": {} if self._shadow is None else self._shadow.status(),
                    "is_dry_run": True,
                    "spooled": self._recorder.depth,
                    "failures_in_a_row": progress.failures_in_a_row,
                    "failure": progress.failure,
                    "telemetry": progress.telemetry,
                    "targets": progress.targets,
                },
            )
        )


async def _forever(once: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Do something again and again; an error nobody foresaw is logged and costs a pause, as in a turn."""
    while True:
        try:
            await once()
        except Exception as error:  # noqa: BLE001 - the tasks beside the turns must not end either
            LOOP_ERRORS_TOTAL.labels(once.__name__.strip("_"), "unknown").inc()
            _log.exception("beside_the_turns", reason=str(error))
            await asyncio.sleep(1.0)
