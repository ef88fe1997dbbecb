"""Behind a real pgBouncer: what needs a session is refused, what does not works."""

import asyncio
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.connect import PoolerRefusedError, refuse_pooler
from serving.knowledge.migrate import migrate
from serving.knowledge.queries import KnowledgeQueries
from serving.knowledge.store import KnowledgeStore
from serving.loop.lease import Lease
from serving.supervisor.passfile import PasswordFile

pytestmark = pytest.mark.pgbouncer


@pytest.fixture(scope="module", params=["transaction", "session"])
def pooled_url(postgres, request):
    places = postgres.embedded.places
    password = PasswordFile(postgres.embedded.passfile).password(str(places.sockets), 5432, "maximus_app")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(places.home) / f"bouncer-{request.param}"
    folder.mkdir()
    (folder / "ini").write_text(
        "[databases]\n"
        f"maximus = host={places.sockets} dbname=maximus user=maximus_app password={password}\n"
        "[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = {request.param}\ndefault_pool_size = {2 if request.param == 'transaction' else 8}\nignore_startup_parameters = extra_float_digits\n"
    )
    identity = places.identity()
    if identity is not None:  # pgBouncer refuses root as PostgreSQL does
        for path in (folder, folder / "ini"):
            shutil.chown(path, *identity)
    process = subprocess.Popen(
        ["pgbouncer", "-q", str(folder / "ini")],
        user=identity[0] if identity else None,
        group=identity[1] if identity else None,
        extra_groups=[] if identity else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"postgresql://maximus_app@127.0.0.1:{port}/maximus"
    try:
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _wait(url: str) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def test_a_pooler_is_refused_as_direct_url(pooled_url):
    with pytest.raises(PoolerRefusedError, match="set MAXIMUS_DATABASE_DIRECT_URL"):
        refuse_pooler(pooled_url)


def test_migrations_are_not_run_through_a_pooler(pooled_url):
    with pytest.raises(PoolerRefusedError):
        migrate(pooled_url)


@pytest.mark.anyio
async def test_nobody_leads_through_a_pooler(pooled_url, clock):
    with pytest.raises(PoolerRefusedError):
        await Lease(pooled_url, clock).tend()


@pytest.mark.anyio
async def test_many_writes_and_reads_go_through_a_pooler(pooled_url, database):
    now = datetime.now(UTC)
    async with (
        KnowledgeStore(pooled_url, is_pooled=True, pool_size=3) as store,
        KnowledgeQueries(pooled_url, is_pooled=True, pool_size=3) as queries,
    ):
        await asyncio.gather(
            *(store.record_samples([Sample(f"t{i}", "cpu", now, float(i))]) for i in range(40)),
            *(queries.decisions(target=f"t{i}") for i in range(40)),
        )
        await store.record_samples([Sample(f"t{i}", "cpu", now, float(i)) for i in range(40)])
        assert await queries.latest_samples("t7", since=now) == {"cpu": (now, 7.0)}
