"""Bringing the schema up to date: numbered SQL files, each applied once, in order, in one transaction.

Belongs here: the ledger of applied files. Does not: what they say. It is hard because two processes may start at once,
and because a file that was changed after it was applied means that two machines no longer have the same schema: that is
refused, not repaired.
"""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Final, NamedTuple

import psycopg

from maximus_assets.contracts.errors import Permanent
from serving.knowledge.connect import connect, refuse_pooler, unavailable_is_retryable

_FILE: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_LOCK: Final = 7016996765293437282
"""Key of the advisory lock; any number that nobody else uses."""
PARTITION_MONTHS_AHEAD: Final = 3


class MigrationError(Permanent):
    """The schema in the database and the files of this version do not fit together."""


class Migration(NamedTuple):
    """One numbered file and the SHA-256 of its text."""

    name: str
    text: str
    checksum: str


def migrations() -> tuple[Migration, ...]:
    """The files of this version, in order.

    Raises:
        MigrationError: A number is missing or used twice.
    """
    found = sorted(
        (file.name, file.read_text(encoding="utf-8"))
        for file in (resources.files("serving.knowledge") / "migrations").iterdir()
        if _FILE.match(file.name)
    )
    for number, (name, _) in enumerate(found, start=1):
        if int(name[:4]) != number:
            raise MigrationError(f"migration {number:04d} is missing or doubled: found {name} in its place")
    return tuple(Migration(name, text, hashlib.sha256(text.encode()).hexdigest()) for name, text in found)


def migrate(owner_url: str, files: tuple[Migration, ...] | None = None) -> list[str]:
    """Apply what has not been applied, and make partitions ahead.

    Args:
        owner_url: libpq URL of `maximus_owner`, not through a pooler.
        files: Instead of this version's own.

    Returns:
        Names of the files applied now.

    Raises:
        MigrationError: An applied file has changed or is missing here.
        KnowledgeUnavailableError: The server cannot be reached.
        PoolerRefusedError: A pooler answered.
    """
    refuse_pooler(owner_url)
    files = migrations() if files is None else files
    with connect(owner_url, name="migrate") as connection, unavailable_is_retryable():
        # Held by the session: a second migrator waits here until the first is done, then finds nothing to do.
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS knowledge.migrations ("
            " name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = connection.execute("SELECT name, checksum FROM knowledge.migrations").fetchall()
        known: dict[str, str] = dict(rows)
        _require_same(known, files)
        applied = [file.name for file in files if file.name not in known]
        for file in files:
            if file.name not in known:
                _apply(connection, file)
        connection.execute("SELECT knowledge.ensure_partitions(%s)", (partitions_until(datetime.now(UTC)),))
    return applied


def partitions_until(now: datetime) -> str:
    """The day up to which partitions are kept ready, ISO 8601."""
    return (now + timedelta(days=31 * PARTITION_MONTHS_AHEAD)).date().isoformat()


def _require_same(known: dict[str, str], files: tuple[Migration, ...]) -> None:
    ours = {file.name: file.checksum for file in files}
    for name, checksum in sorted(known.items()):
        if name not in ours:
            raise MigrationError(
                f"the database has migration {name}, which this version does not: it was used by a newer one"
            )
        if ours[name] != checksum:
            raise MigrationError(
                f"migration {name} was changed after it was applied: restore the file, and put the change into a new one"
            )


def _apply(connection: psycopg.Connection, file: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(file.text.encode())
            connection.execute(
                "INSERT INTO knowledge.migrations (name, checksum) VALUES (%s, %s)",
                (file.name, file.checksum),
            )
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"migration {file.name} failed and left no trace: {error}") from error
