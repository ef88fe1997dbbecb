from psycopg.conninfo import conninfo_to_dict

from serving.supervisor.external import through_pooler
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
