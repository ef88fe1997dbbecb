"""The schema against a real server: applied once, by one at a time, never altered behind the product's back."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from serving.knowledge.connect import refuse_pooler
from serving.knowledge.migrate import Migration, MigrationError, migrate, migrations


def test_two_migrators_at_once_apply_each_file_once(spare_postgres):
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [spare_postgres.urls.owner] * 4))
    assert sorted(applied, key=len) == [[], [], [], [file.name for file in migrations()]]


def test_an_upgrade_keeps_what_is_known_and_makes_the_new_table_ready_for_now(spare_postgres):
    owner = spare_postgres.urls.owner
    first, *rest = migrations()
    assert migrate(owner, (first,)) == [first.name]
    with psycopg.connect(owner) as connection:
        connection.execute("INSERT INTO knowledge.metrics VALUES ('a', 'b', now(), 1)")
        connection.execute(
            "INSERT INTO knowledge.forecasts VALUES ('a', 'b', now(), now() + interval '1 hour', 1, 0, 2, '1')"
        )
    assert migrate(owner) == [file.name for file in rest]
    with psycopg.connect(owner) as connection:
        kept = connection.execute(
            "SELECT (SELECT count(*) FROM knowledge.metrics), (SELECT count(*) FROM knowledge.forecasts)"
        ).fetchone()
        connection.execute(
            "INSERT INTO knowledge.judged_forecasts VALUES (now(), '1', 'champion', '{a}', '{b}', '{1}', '{0}', '{2}', '{1}')"
        )
    assert kept == (1, 1)


def test_an_applied_file_that_was_changed_is_refused(database):
    first, *rest = migrations()
    with pytest.raises(MigrationError, match=r"0001_knowledge\.sql was changed"):
        migrate(database.owner, (first._replace(checksum="0" * 64), *rest))


def test_a_database_of_a_newer_version_is_refused(database):
    with pytest.raises(MigrationError, match="newer"):
        migrate(database.owner, ())


def test_a_migration_that_fails_leaves_no_trace(database):
    broken = Migration("9999_broken.sql", "CREATE TABLE knowledge.half (); SELECT 1/0", "x")
    with pytest.raises(MigrationError, match="9999_broken"):
        migrate(database.owner, (*migrations(), broken))
    with psycopg.connect(database.owner) as connection:
        assert connection.execute("SELECT to_regclass('knowledge.half')").fetchone() == (None,)
    assert migrate(database.owner) == []


def test_a_server_without_a_pooler_is_accepted_as_direct_url(database):
    refuse_pooler(database.app)
    refuse_pooler(database.read)


def test_partitions_are_made_ahead_and_only_once(database):
    with psycopg.connect(database.app) as connection:
        made = connection.execute("SELECT knowledge.ensure_partitions('2031-02-15', '2031-01-31')").fetchone()
        again = connection.execute(
            "SELECT knowledge.ensure_partitions('2031-02-15', '2031-01-31')"
        ).fetchone()
    assert (made, again) == ((8,), (0,))


def test_a_row_at_a_months_first_instant_is_in_that_month(database):
    at = datetime(2031, 2, 1, tzinfo=UTC)
    with psycopg.connect(database.app) as connection:
        connection.execute("SET timezone = 'Asia/Tokyo'")  # bounds must not follow the caller's zone
        connection.execute("SELECT knowledge.ensure_partitions('2031-02-15', '2031-01-31')")
        connection.execute("INSERT INTO knowledge.metrics VALUES ('a', 'b', %s, 1)", (at,))
    with psycopg.connect(database.owner) as connection:
        rows = connection.execute("SELECT observed_at FROM knowledge.metrics_2031_02").fetchall()
    assert rows == [(at,)]


def test_expired_months_of_raw_data_are_dropped_and_decisions_stay(database):
    with psycopg.connect(database.app, autocommit=True) as connection:
        connection.execute("SELECT knowledge.ensure_partitions('2020-01-31', '2020-01-01')")
        dropped = connection.execute("SELECT knowledge.drop_expired()").fetchone()
    # Other tests may have left expired months of their own; no month of decisions is ever among them.
    assert {"forecasts_2020_01", "metrics_2020_01", "judged_forecasts_2020_01"} <= set(dropped[0])
    assert not any(name.startswith("decisions") for name in dropped[0])
    with psycopg.connect(database.owner) as connection:
        kept = connection.execute("SELECT to_regclass('knowledge.decisions_2020_01') IS NOT NULL").fetchone()
    assert kept == (True,)


def test_raw_data_cannot_be_dropped_early(database):
    with psycopg.connect(database.app) as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("SELECT knowledge.drop_expired(7)")


def test_a_runaway_range_of_partitions_is_refused(database):
    with psycopg.connect(database.app) as connection, pytest.raises(psycopg.errors.InvalidParameterValue):
        connection.execute("SELECT knowledge.ensure_partitions('2999-01-01')")


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("app", "DELETE FROM knowledge.decisions"),
        ("app", "UPDATE knowledge.decisions SET reason = 'other'"),
        ("app", "UPDATE knowledge.decisions SET epoch = 1"),
        ("app", "DELETE FROM knowledge.metrics"),
        ("app", "DELETE FROM knowledge.judged_forecasts"),
        ("app", "TRUNCATE knowledge.metrics"),
        ("app", "INSERT INTO knowledge.lease VALUES ('other', '', 0, now())"),
        ("app", "CREATE TABLE knowledge.mine ()"),
        ("app", "CREATE TABLE public.mine ()"),
        ("app", "CREATE TEMP TABLE mine ()"),
        ("app", "DELETE FROM knowledge.migrations"),
        (
            "read",
            "INSERT INTO knowledge.heartbeat VALUES ('a', 'b', 0, 1, now(), now(), null, null, 0, 'leading', '{}')",
        ),
        ("read", "SELECT knowledge.ensure_partitions('2031-01-01')"),
        ("read", "UPDATE knowledge.lease SET epoch = 9"),
        ("read", "SELECT * FROM knowledge.lease FOR SHARE"),
    ],
)
def test_a_role_may_do_no_more_than_its_work(database, role, statement):
    with (
        psycopg.connect(getattr(database, role)) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


@pytest.mark.parametrize("url", ["app", "read", "owner"])
def test_roles_of_the_knowledge_base_cannot_open_the_other_databases(database, url):
    elsewhere = getattr(database, url).replace("/maximus?", "/mlflow?")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(elsewhere)
