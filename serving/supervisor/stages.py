"""The stages of a start: which waits for which, told as they begin, move and end.

A stage is a coroutine that waits for others by name; everything whose needs are met runs at once. The first essential
stage that fails ends the start and its error is the start's error, and so does an error nobody foresaw. Once the start
is complete nothing ends it any more: what still runs then and fails is told and, where the product needs it sooner or
later, tried again.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from maximus_assets.contracts.errors import MaximusError
from serving.supervisor.backoff import Backoff
from serving.supervisor.events import Event, EventKind, Listener

Say = Callable[[str], None]
"""How a stage tells what it is doing right now."""


@dataclass(frozen=True)
class Stage:
    """One step of a start.

    Attributes:
        name: A few words for people.
        work: Does it; its text result is shown beside the time it took.
        needs: Names of the stages that must have ended before (a failed one counts when the start goes on without it).
        is_essential: Whether the start fails with it.
        is_awaited: Whether the start is only complete once it ended.
        is_retried: Whether a failure that does not end the start is followed by another attempt, until one succeeds;
            whatever needs the stage waits that long. Otherwise they go on without it.
    """

    name: str
    work: Callable[[Say], Awaitable[str]]
    needs: tuple[str, ...] = ()
    is_essential: bool = True
    is_awaited: bool = True
    is_retried: bool = False


class Skipped(Exception):  # noqa: N818  # no error: the stage found that there is nothing to do
    """There was nothing to do; the message says why."""


async def run(
    stages: Sequence[Stage],
    listener: Listener,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> set[asyncio.Task[None]]:
    """Run every stage as soon as its needs are met; returns when the awaited ones ended.

    Args:
        stages: In the order to show them; needs name earlier ones.
        listener: Is told.
        sleep: Waits so many seconds before a stage is tried again.

    Returns:
        The tasks of stages nobody waits for, still running.

    Raises:
        MaximusError: Of the first essential stage that failed; every other one was cancelled.
        Exception: What nobody foresaw, of any stage, likewise.
    """
    start = _Start({stage.name: asyncio.Event() for stage in stages}, listener, sleep)
    tasks = {asyncio.create_task(start.run(stage), name=stage.name): stage for stage in stages}
    awaited = {task for task, stage in tasks.items() if stage.is_awaited}
    try:
        pending = set(tasks)
        while pending & awaited:
            finished, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    start.is_complete = True
    return pending


@dataclass
class _Start:
    """What the stages of one start share."""

    ended: Mapping[str, asyncio.Event]
    listener: Listener
    sleep: Callable[[float], Awaitable[None]]
    is_complete: bool = False

    async def run(self, stage: Stage) -> None:
        """One stage, from the end of what it needs to its own."""
        for need in stage.needs:
            await self.ended[need].wait()
        backoff = Backoff(random.Random())  # noqa: S311  # jitter is no secret
        while not await self._attempt(stage, backoff):
            pass
        self.ended[stage.name].set()

    async def _attempt(self, stage: Stage, backoff: Backoff) -> bool:
        """Whether the stage is over, one way or another."""
        started = time.monotonic()

        def tell(kind: EventKind, text: str) -> None:
            self.listener(Event(kind, stage.name, text, time.monotonic() - started))

        tell("started", "")
        try:
            text = await stage.work(lambda words: tell("moved", words))
        except Skipped as reason:
            tell("skipped", str(reason))
        except Exception as error:  # once the start is complete nobody else would ever hear of it
            is_foreseen = isinstance(error, MaximusError)
            tell("failed", str(error) if is_foreseen else f"{type(error).__name__}: {error}")
            if not self.is_complete and (stage.is_essential or not is_foreseen):
                raise
            if stage.is_retried:
                await self.sleep(backoff.delay_seconds(time.monotonic() - started))
            return not stage.is_retried
        else:
            tell("finished", text)
        return True
