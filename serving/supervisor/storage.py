"""What MLflow and Dagster keep in PostgreSQL: whether it is of the installed version, and Dagster's configuration.

Both ship numbered migrations (Alembic) and both refuse or misbehave on tables of another version, but asking them
costs seconds of imports at every start. The answer is one row in the database and the file names of the installed
package, so it is read from there.
"""

import ast
import importlib.util
import json
import threading
from pathlib import Path
from typing import Final

import psycopg

_VERSIONS: Final = {
    "mlflow": "store/db_migrations/versions",
    "dagster": "_core/storage/alembic/versions",
}
_PARSING: Final = threading.Lock()
"""CPython 3.11 counts the depth of all parsers in one place: two threads in `ast.parse` fail each other (SystemError,
"AST constructor recursion depth mismatch", cpython issue 106905), and the stages of a start ask from threads."""

_OPTIONS: Final = {
    "storage": {"postgres": {"postgres_url": {"env": "DAGSTER_POSTGRES_URL"}}},
    # One run at a time: learning shares two cores with the loop.
    "concurrency": {"runs": {"max_concurrent_runs": 1}},
    "run_monitoring": {"enabled": True},
    "run_coordinator": {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {
            "purge_after_days": {"skipped": 7, "failure": 30, "success": -1},
        },
    },
}


def configure_dagster(folder: Path) -> None:
    """Write Dagster's instance configuration and the workspace that points at our code server.

    Args:
        folder: DAGSTER_HOME; created when missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        **_OPTIONS,
        "local_artifact_storage": {
            "module": "dagster._core.storage.root",
            "class": "LocalArtifactStorage",
            "config": {"base_dir": str(folder)},
        },
        "compute_logs": {
            "module": "dagster._core.storage.local_compute_log_manager",
            "class": "LocalComputeLogManager",
            "config": {"base_dir": str(folder / "compute_logs")},
        },
    }
    socket = str(folder.parent / "sock" / "dagster.sock")
    workspace = {"load_from": [{"grpc_server": {"socket": socket, "location_name": "maximus"}}]}
    for name, content in (("dagster.yaml", options), ("workspace.yaml", workspace)):
        draft = folder / f"{name}.tmp"
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")  # JSON is YAML
        draft.replace(folder / name)


def libpq(url: str) -> str:
    """The same address without SQLAlchemy's driver name."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


def is_outdated(package: str, url: str) -> bool:
    """Whether a package's tables are there and of another version than the package.

    Args:
        package: `mlflow` or `dagster`.
        url: SQLAlchemy URL of its database.

    Returns:
        False also when there are no tables yet: the package makes them itself.

    Raises:
        psycopg.OperationalError: The database cannot be reached.
    """
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        if not _has_table(connection, "alembic_version"):
            return False
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return {str(row[0]) for row in rows} != heads(package)


def heads(package: str) -> set[str]:
    """The newest schema versions an installed package knows: those no other migration builds on."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / _VERSIONS[package]
    revisions: set[str] = set()
    below: set[str] = set()
    for script in folder.glob("*.py"):
        assigned = _assignments(script)
        revisions |= _words(assigned.get("revision"))
        below |= _words(assigned.get("down_revision"))
    return revisions - below


def _assignments(script: Path) -> dict[str, object]:
    """The literals a migration assigns to its own `revision` and `down_revision`; nothing of it is run."""
    found: dict[str, object] = {}
    with _PARSING:
        parsed = ast.parse(script.read_text(encoding="utf-8"))
    for node in parsed.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name, value = node.targets[0].id, node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            name, value = node.target.id, node.value
        else:
            continue
        if name in ("revision", "down_revision"):
            found[name] = ast.literal_eval(value)
    return found


def _words(value: object) -> set[str]:
    if value is None:
        return set()
    return {value} if isinstance(value, str) else {str(item) for item in value}  # type: ignore[attr-defined]


def champion(url: str, model: str, alias: str) -> str:
    """The version of a registered model that an alias names, empty when there is none.

    Asked of MLflow's table (`registered_model_aliases`) rather than of its server, which takes seconds to come up: at
    a restart this decides whether anything has to be learnt before the loop can be called ready.

    Args:
        url: SQLAlchemy URL of MLflow's database.
        model: Registered model.
        alias: Its alias.
    """
    with psycopg.connect(libpq(url), autocommit=True) as connection:
        if not _has_table(connection, "registered_model_aliases"):
            return ""
        row = connection.execute(
            "SELECT version FROM registered_model_aliases WHERE name = %s AND alias = %s", (model, alias)
        ).fetchone()
    return "" if row is None else str(row[0])


def _has_table(connection: psycopg.Connection, name: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (name,)).fetchone()
    return row is not None and bool(row[0])
