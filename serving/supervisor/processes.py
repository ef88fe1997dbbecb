"""Which processes are ours, and how they end: identity by pid and start time, families by session.

Nothing here goes by name. A pid alone is not an identity (the kernel hands it out again), so every process is named
by its pid and the clock tick it started at, both from /proc. Every child of the supervisor leads its own session;
whatever it starts stays in that session, so the family can be found when the child itself is already gone: the
kernel does not reuse a number while it still names a session (credentials and pids, proc(5), setsid(2)).
"""

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Identity:
    """One process, for as long as the machine is up.

    Attributes:
        pid: Process number.
        started_ticks: Clock ticks between boot and its start; 0 when it was already gone when asked.
    """

    pid: int
    started_ticks: int


@dataclass(frozen=True)
class Entry:
    """What /proc says about one process."""

    identity: Identity
    parent: int
    session: int
    is_zombie: bool


def boot_id() -> str:
    """Names this boot of the machine: identities of another boot mean nothing."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def read(pid: int) -> Entry | None:
    """What /proc says about a process, or None when there is none."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the program's name in brackets and may hold anything, brackets included (proc_pid_stat(5)).
    fields = text.rpartition(")")[2].split()
    if len(fields) < 20:
        return None
    return Entry(
        identity=Identity(pid, int(fields[19])),
        parent=int(fields[1]),
        session=int(fields[3]),
        is_zombie=fields[0] in "ZX",
    )


def identify(pid: int) -> Identity:
    """The identity of a running process; with 0 ticks when it is already gone."""
    entry = read(pid)
    return entry.identity if entry else Identity(pid, 0)


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs (a zombie does not)."""
    entry = read(identity.pid)
    return entry is not None and entry.identity == identity and not entry.is_zombie


def everyone() -> list[Entry]:
    """Every process of the machine."""
    entries = (read(int(folder.name)) for folder in _PROC.iterdir() if folder.name.isdigit())
    return [entry for entry in entries if entry is not None]


def family(leader: Identity) -> list[Identity]:
    """Every living process of the session that `leader` opened, and whatever those have started; itself included.

    Some servers give each worker a session of its own (BentoML does), so both ties count: the session, which holds when
    the leader is dead, and parenthood, which holds where the session does not. Empty when the leader's number now
    belongs to somebody else: then the session ended before.
    """
    found = read(leader.pid)
    if found is not None and found.identity != leader:
        return []
    living = [entry for entry in everyone() if entry.identity.started_ticks >= leader.started_ticks]
    members = {entry.identity.pid: entry for entry in living if entry.session == leader.pid}
    while newcomers := {
        entry.identity.pid: entry
        for entry in living
        if entry.parent in members and entry.identity.pid not in members
    }:
        members |= newcomers
    return [entry.identity for entry in members.values() if not entry.is_zombie]


def adopt_orphans() -> None:
    """Have the kernel hand the grandchildren of this process to it when their parents die, so that none is lost.

    Raises:
        OSError: The kernel refused.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def send(identity: Identity, number: signal.Signals) -> None:
    """Signal exactly this process; nothing happens when it is gone.

    The handle is opened first and the identity compared afterwards, so the number cannot change hands in between.
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        if is_alive(identity):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


def end(leaders: Iterable[Identity], *, grace_seconds: float, number: signal.Signals = signal.SIGTERM) -> int:
    """Stop sessions: the leaders by a polite signal, after the grace everything left in them by SIGKILL.

    One that stands still (SIGSTOP, Ctrl-Z) would take the signal only when it goes on, so it is told to go on too, as
    systemd does (systemd.kill(5), `KillSignal`).

    Args:
        leaders: Who opened the sessions; they may be gone already.
        grace_seconds: How long the polite signal may take, >= 0.
        number: The polite signal.

    Returns:
        How many processes were found alive at the start.
    """
    leaders = list(leaders)
    families = {leader: family(leader) for leader in leaders}
    # Kept by identity: when a parent goes first, nothing ties a worker with a session of its own to it any more.
    members = list(dict.fromkeys(member for found in families.values() for member in found))
    for leader, found in families.items():
        # Without its leader nobody in the session would pass a signal on: ask each of them.
        for identity in [leader] if leader in found else found:
            send(identity, number)
            send(identity, signal.SIGCONT)
    wait_gone(members, grace_seconds)
    kill(leaders, members)
    return len(members)


def kill(leaders: Iterable[Identity], members: Iterable[Identity] = ()) -> None:
    """SIGKILL whatever lives in these sessions, until nothing does (a process may fork while it is being hunted).

    Args:
        leaders: Who opened the sessions.
        members: More processes to kill, known to belong to them.
    """
    leaders, members = list(leaders), list(members)
    for _ in range(20):
        found = {member for leader in leaders for member in family(leader)}
        found |= {member for member in members if is_alive(member)}
        if not found:
            return
        for identity in found:
            send(identity, signal.SIGKILL)
        wait_gone(list(found), 2.0)


def wait_gone(identities: list[Identity], seconds: float) -> bool:
    """Wait until none of them runs; False when some still do after `seconds`."""
    deadline = time.monotonic() + seconds
    while any(is_alive(identity) for identity in identities):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def reap_orphans(known: Iterable[int]) -> None:
    """Collect the exit codes of adopted processes that ended, so that they do not stay as zombies.

    Args:
        known: Leaders whose exit code somebody else collects.
    """
    for entry in _adopted(known):
        if entry.is_zombie:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(entry.identity.pid, os.WNOHANG)


def kill_strays(known: Iterable[int]) -> int:
    """SIGKILL adopted processes whose session belongs to no living child: their family is over.

    Args:
        known: Leaders of the sessions that may live.

    Returns:
        How many were found.
    """
    spared = set(known)
    strays = [
        entry.identity for entry in _adopted(spared) if not entry.is_zombie and entry.session not in spared
    ]
    for identity in strays:
        send(identity, signal.SIGKILL)
    return len(strays)


def _adopted(known: Iterable[int]) -> list[Entry]:
    """Our children that somebody else had started: all but the known, and what runs in our own session."""
    mine, session, spared = os.getpid(), os.getsid(0), set(known)
    return [
        entry
        for entry in everyone()
        if entry.parent == mine and entry.session != session and entry.identity.pid not in spared
    ]
