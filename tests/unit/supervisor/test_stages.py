import asyncio

import pytest

from maximus_assets.contracts.errors import MaximusError
from serving.supervisor.events import Event
from serving.supervisor.failures import StartFailedError
from serving.supervisor.stages import Skipped, Stage, run

pytestmark = pytest.mark.anyio


@pytest.fixture
def story():
    return []


def told(story):
    return [(event.kind, event.stage) for event in story]


async def test_a_stage_begins_only_after_what_it_needs_has_ended(story):
    async def work(say):
        await asyncio.sleep(0)
        return "fine"

    stages = [Stage("c", work, ("a", "b")), Stage("a", work), Stage("b", work, ("a",))]
    await run(stages, story.append)
    order = told(story)
    assert order.index(("finished", "a")) < order.index(("started", "b"))
    assert order.index(("finished", "b")) < order.index(("started", "c"))


async def test_stages_that_need_nothing_of_each_other_run_side_by_side(story):
    met = asyncio.Barrier(2)

    async def work(say):
        await asyncio.wait_for(met.wait(), 5.0)
        return ""

    await run([Stage("a", work), Stage("b", work)], story.append)


async def test_a_stage_with_nothing_to_do_lets_the_next_one_go_on(story):
    async def skip(say):
        raise Skipped("it is there already")

    async def work(say):
        return "done"

    await run([Stage("a", skip), Stage("b", work, ("a",))], story.append)
    assert told(story) == [("started", "a"), ("skipped", "a"), ("started", "b"), ("finished", "b")]
    assert story[1].text == "it is there already"


async def test_an_essential_failure_cancels_the_others_and_is_the_error_of_the_start(story):
    cancelled = asyncio.Event()

    async def fail(say):
        await asyncio.sleep(0)
        raise StartFailedError("the port burnt down")

    async def wait(say):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(MaximusError, match="burnt down"):
        await run([Stage("a", fail), Stage("b", wait), Stage("c", wait, ("a",))], story.append)
    assert cancelled.is_set()
    assert ("started", "c") not in told(story)


async def test_a_failure_of_what_is_not_essential_is_told_and_the_start_goes_on(story):
    async def fail(say):
        raise StartFailedError("no page")

    async def work(say):
        return ""

    await run([Stage("a", fail, is_essential=False), Stage("b", work, ("a",))], story.append)
    assert ("failed", "a") in told(story)
    assert ("finished", "b") in told(story)


async def test_nobody_waits_for_a_stage_that_is_not_awaited(story):
    gate = asyncio.Event()

    async def slow(say):
        await gate.wait()
        return "late"

    async def work(say):
        return ""

    pending = await run([Stage("a", slow, is_awaited=False), Stage("b", work)], story.append)
    assert ("finished", "b") in told(story)
    assert len(pending) == 1
    gate.set()
    await asyncio.gather(*pending)
    assert story[-1].text == "late"


async def test_an_error_nobody_foresaw_ends_the_start_too(story):
    async def fail(say):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run([Stage("a", fail, is_essential=False)], story.append)


async def test_after_the_start_a_failure_is_told_and_tried_again_until_it_works(story):
    complete, done, pauses = asyncio.Event(), asyncio.Event(), []
    errors = iter([ZeroDivisionError("deep inside"), StartFailedError("the port burnt down")])

    async def sleep(seconds):
        pauses.append(seconds)

    async def registry(say):
        await complete.wait()
        for error in errors:
            raise error
        return "up"

    async def page(say):
        done.set()
        return ""

    stages = [
        Stage("registry", registry, is_awaited=False, is_retried=True),
        Stage("page", page, ("registry",), is_awaited=False),
        Stage("loop", page),
    ]
    pending = await run(stages, story.append, sleep=sleep)
    complete.set()
    await asyncio.gather(*pending)
    assert done.is_set()
    failures = [event.text for event in story if event.kind == "failed"]
    assert failures == ["ZeroDivisionError: deep inside", "the port burnt down"]
    assert len(pauses) == 2
    assert 0 < pauses[0] <= 0.5 < pauses[1] <= 1.0


async def test_after_the_start_what_is_not_tried_again_lets_the_others_go_on(story):
    complete = asyncio.Event()

    async def fail(say):
        await complete.wait()
        raise ZeroDivisionError

    async def work(say):
        return ""

    stages = [
        Stage("check", fail, is_essential=False, is_awaited=False),
        Stage("daemon", work, ("check",), is_awaited=False),
        Stage("loop", work),
    ]
    pending = await run(stages, story.append)
    complete.set()
    await asyncio.gather(*pending)
    assert told(story)[-3:] == [("failed", "check"), ("started", "daemon"), ("finished", "daemon")]


async def test_during_the_start_an_essential_failure_is_not_tried_again(story):
    async def fail(say):
        raise StartFailedError("no registry")

    async def wait(say):
        await asyncio.Event().wait()

    with pytest.raises(StartFailedError):
        await run([Stage("a", fail, is_awaited=False, is_retried=True), Stage("b", wait)], story.append)


async def test_what_a_stage_says_is_passed_on_with_its_time(story):
    async def work(say):
        say("half way")
        return ""

    await run([Stage("a", work)], story.append)
    assert [event.text for event in story if event.kind == "moved"] == ["half way"]
    assert all(event.seconds >= 0 for event in story)


def test_an_event_survives_the_pipe():
    event = Event("moved", "First learning", 'with "quotes" and\na new line', 1.5)
    line = event.to_line()
    assert line.count("\n") == 1
    assert Event.from_line(line) == event
