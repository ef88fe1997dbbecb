"""One function over many series: whatever happens to one of them, the others are done.

Belongs here: order, progress, and what a lost worker means. Does not: how workers are run (`crew`), and what is done
with a series. It is hard because a worker that dies takes its pool with it and says not what it was at. So everything
then under way is done again, each alone: who kills a worker alone is to blame and is skipped, and when nobody is, it
was memory, and half as many work on.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from maximus_assets.models.crew import BackendUnreachableError, Crew, at_work, stream

TRIED_BEFORE_GIVING_UP: Final = 3
"""When the first so many each kill a worker alone, workers cannot live here, and no series is to blame."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """What came of one item.

    Attributes:
        name: The item.
        value: What the work returned; None where it failed.
        reason: Why it failed; empty where it did not.
    """

    name: str
    value: R | None
    reason: str = ""


@dataclass(frozen=True)
class Finished:
    """Progress: an item is done, or has failed.

    Attributes:
        name: The item.
        reason: Why it failed; empty where it did not.
        number: The how manyth to finish, from 1.
        total: How many there are.
    """

    name: str
    reason: str
    number: int
    total: int

    def __str__(self) -> str:
        return (
            f"{self.number} of {self.total}: {self.name}{f' left out, {self.reason}' if self.reason else ''}"
        )

    @property
    def is_milestone(self) -> bool:
        """Whether a log should tell: failures, every twentieth part of a large fleet, and every item of a small one."""
        twentieth = max(1, self.total // 20)
        return bool(self.reason) or self.number % twentieth == 0 or self.number == self.total


def each(
    work: Callable[[T], R],
    names: Sequence[str],
    load: Callable[[str], T],
    *,
    crew: Crew,
    on_done: Callable[[Finished], None] = lambda _: None,
) -> list[Outcome[R]]:
    """Do `work` on every item.

    Args:
        work: What to do; a function of a module, told one item. Equal items must give equal results.
        names: The items' names, each once.
        load: Gives the item of a name; cheap, and called shortly before the item is worked on, perhaps from another
            thread and more than once, so that a fleet never lies in memory a second time.
        crew: Who does it.
        on_done: Told of each item as it finishes, in any order.

    Returns:
        One outcome for each name, in the order of `names`, whoever did the work.

    Raises:
        BackendMissingError: The crew's backend is not installed.
        BackendUnreachableError: It does not answer, or no worker survives its first item.
    """
    found: dict[str, Outcome[R]] = {}

    def settle(outcome: Outcome[R]) -> None:
        found[outcome.name] = outcome
        on_done(Finished(outcome.name, outcome.reason, len(found), len(names)))

    with at_work(crew) as present:
        hands, lost_alone = present, 0
        while waiting := [name for name in names if name not in found]:
            lost, handed_out = _run(hands, work, waiting, load, settle)
            if lost is None:
                break
            suspects = [name for name in handed_out if name not in found]
            if not suspects:
                raise BackendUnreachableError(f"no worker could be started: {_why(lost)}") from lost
            before = lost_alone
            for name in suspects:
                alone, _ = _run(hands, work, [name], load, settle)
                if alone is None or name in found:
                    continue
                lost_alone += 1
                settle(Outcome(name, None, f"its worker was lost, also when it worked alone: {_why(alone)}"))
                if lost_alone == len(found) == TRIED_BEFORE_GIVING_UP:
                    raise BackendUnreachableError(
                        f"no worker survives: the first {lost_alone} items were each lost with theirs; {_why(alone)}"
                    ) from alone
            if lost_alone == before:
                hands = hands.narrower()
    return [found[name] for name in names]


def _run(
    crew: Crew,
    work: Callable[[T], R],
    names: Sequence[str],
    load: Callable[[str], T],
    settle: Callable[[Outcome[R]], None],
) -> tuple[Exception | None, list[str]]:
    """Work on until all is done or a worker is lost; why it was, and which items were handed out."""
    handed: list[str] = []

    def items() -> Iterator[tuple[str, T]]:
        for name in names:
            handed.append(name)
            yield name, load(name)

    outcomes = stream(crew, work, items())
    while True:
        try:
            name, value, reason = next(outcomes)
        except StopIteration:
            return None, handed
        except Exception as error:  # each backend has its own errors for a worker that is gone
            if crew.place == "here":
                raise
            return error, handed
        settle(Outcome(name, value, reason))


def _why(error: Exception) -> str:
    """The gist of a backend's error: exit codes where it names them, else its first line."""
    text = str(error)
    codes = re.search(r"\{([A-Z]+\(-?\d+\)[^}]*)\}", text)
    if codes:
        return codes[1]
    return f"{type(error).__name__}: {text.partition(chr(10))[0]}"
