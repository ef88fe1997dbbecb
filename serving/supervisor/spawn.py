"""The last step before a child becomes what it is: bind its life to the supervisor's, then exec.

Run by path with `python -I -S`, so it starts in milliseconds and imports nothing of ours. It is a program of its own
because the alternative, code between fork and exec in a process with threads, can deadlock. Two traps it avoids: the
kernel forgets the death signal when a process changes its user, so privileges are dropped first; and a parent that
died before the signal was set would never be noticed, so the parent is compared afterwards.

Usage: spawn.py PARENT_PID SIGNAL NICENESS UID:GID|- COMMAND [ARGUMENT...]
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_PDEATHSIG_FAILED = 70
PARENT_IS_GONE = 71
CANNOT_RUN = 127  # as a shell would say


def main(arguments: list[str]) -> int:
    """Become the command; only a failure returns, with an exit code of its own."""
    parent, signal_number, niceness, user = arguments[:4]
    os.nice(int(niceness))
    if user != "-":
        uid, gid = (int(part) for part in user.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        return PR_SET_PDEATHSIG_FAILED
    if os.getppid() != int(parent):
        return PARENT_IS_GONE
    try:
        os.execvp(arguments[4], arguments[4:])  # noqa: S606  # replacing this process is the purpose; no shell
    except OSError as error:
        sys.stderr.write(f"{arguments[4]} cannot be run: {error.strerror}\n")
        return CANNOT_RUN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
