"""A PostgreSQL server of the user's own, prepared as ours is, and reached through the user's pooler where there is one.

Databases and roles are made at the direct address, for a pooler can do neither; the pooler only has to know the role
`maximus_app` with the password that is in our password file.
"""

from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from serving.settings import Settings
from serving.supervisor.failures import CannotStartError
from serving.supervisor.passfile import Entry, PasswordFile
from serving.supervisor.provision import APP, DATABASE, DatabaseUrls, provision


def provision_server(settings: Settings) -> tuple[DatabaseUrls, str]:
    """Prepare the server of MAXIMUS_DATABASE_DIRECT_URL.

    Returns:
        How each role reaches it, and how the services reach it for ordinary work.

    Raises:
        CannotStartError: It does not answer.
        ProvisionError: It answers and refuses.
    """
    direct, pooled = settings.database_direct_url, settings.database_url
    assert direct is not None
    assert pooled is not None
    passfile = settings.run_dir / "pgpass"
    try:
        urls = provision(direct, passfile)
    except psycopg.OperationalError as error:
        raise CannotStartError(
            "The server of MAXIMUS_DATABASE_URL does not let us in: "
            f"{str(error).strip().splitlines()[-1]}. Check the address, the role and its password."
        ) from error
    return urls, through_pooler(direct, pooled, urls, passfile)


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


def _place(url: str) -> tuple[str, int]:
    found = conninfo_to_dict(url)
    host = str(found.get("host") or found.get("hostaddr") or "localhost")
    return host, int(str(found.get("port") or 5432))
