"""What is running, written down where the next command finds it: one JSON file, replaced whole, and one lock.

The lock says whether a supervisor lives (the kernel drops it with the process, however that ends); the file says which
processes are its own. The file is written before a child may do anything, so that after a kill -9 of the supervisor
the next one knows every leader it has to stop.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from serving.supervisor.processes import Identity, boot_id

RUN_FILE: Final = "supervisor.json"
LOCK_FILE: Final = "supervisor.lock"

ChildState = Literal["waiting", "starting", "ready", "unwell", "restarting", "stopped"]


@dataclass(frozen=True)
class ChildRecord:
    """One child as of now.

    Attributes:
        name: Its name in the product.
        state: Where it is in its life.
        identity: Its process, None before the first start.
        address: Where to find it, empty when it has no public place.
        since: Unix time at which the state began.
        restarts: How often it had to be started again.
        detail: Why it is not ready, in words.
    """

    name: str
    state: ChildState
    identity: Identity | None
    address: str
    since: float
    restarts: int = 0
    detail: str = ""


@dataclass(frozen=True)
class RunRecord:
    """One supervisor and its children.

    Attributes:
        boot: The boot of the machine the identities belong to.
        supervisor: Its process.
        started_at: Unix time.
        is_ready: Whether everything has been up once.
        children: In the order of their start.
    """

    boot: str
    supervisor: Identity
    started_at: float
    is_ready: bool = False
    children: tuple[ChildRecord, ...] = field(default=())

    def leaders(self) -> list[Identity]:
        """The sessions of its children, in the order to stop them: last started first.

        Empty when the machine was started anew since: then all of them are gone.
        """
        if self.boot != boot_id():
            return []
        return [child.identity for child in reversed(self.children) if child.identity is not None]


def write(folder: Path, record: RunRecord) -> None:
    """Replace the run file; a reader sees the old one or the new one, never half of one."""
    target = folder / RUN_FILE
    draft = target.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(record), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(target)


def read(folder: Path) -> RunRecord | None:
    """The last run file, or None when there is none or it is not one of ours."""
    try:
        return _record(json.loads((folder / RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _record(found: dict[str, Any]) -> RunRecord:
    children = tuple(
        ChildRecord(**{**child, "identity": Identity(**child["identity"]) if child["identity"] else None})
        for child in found["children"]
    )
    return RunRecord(**{**found, "supervisor": Identity(**found["supervisor"]), "children": children})


def remove(folder: Path) -> None:
    """Forget the last run: nothing of it is left."""
    (folder / RUN_FILE).unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock that only one supervisor can have; yields whether it was free.

    The lock lives on the open file, which no child inherits, so it never outlives this process.
    """
    handle = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def sign(folder: Path, holder: Identity) -> None:
    """Write into the lock who holds it, so that `down` finds him whatever became of the run file; the lock must be ours."""
    (folder / LOCK_FILE).write_text(json.dumps(asdict(holder)), encoding="utf-8")


def holder(folder: Path) -> Identity | None:
    """Who signed the lock last; None when nobody did."""
    try:
        return Identity(**json.loads((folder / LOCK_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def is_held(folder: Path) -> bool:
    """Whether a supervisor lives on this data folder."""
    if not (folder / LOCK_FILE).exists():
        return False
    with locked(folder) as was_free:
        return not was_free
