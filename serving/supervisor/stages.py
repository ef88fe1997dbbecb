"""The stages of a start: which waits for which, told as they begin, move and end.

A stage is a coroutine that waits for others by name; everything whose needs are met runs at once. The first essential
stage that fails ends the start and its error is the start's error; what is not essential (a page to look at) is
reported and left to come up later.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from maximus_assets.contracts.errors import MaximusError
from serving.supervisor.events import Event, Listener

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
    """

    name: str
    work: Callable[[Say], Awaitable[str]]
    needs: tuple[str, ...] = ()
    is_essential: bool = True
    is_awaited: bool = True


class Skipped(Exception):  # noqa: N818  # no error: the stage found that there is nothing to do
    """There was nothing to do; the message says why."""


async def run(stages: Sequence[Stage], listener: Listener) -> set[asyncio.Task[None]]:
    """Run every stage as soon as its needs are met; returns when the awaited ones ended.

    Args:
        stages: In the order to show them; needs name earlier ones.
        listener: Is told.

    Returns:
        The tasks of stages nobody waits for, still running.

    Raises:
        MaximusError: Of the first essential stage that failed; every other one was cancelled.
    """
    done = {stage.name: asyncio.Event() for stage in stages}
    tasks = {asyncio.create_task(_run_one(stage, done, listener), name=stage.name): stage for stage in stages}
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
    return pending


async def _run_one(stage: Stage, done: dict[str, asyncio.Event], listener: Listener) -> None:
    for need in stage.needs:
        await done[need].wait()
    started = time.monotonic()

    def tell(kind: str, text: str) -> None:
        listener(Event(kind, stage.name, text, time.monotonic() - started))  # type: ignore[arg-type]

    tell("started", "")
    try:
        text = await stage.work(lambda words: tell("moved", words))
    except Skipped as reason:
        tell("skipped", str(reason))
    except MaximusError as error:
        tell("failed", str(error))
        if stage.is_essential:
            raise
    else:
        tell("finished", text)
    done[stage.name].set()
