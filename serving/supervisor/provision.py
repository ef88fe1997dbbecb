"""Databases and roles on a PostgreSQL server: ours, or one the operator gave.

Belongs here: who may connect to what, and each role's password. Does not: tables and what may be done to them (that is
in `knowledge/migrations`). It is hard because the same steps must do on our own server as superuser, and on somebody
else's as a role that may only create databases and roles, on every start, whatever was there before.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from maximus_assets.contracts.errors import Permanent, Retryable
from serving.supervisor.passfile import PasswordFile

DATABASE: Final = "maximus"
OWNER: Final = "maximus_owner"
APP: Final = "maximus_app"
READ: Final = "maximus_read"
DAGSTER: Final = "dagster"
MLFLOW: Final = "mlflow"

_DATABASES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    DATABASE: (OWNER, (APP, READ)),
    DAGSTER: (DAGSTER, ()),
    MLFLOW: (MLFLOW, ()),
}
"""Database -> its owner, and the other roles that may connect."""

_OLDEST: Final = 140000
_OPTIONS_KEPT: Final = ("sslmode", "sslrootcert", "target_session_attrs", "connect_timeout")


class ProvisionError(Permanent):
    """The server refuses what the product needs; the message says which right is missing."""


class ServerUnreachableError(Retryable):
    """The server does not answer, or does not let us in; the message has its own words."""


@dataclass(frozen=True)
class DatabaseUrls:
    """How each role reaches its database. No URL carries a password: each names the password file.

    Attributes:
        app: Writes the knowledge base.
        read: Reads it.
        owner: Owns it; for migrations only.
        dagster: SQLAlchemy URL of Dagster's storage (psycopg2, which dagster-postgres needs).
        mlflow: SQLAlchemy URL of MLflow's backend store.
        has_vector: Whether the pgvector extension is there.
    """

    app: str
    read: str
    owner: str
    dagster: str
    mlflow: str
    has_vector: bool = field(default=False, compare=False)


def provision(admin_url: str, passfile: Path) -> DatabaseUrls:
    """Make databases and roles as they should be; harmless when they already are.

    Args:
        admin_url: libpq URL of a superuser, or of a role with CREATEDB and CREATEROLE; not through a pooler.
        passfile: Where the passwords of the roles are kept (mode 0600).

    Raises:
        ProvisionError: The server is too old or the role may not do something; says what.
        ServerUnreachableError: It does not answer, or refuses the password.
    """
    parameters = conninfo_to_dict(admin_url)
    host = str(parameters.get("host") or parameters.get("hostaddr") or "localhost")
    port = int(str(parameters.get("port") or 5432))
    passwords = PasswordFile(passfile)
    try:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            _require_rights(connection)
            for role in (OWNER, APP, READ, DAGSTER, MLFLOW):
                _ensure_role(connection, role, passwords.ensure(host, port, role))
            for name, (owner, guests) in _DATABASES.items():
                _ensure_database(connection, name, owner, guests)
        has_vector = False
        for name, (owner, guests) in _DATABASES.items():
            with psycopg.connect(make_conninfo(admin_url, dbname=name), autocommit=True) as connection:
                _close_public_schema(connection, owner)
                if name == DATABASE:
                    _ensure_schema(connection, owner, guests)
                    has_vector = _ensure_vector(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        message = f"PostgreSQL at {host} refuses to be prepared ({error.diag.message_primary}): use a superuser, or a role that created the databases and roles itself"
        raise ProvisionError(message) from error
    except psycopg.OperationalError as error:
        reason = " ".join(str(error).split())
        message = f"PostgreSQL at {host}, port {port}, cannot be prepared: {reason}"
        raise ServerUnreachableError(message) from error
    options = {key: str(parameters[key]) for key in _OPTIONS_KEPT if parameters.get(key)}

    def url(who: str, scheme: str = "postgresql") -> str:
        return _url(who, scheme=scheme, host=host, port=port, options={**options, "passfile": str(passfile)})

    return DatabaseUrls(
        app=url(f"{APP}/{DATABASE}"),
        read=url(f"{READ}/{DATABASE}"),
        owner=url(f"{OWNER}/{DATABASE}"),
        dagster=url(f"{DAGSTER}/{DAGSTER}", "postgresql+psycopg2"),
        mlflow=url(f"{MLFLOW}/{MLFLOW}", "postgresql+psycopg2"),
        has_vector=has_vector,
    )


def _url(who: str, *, scheme: str, host: str, port: int, options: dict[str, str]) -> str:
    role, database = who.split("/")
    if host.startswith("/") or "," in host:
        query = urlencode({"host": host, "port": str(port), **options}, quote_via=quote)
        return f"{scheme}://{role}@/{database}?{query}"
    where = f"[{host}]" if ":" in host else host
    return f"{scheme}://{role}@{where}:{port}/{database}?{urlencode(options, quote_via=quote)}"


def _require_rights(connection: psycopg.Connection) -> None:
    version = connection.info.server_version
    if version < _OLDEST:
        raise ProvisionError(f"PostgreSQL {version // 10000} is too old: version 14 or later is needed")
    row = connection.execute(
        "SELECT rolname, rolsuper, rolcreatedb, rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone()
    assert row is not None
    role, is_super, may_create_databases, may_create_roles = row
    missing = [
        right
        for right, is_there in (("CREATEDB", may_create_databases), ("CREATEROLE", may_create_roles))
        if not (is_super or is_there)
    ]
    if missing:
        raise ProvisionError(
            f"role {role} of MAXIMUS_DATABASE_URL lacks {' and '.join(missing)}: "
            f"run ALTER ROLE {role} {' '.join(missing)} as a superuser"
        )


def _ensure_role(connection: psycopg.Connection, role: str, password: str) -> None:
    # The server hashes it on this side of the wire, so that no statement log ever holds the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    name = sql.Identifier(role)
    exists = connection.execute("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = %s", (role,)).fetchone()
    if exists is None:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT").format(name)
        )
    connection.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, sql.Literal(verifier)))


def _ensure_database(connection: psycopg.Connection, name: str, owner: str, guests: tuple[str, ...]) -> None:
    exists = connection.execute("SELECT 1 FROM pg_catalog.pg_database WHERE datname = %s", (name,)).fetchone()
    database, owner_name = sql.Identifier(name), sql.Identifier(owner)
    if not _is_superuser(connection):
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner_name))
    if exists is None:
        # template0: whatever somebody left in template1 stays out.
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                database, owner_name
            )
        )
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for role in (owner, *guests):
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(role))
        )


def _close_public_schema(connection: psycopg.Connection, owner: str) -> None:
    connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(sql.Identifier(owner)))


def _ensure_schema(connection: psycopg.Connection, owner: str, guests: tuple[str, ...]) -> None:
    owner_name = sql.Identifier(owner)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS knowledge AUTHORIZATION {}").format(owner_name))
    for role in guests:
        connection.execute(sql.SQL("GRANT USAGE ON SCHEMA knowledge TO {}").format(sql.Identifier(role)))


def _ensure_vector(connection: psycopg.Connection) -> bool:
    """Similar decisions are found by pgvector where it can be had; nothing else depends on it."""
    offered = connection.execute(
        "SELECT installed_version IS NOT NULL FROM pg_catalog.pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if offered is None:
        return False
    try:
        # Its types are looked for in public, which our roles may use but not add to.
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
    except psycopg.errors.InsufficientPrivilege:
        return False
    connection.execute(
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(sql.Identifier(APP), sql.Identifier(READ))
    )
    return True


def _is_superuser(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user"
    ).fetchone()
    return row is not None and bool(row[0])
