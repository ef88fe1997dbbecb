"""Files of lines that survive a kill at any instant: the few operations on which the spool stands.

Belongs here: appending, reading and mending one file. Does not: what a line means. A line counts once it is on disk
with its newline; a last line without one was cut off and never counted.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from maximus_assets.contracts.errors import Retryable


class JournalWriteError(Retryable):
    """The disk takes nothing now; what was to be kept was not."""


def append(file: Path, lines: Sequence[str]) -> None:
    """Write whole lines and wait until the disk has them; on failure cut off what did get there.

    Raises:
        JournalWriteError: They are not on disk.
    """
    if not lines:
        return
    try:
        is_new = not file.exists()
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            start = os.fstat(descriptor).st_size
            try:
                _write_all(descriptor, "".join(f"{line}\n" for line in lines).encode())
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, start)
                raise
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(file.parent)
    except OSError as error:
        raise refused(file, error) from error


def read(file: Path) -> Iterator[bytes]:
    """The whole lines of a file, without their newlines; none when there is no file."""
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        return
    with stream:
        for line in stream:
            if line.endswith(b"\n") and line.strip():
                yield line[:-1]


def count(file: Path) -> int:
    """How many whole lines a file has."""
    return sum(1 for _ in read(file))


def torn_end(file: Path) -> bytes:
    """The last line when it was cut off, otherwise nothing."""
    if not file.exists():
        return b""
    with file.open("rb") as stream:
        stream.seek(_end_of_lines(stream))
        return stream.read()


def cut_torn_end(file: Path) -> None:
    """Remove a last line that was cut off."""
    with file.open("r+b") as stream:
        stream.truncate(_end_of_lines(stream))


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the folder's entries: a new or renamed file is not safe before."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refused(path: Path, error: OSError) -> JournalWriteError:
    """A failed file operation in one sentence that says what to do."""
    return JournalWriteError(
        f"{path} cannot be written ({error.strerror}): free some space or make it writable"
    )


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _end_of_lines(stream: IO[bytes]) -> int:
    """Offset right after the last newline, 0 when there is none."""
    position = stream.seek(0, os.SEEK_END)
    while position > 0:
        start = max(0, position - 65536)
        stream.seek(start)
        found = stream.read(position - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
