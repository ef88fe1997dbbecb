"""Keeps the children's logs from filling the disk.

A child writes to its file directly, so that it never waits for us and its last words survive us. So a full log is
copied aside and emptied in place (what is written in the moment between is lost; logs are no records), which works
because every child appends.
"""

import shutil
from pathlib import Path
from typing import Final

LARGEST_BYTES: Final = 10 * 1024**2
KEPT: Final = 3


def rotate(folder: Path, *, largest_bytes: int = LARGEST_BYTES, kept: int = KEPT) -> None:
    """Move every log that has grown too large aside, and drop the oldest of its kind.

    Args:
        folder: Where the logs are.
        largest_bytes: A log beyond this is moved.
        kept: How many old ones stay beside it: `name.log.1` is the youngest.
    """
    for log in folder.glob("*.log"):
        if log.stat().st_size <= largest_bytes:
            continue
        for number in range(kept - 1, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number + 1}"))
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        with log.open("r+b") as file:
            file.truncate(0)
