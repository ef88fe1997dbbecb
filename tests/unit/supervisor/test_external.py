import socket

import pytest
from psycopg.conninfo import conninfo_to_dict

from serving import settings
from serving.supervisor import external
from serving.supervisor.external import through_pooler
from serving.supervisor.failures import CannotStartError
from serving.supervisor.passfile import PasswordFile
from serving.supervisor.provision import APP, DatabaseUrls

DIRECT = "postgresql://admin@db.example:5432/postgres"
URLS = DatabaseUrls(app="the app's own", read="", owner="", dagster="", mlflow="")


def test_without_a_pooler_the_services_use_the_direct_address(tmp_path):
    assert through_pooler(DIRECT, DIRECT, URLS, tmp_path / "pgpass") == "the app's own"


def test_the_services_reach_the_pooler_with_the_password_of_the_server(tmp_path):
    passwords = PasswordFile(tmp_path / "pgpass")
    password = passwords.ensure("db.example", 5432, APP)
    url = through_pooler(DIRECT, "postgresql://admin@pool.example:6432/maximus", URLS, tmp_path / "pgpass")
    found = conninfo_to_dict(url)
    assert (found["host"], found["port"], found["user"], found["dbname"]) == (
        "pool.example",
        "6432",
        APP,
        "maximus",
    )
    assert password not in url
    assert passwords.password("pool.example", 6432, APP) == password
    assert passwords.password("db.example", 5432, APP) == password


def test_saying_it_again_changes_nothing(tmp_path):
    passwords = PasswordFile(tmp_path / "pgpass")
    passwords.ensure("db.example", 5432, APP)
    pooled = "postgresql://admin@[::1]:6432/maximus"
    first = through_pooler(DIRECT, pooled, URLS, tmp_path / "pgpass")
    before = passwords.entries()
    assert through_pooler(DIRECT, pooled, URLS, tmp_path / "pgpass") == first
    assert passwords.entries() == before


@pytest.mark.parametrize("path", ["", "direct"])
def test_a_server_that_does_not_answer_is_named_by_its_setting(tmp_path, path):
    (tmp_path / "run").mkdir()
    url = f"postgresql://boss:hidden@/postgres?host={tmp_path}"
    given = {"MAXIMUS_DATABASE_URL": url, "MAXIMUS_DATA_DIR": str(tmp_path)}
    if path:
        given["MAXIMUS_DATABASE_DIRECT_URL"] = url + "&port=1"
    with pytest.raises(CannotStartError) as caught:
        external.provision_server(settings.load(given, tmp_path))
    message = str(caught.value)
    assert message.startswith(f"The server of MAXIMUS_DATABASE_{'DIRECT_' if path else ''}URL cannot be used")
    assert "hidden" not in message


def test_a_redis_that_listens_is_named_without_its_password():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert external.reach_redis(f"redis://me:hidden@127.0.0.1:{port}/0") == f"127.0.0.1:{port}"


@pytest.mark.parametrize("url", ["redis://me:hidden@127.0.0.1:1", "unix:///nowhere/x.sock", "redis://h:port"])
def test_a_redis_nobody_listens_at_is_refused_without_its_password(url):
    with pytest.raises(CannotStartError, match="MAXIMUS_REDIS_URL") as caught:
        external.reach_redis(url)
    assert "hidden" not in str(caught.value)
