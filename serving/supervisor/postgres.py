"""The embedded PostgreSQL: a cluster of our own, made from the programs of a package, run as a plain child process.

Belongs here: making the cluster, saying how to start it, cleaning up after a start that ended badly, asking whether it
serves. Does not: spawning and respawning (the supervisor's own trade), roles and databases (`provision`). It is hard
because any process may have died at any moment: half a cluster, a stale lock file, a server whose supervisor is gone.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote, urlencode

import psutil
import psycopg

from maximus_assets.contracts.errors import Retryable
from serving.supervisor.passfile import PasswordFile
from serving.supervisor.places import PlaceError, Places, explain, find_places
from serving.supervisor.provision import READ, DatabaseUrls, provision

SUPERUSER: Final = "maximus_admin"
PORT: Final = 5432
"""Only names the socket file: the server listens on no network address."""

_SETTINGS: Final[dict[str, str]] = {
    "listen_addresses": "",
    "port": str(PORT),
    "shared_buffers": "64MB",
    "max_connections": "100",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "80MB",
    "wal_compression": "on",
    "jit": "off",
    # Parallel workers would exchange data through /dev/shm, which is tiny in many containers.
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "log_line_prefix": "%m [%p] %q%u@%d ",
}
_FAST_SHUTDOWN_SECONDS: Final = 20.0
_LEFTOVER_SECONDS: Final = 10.0


class PostgresStartError(Retryable):
    """The server did not get ready in time, or ended; its log says why."""


@dataclass(frozen=True)
class ChildProcess:
    """All there is to know to start a process.

    Attributes:
        name: What it is called in logs and the run file.
        argv: Program and arguments.
        environment: Its whole environment.
        user: User id to run as, None for our own.
        group: Group id to run as, None for our own.
        folder: Working folder.
    """

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    user: int | None
    group: int | None
    folder: Path


class EmbeddedPostgres:
    """A private PostgreSQL in the data folder, reached through a Unix socket only.

    Call `prepare`, start `child()`, then `wait_ready`, then `provision`. All may be repeated.

    Args:
        data_dir: The data folder.

    Raises:
        PlaceError: The data folder cannot be used; says what to do.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.absolute()
        self._places: Places | None = None

    @property
    def places(self) -> Places:
        """Where its files are."""
        if self._places is None:
            self._places = find_places(self._data_dir)
        return self._places

    @property
    def passfile(self) -> Path:
        """The password file of its roles."""
        return self._data_dir / "run" / "pgpass"

    @property
    def admin_url(self) -> str:
        """How its superuser reaches it; for provisioning only."""
        query = {"host": str(self.places.sockets), "port": str(PORT), "passfile": str(self.passfile)}
        return f"postgresql://{SUPERUSER}@/postgres?{urlencode(query, quote_via=quote)}"

    def prepare(self) -> None:
        """Make the cluster if there is none, and stop what a dead supervisor left running on it.

        Raises:
            PlaceError: The folder cannot be written, the disk is full, the path is too long.
            PostgresStartError: A server that was left running does not stop.
        """
        places = self.places
        try:
            self.passfile.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            passwords = PasswordFile(self.passfile)
            passwords.move_socket(str(places.sockets))
            self._stop_leftovers()
            if not (places.cluster / "PG_VERSION").exists():
                self._make_cluster(passwords.ensure(str(places.sockets), PORT, SUPERUSER))
        except OSError as error:
            raise explain(error, self._data_dir) from error
        if passwords.password(str(places.sockets), PORT, SUPERUSER) is None:
            raise PlaceError(
                f"the password file {self.passfile} is gone, so nobody can open the database in {places.home}: "
                "put the file back, or move that folder away to start with an empty database"
            )

    def child(self) -> ChildProcess:
        """How to start the server: in the foreground, logging to its standard error."""
        places = self.places
        options = {
            **_SETTINGS,
            "unix_socket_directories": str(places.sockets),
            "unix_socket_permissions": "0700",
        }
        identity = places.identity()
        argv = [str(Path(places.programs) / "postgres"), "-D", str(places.cluster)]
        for name, value in options.items():
            argv += ["-c", f"{name}={value}"]
        return ChildProcess(
            name="postgres",
            argv=tuple(argv),
            environment=_environment(places),
            user=identity[0] if identity else None,
            group=identity[1] if identity else None,
            folder=places.cluster,
        )

    def popen(self, log: IO[bytes] | int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Start the server for somebody who does not supervise it, and must stop it (SIGINT) himself.

        Args:
            log: Where its output goes.
        """
        child = self.child()
        return subprocess.Popen(
            child.argv,
            env=dict(child.environment),
            cwd="/",
            user=child.user,
            group=child.group,
            extra_groups=[] if child.user is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def is_ready(self) -> bool:
        """Whether it answers a query now."""
        try:
            with psycopg.connect(self.admin_url, connect_timeout=2, autocommit=True) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def wait_ready(self, timeout_seconds: float, is_running: Callable[[], bool] | None = None) -> None:
        """Wait until it answers.

        Args:
            timeout_seconds: How long at most.
            is_running: Asked between tries; False ends the wait at once.

        Raises:
            PostgresStartError: It ended, or did not answer in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            if is_running is not None and not is_running():
                raise PostgresStartError(
                    f"PostgreSQL in {self.places.cluster} ended while starting; see its log"
                )
            if time.monotonic() > deadline:
                raise PostgresStartError(
                    f"PostgreSQL in {self.places.cluster} did not answer within {timeout_seconds:g} s; see its log"
                )
            time.sleep(0.05)

    def provision(self) -> DatabaseUrls:
        """Databases, roles and passwords; harmless when they are there. The server must be ready.

        On this server, which holds nothing but the product's own data, the reading role may also see every session, to
        tell how many wait or hold a transaction open. On somebody else's it may not, unless they let it.
        """
        urls = provision(self.admin_url, self.passfile)
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(f"GRANT pg_read_all_stats TO {READ} WITH INHERIT TRUE")
        return urls

    def _make_cluster(self, password: str) -> None:
        """Run initdb aside and move the result into place, so that half a cluster is never taken for a whole one."""
        places = self.places
        identity = places.identity()
        fresh, secret = Path(places.home) / "data.new", Path(places.home) / "secret"
        shutil.rmtree(fresh, ignore_errors=True)
        if places.cluster.exists():
            raise PlaceError(f"{places.cluster} is not empty and no PostgreSQL cluster: move it away")
        secret.unlink(missing_ok=True)
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password)
        try:
            if identity is not None:
                os.chown(secret, *identity)
            done = subprocess.run(
                [
                    str(Path(places.programs) / "initdb"),
                    *("-D", str(fresh), "-U", SUPERUSER, f"--pwfile={secret}", "--auth=scram-sha-256"),
                    *(
                        "--encoding=UTF8",
                        "--locale-provider=builtin",
                        "--builtin-locale=C.UTF-8",
                        "--locale=C",
                    ),
                    *("--data-checksums", "--no-instructions"),
                ],
                env=_environment(places),
                cwd="/",
                user=identity[0] if identity else None,
                group=identity[1] if identity else None,
                extra_groups=[] if identity else None,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            secret.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            if "No space left" in done.stderr:
                raise PlaceError(
                    f"the disk of {places.home} is full: free some space, or set MAXIMUS_DATA_DIR to another disk"
                )
            raise PlaceError(f"PostgreSQL could not make a cluster in {places.home}: {done.stderr.strip()}")
        fresh.rename(places.cluster)

    def _stop_leftovers(self) -> None:
        """Stop a server that still runs on this cluster, and wait for backends whose server was killed.

        They are known by their working folder, which PostgreSQL makes the cluster's own; never by name.
        """
        postmaster = running_postmaster(self.places.cluster)
        if postmaster is not None:
            _stop(postmaster)
        deadline = time.monotonic() + _LEFTOVER_SECONDS
        while left := _processes_in(self.places.cluster):
            if time.monotonic() > deadline:
                pids = ", ".join(str(process.pid) for process in left)
                raise PostgresStartError(f"processes {pids} still use {self.places.cluster}: stop them")
            time.sleep(0.05)


def running_postmaster(cluster: Path) -> psutil.Process | None:
    """The server that runs on this cluster, if one does.

    `postmaster.pid` names it (pid, folder, start time: PostgreSQL manual, section 66.1); the start time is compared,
    for after a kill -9 or a reboot the pid may belong to somebody else.
    """
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        pid, started_at = int(lines[0]), int(lines[2])
        process = psutil.Process(pid)
        # The file's time is taken by the server a moment after its process began.
        if not -2.0 <= started_at - process.create_time() <= 60.0:
            return None
        if process.status() == psutil.STATUS_ZOMBIE or Path(process.cwd()) != cluster:
            return None
    except (FileNotFoundError, ValueError, IndexError, psutil.Error):
        return None
    return process


def _stop(process: psutil.Process) -> None:
    """Fast shutdown (SIGINT), then immediate (SIGQUIT), which costs a recovery but loses nothing."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        try:
            process.wait(_FAST_SHUTDOWN_SECONDS)
        except psutil.TimeoutExpired:
            continue
        return


def _processes_in(cluster: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == str(cluster) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def _environment(places: Places) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "HOME": places.home, "LC_ALL": "C", "TZ": "UTC"}
