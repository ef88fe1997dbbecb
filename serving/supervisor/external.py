"""A PostgreSQL server of the user's own, prepared as ours is, and reached through the user's pooler where there is one.

Databases and roles are made at the direct address, for a pooler can do neither; the pooler only has to know the role
`maximus_app` with the password that is in our password file.
"""

import socket
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from serving.settings import Settings
from serving.supervisor.failures import CannotStartError
from serving.supervisor.passfile import Entry, PasswordFile
from serving.supervisor.provision import APP, DATABASE, DatabaseUrls, ServerUnreachableError, provision

_REACH_SECONDS: Final = 5.0


def provision_server(settings: Settings) -> tuple[DatabaseUrls, str]:
    """Prepare the server of MAXIMUS_DATABASE_DIRECT_URL.

    Returns:
        How each role reaches it, and how the services reach it for ordinary work.

    Raises:
        CannotStartError: It, or the pooler before it, does not answer, or does not let us in.
        ProvisionError: It answers and refuses.
    """
    direct, pooled = settings.database_direct_url, settings.database_url
    assert direct is not None
    assert pooled is not None
    passfile = settings.run_dir / "pgpass"
    try:
        urls = provision(direct, passfile)
    except ServerUnreachableError as error:
        raise CannotStartError(
            f"The server of {_variable(settings)} cannot be used: {error}. Check the address, the role and its "
            "password."
        ) from error
    pooled_url = through_pooler(direct, pooled, urls, passfile)
    if pooled_url != urls.app:
        _reach_pooler(pooled_url, passfile)
    return urls, pooled_url


def _reach_pooler(url: str, passfile: Path) -> None:
    """See that the pooler lets the services in, so that a start does not wait for a loop that never could.

    Raises:
        CannotStartError: It does not answer, or does not know the role or the database.
    """
    try:
        with psycopg.connect(url, connect_timeout=int(_REACH_SECONDS), prepare_threshold=None) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        raise CannotStartError(
            f"The pooler of MAXIMUS_DATABASE_URL cannot be used: {' '.join(str(error).split()).rstrip('.?')}. It has to serve the "
            f"database {DATABASE} to the role {APP}, whose password is in {passfile}."
        ) from error


def through_pooler(direct: str, pooled: str, urls: DatabaseUrls, passfile: Path) -> str:
    """The address of the services' own role at the pooler; the direct one when both are the same server.

    Args:
        direct: What the user named as the direct address.
        pooled: What the user named as the ordinary address.
        urls: What was provisioned at the direct one.
        passfile: Where the role's password is, and will be for the pooler too.
    """
    there, here = _place(direct), _place(pooled)
    if there == here:
        return urls.app
    passwords = PasswordFile(passfile)
    password = passwords.password(*there, APP)
    assert password is not None, "it was provisioned a moment ago"
    host, port = here
    passwords.remember(Entry(host, port, APP, password))
    query = {"passfile": str(passfile)}
    if host.startswith("/"):
        query |= {"host": host, "port": str(port)}
        return f"postgresql://{APP}@/{DATABASE}?{urlencode(query, quote_via=quote)}"
    where = f"[{host}]" if ":" in host else host
    return f"postgresql://{APP}@{where}:{port}/{DATABASE}?{urlencode(query, quote_via=quote)}"


def reach_redis(url: str) -> str:
    """See that somebody listens at MAXIMUS_REDIS_URL.

    Args:
        url: `redis://`, `rediss://` or `unix://`.

    Returns:
        The place, without name or password.

    Raises:
        CannotStartError: Nobody does.
    """
    parts = urlsplit(url)
    try:
        if parts.scheme == "unix":
            where = parts.path
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_REACH_SECONDS)
                connection.connect(parts.path)
        else:
            host, port = parts.hostname or "localhost", parts.port or 6379
            where = f"{host}:{port}"
            socket.create_connection((host, port), _REACH_SECONDS).close()
    except (OSError, ValueError) as error:
        raise CannotStartError(
            f"Nothing answers at the address of MAXIMUS_REDIS_URL ({error}): start that server, or unset it to use "
            "the embedded one."
        ) from error
    return where


def _variable(settings: Settings) -> str:
    """The setting that names the server the databases are made on."""
    is_apart = settings.database_direct_url != settings.database_url
    return "MAXIMUS_DATABASE_DIRECT_URL" if is_apart else "MAXIMUS_DATABASE_URL"


def _place(url: str) -> tuple[str, int]:
    found = conninfo_to_dict(url)
    host = str(found.get("host") or found.get("hostaddr") or "localhost")
    return host, int(str(found.get("port") or 5432))
