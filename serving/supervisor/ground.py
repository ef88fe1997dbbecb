"""What must hold before anything is started: a folder that can be written, room on the disk, free ports.

Each answer is one sentence that names what to change, because these are the errors a first-time user meets. They are
asked all at once and before the first process, so that nobody waits a minute for a port that was taken all along.
"""

import contextlib
import errno
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from serving.supervisor.failures import CannotStartError

FOLDERS: Final = ("sock", "valkey", "frames", "dagster", "run", "log", "spool")
NEEDED_BYTES: Final = 600 * 1024**2
"""An empty PostgreSQL with three databases, four weeks of frames and the logs of a day."""

LONGEST_SOCKET_PATH: Final = 100
"""In bytes. The kernel's own limit is 107 (unix(7)); PostgreSQL appends a lock file's ending to it."""

_SOCKET_NAMES: Final = (".s.PGSQL.65535", "valkey.sock")


def lay_out(data_dir: Path) -> None:
    """Create the data folder with what is in it, closed to other users, and prove that it can be used.

    Raises:
        CannotStartError: It cannot be created or written, the disk is full, or its path is too long for a socket.
    """
    for name in _SOCKET_NAMES:
        length = len(os.fsencode(data_dir / "sock" / name))
        if length > LONGEST_SOCKET_PATH:
            raise CannotStartError(
                f"The path of the data folder is {length - LONGEST_SOCKET_PATH} bytes too long for the sockets in it "
                f"({data_dir}): set MAXIMUS_DATA_DIR to a shorter one."
            )
    with _explained(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            (data_dir / name).mkdir(exist_ok=True)
        (data_dir / "run").chmod(0o700)
        with tempfile.TemporaryFile(dir=data_dir / "run") as probe:
            probe.write(b"\0" * 65536)
            probe.flush()
            os.fsync(probe.fileno())
        free = shutil.disk_usage(data_dir).free
    if free < NEEDED_BYTES:
        raise CannotStartError(
            f"The disk under {data_dir} has {free // 1024**2} MB left and {NEEDED_BYTES // 1024**2} MB are needed: "
            "free some, or set MAXIMUS_DATA_DIR to a folder on another disk."
        )


@contextlib.contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CannotStartError(
                f"The disk under {data_dir} is full: free some space, or set MAXIMUS_DATA_DIR to a folder on another "
                "disk."
            ) from error
        if error.errno in (errno.EEXIST, errno.ENOTDIR):
            raise CannotStartError(
                f"The data folder {data_dir} cannot be made, for a file is in its place or on the way to it: set "
                "MAXIMUS_DATA_DIR to a folder."
            ) from error
        raise CannotStartError(
            f"The data folder {data_dir} cannot be written ({error.strerror}): change its owner, or set "
            "MAXIMUS_DATA_DIR to a folder of yours."
        ) from error


def check_ports(host: str, ports: Mapping[str, int], *, patience_seconds: float = 3.0) -> None:
    """Refuse to start while somebody else listens where we want to.

    Args:
        host: The address to listen on.
        ports: Variable that changes the port, to the port.
        patience_seconds: How long a port may stay taken: the kernel needs a moment to take back those of a process
            that was just ended, such as what a killed supervisor had left.

    Raises:
        CannotStartError: One is taken, or two of ours are the same.
    """
    for variable, port in ports.items():
        twin = next((other for other, its in ports.items() if its == port and other != variable), None)
        if twin is not None:
            raise CannotStartError(f"{variable} and {twin} are both {port}: give them different ports.")
        deadline = time.monotonic() + patience_seconds
        while not _can_bind(host, port, variable):
            if time.monotonic() >= deadline:
                raise CannotStartError(
                    f"Port {port} is taken{_holder(port)}: stop that process, or set {variable} to another port."
                )
            time.sleep(0.05)


def _can_bind(host: str, port: int, variable: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection of yesterday that lingers in the kernel is no reason to refuse.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise CannotStartError(
                f"Port {port} is reserved for root: set {variable} to one above 1024."
            ) from error
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    """Who listens there, as far as this user may know."""
    import psutil  # slow to import, and only an error needs it

    try:
        for found in psutil.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN and found.laddr and found.laddr.port == port and found.pid:
                return f" by {psutil.Process(found.pid).name()} (pid {found.pid})"
    except psutil.Error:
        return ""
    return ""
