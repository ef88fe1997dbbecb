"""The password file that libpq reads (PostgreSQL manual, section 34.16): passwords in one place, never in a URL.

Belongs here: reading and rewriting that file, whole and at once. Does not: who gets a password.
"""

import os
import secrets
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    """One line: the password of a role at a server, for every database there.

    `host` is a name, an address or the folder of a Unix socket.
    """

    host: str
    port: int
    role: str
    password: str


class PasswordFile:
    """A file of mode 0600, replaced as a whole so that a reader never sees half of it.

    Args:
        path: Where it is; its folder must exist by the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> tuple[Entry, ...]:
        """What it holds; nothing when there is no file."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ()
        return tuple(_parse(line) for line in lines if line and not line.startswith("#"))

    def password(self, host: str, port: int, role: str) -> str | None:
        """The role's password at that server, if it is known."""
        for entry in self.entries():
            if (entry.host, entry.port, entry.role) == (host, port, role):
                return entry.password
        return None

    def ensure(self, host: str, port: int, role: str) -> str:
        """The role's password at that server; a new random one is written down before it is answered."""
        known = self.password(host, port, role)
        if known is not None:
            return known
        password = secrets.token_urlsafe(24)
        self._write((*self.entries(), Entry(host, port, role, password)))
        return password

    def remember(self, entry: Entry) -> None:
        """Write a password down that was given elsewhere, in place of what was known for that role and server."""
        kept = [known for known in self.entries() if known[:3] != entry[:3]]
        self._write((*kept, entry))

    def move_socket(self, host: str) -> None:
        """Rewrite every Unix socket entry to the socket folder `host`, for a data folder that was moved."""
        entries = self.entries()
        moved = tuple(entry._replace(host=host) if entry.host.startswith("/") else entry for entry in entries)
        if moved != entries:
            self._write(moved)

    def _write(self, entries: tuple[Entry, ...]) -> None:
        fresh = self.path.with_name(self.path.name + ".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(_line(entry) for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def _line(entry: Entry) -> str:
    fields = (entry.host, str(entry.port), "*", entry.role, entry.password)
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n"


def _parse(line: str) -> Entry:
    fields = [""]
    is_escaped = False
    for character in line:
        if is_escaped:
            fields[-1] += character
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        elif character == ":":
            fields.append("")
        else:
            fields[-1] += character
    host, port, _, role, password = fields
    return Entry(host, int(port), role, password)
