"""The table of settings: where each field of `Settings` is read from, its default in words, what it means.

Belongs here: one line a setting, which is also what the README says of it. Does not: types, bounds and checks, which are
the model's (`serving.settings`), and reading.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

from maximus_assets.contracts.holidays import HOLIDAYS_VARIABLE


class Documented(NamedTuple):
    """One setting as the README describes it: its environment variable, its default in words, what it means."""

    name: str
    default: str
    description: str


@dataclass(frozen=True)
class Setting:
    """Where one field of `Settings` is read from. `key` is its path in `maximus.toml`, None for the environment only."""

    field: str
    variable: str
    key: str | None
    default: str
    description: str


SETTINGS: Final[tuple[Setting, ...]] = (
    Setting(
        "data_dir",
        "MAXIMUS_DATA_DIR",
        "data_dir",
        ".maximus beside the project",
        "Folder of everything the product stores, except mlruns/.",
    ),
    Setting(
        "host",
        "MAXIMUS_HOST",
        "host",
        "127.0.0.1",
        "Address every server listens on; only loopback addresses are accepted.",
    ),
    Setting(
        "gateway_port", "MAXIMUS_GATEWAY_PORT", "gateway.port", "8000", "Port of the web page and the API."
    ),
    Setting(
        "loop_port",
        "MAXIMUS_LOOP_PORT",
        "loop.port",
        "8001",
        "Port of the control loop's health and metrics.",
    ),
    Setting("dagster_port", "MAXIMUS_DAGSTER_PORT", "dagster.port", "3000", "Port of the Dagster web UI."),
    Setting("mlflow_port", "MAXIMUS_MLFLOW_PORT", "mlflow.port", "5000", "Port of the MLflow server."),
    Setting(
        "gateway_workers",
        "MAXIMUS_GATEWAY_WORKERS",
        "gateway.workers",
        "2",
        "Processes that serve the API, 1 to 64.",
    ),
    Setting(
        "database_url",
        "MAXIMUS_DATABASE_URL",
        "database.url",
        "an embedded PostgreSQL",
        "PostgreSQL server to use instead of the embedded one; may be a pooler.",
    ),
    Setting(
        "database_direct_url",
        "MAXIMUS_DATABASE_DIRECT_URL",
        "database.direct_url",
        "MAXIMUS_DATABASE_URL",
        "The same database without a pooler between: for the lease, notifications and migrations.",
    ),
    Setting(
        "database_read_url",
        "MAXIMUS_DATABASE_READ_URL",
        "database.read_url",
        "MAXIMUS_DATABASE_URL",
        "The same database for reading only; may be a replica.",
    ),
    Setting(
        "database_owner_url",
        "MAXIMUS_DATABASE_OWNER_URL",
        "database.owner_url",
        "not set",
        "The same database as its owner; only migrations use it.",
    ),
    Setting(
        "redis_url",
        "MAXIMUS_REDIS_URL",
        "redis.url",
        "an embedded Valkey",
        "Redis or Valkey server to use instead of the embedded one.",
    ),
    Setting(
        "mlflow_uri",
        "MLFLOW_TRACKING_URI",
        "mlflow.uri",
        "http://127.0.0.1:5000, with the port of MAXIMUS_MLFLOW_PORT",
        "MLflow tracking server and model registry.",
    ),
    Setting(
        "loop_period_seconds",
        "MAXIMUS_LOOP_PERIOD_SECONDS",
        "loop.period_seconds",
        "15",
        "Seconds from one turn of the loop to the next, 1 to 300.",
    ),
    Setting(
        "targets",
        "MAXIMUS_TARGETS",
        "targets",
        "this host, and a simulated shop",
        "What is watched: a JSON list here, [[targets]] tables in maximus.toml.",
    ),
    Setting(
        "prometheus",
        "MAXIMUS_PROMETHEUS",
        "prometheus",
        "none",
        "Prometheus servers that are read: a JSON list here, [[prometheus]] tables in maximus.toml.",
    ),
    Setting(
        "pushgateway_url",
        "MAXIMUS_PUSHGATEWAY_URL",
        "pushgateway.url",
        "not set",
        "Pushgateway that is told how each learning run went.",
    ),
    Setting(
        "history_start",
        "MAXIMUS_HISTORY_START",
        "history.start",
        "the oldest day kept, else 28 days ago",
        "First day of history that is learnt from, YYYY-MM-DD, in the past.",
    ),
    Setting(
        "shadow_hours",
        "MAXIMUS_SHADOW_HOURS",
        "shadow.hours",
        "24",
        "Hours of live evidence before a challenger may become champion, 1 to 64.",
    ),
    Setting(
        "shadow_hours_after_drift",
        "MAXIMUS_SHADOW_HOURS_AFTER_DRIFT",
        "shadow.hours_after_drift",
        "8",
        "The same while the champion is known to have drifted, 1 to 64.",
    ),
    Setting(
        "holidays",
        HOLIDAYS_VARIABLE,
        "learning.holidays",
        "none",
        "Country whose public holidays are known ahead: DE, DE-BY, DE-BY@Europe/Berlin.",
    ),
    Setting("log_level", "MAXIMUS_LOG_LEVEL", "log.level", "INFO", "DEBUG, INFO, WARNING or ERROR."),
    Setting(
        "log_format",
        "MAXIMUS_LOG_FORMAT",
        "log.format",
        "console",
        "console for people, json for log collectors.",
    ),
)


def documented() -> list[Documented]:
    """Every setting, for the README and its test."""
    return [Documented(setting.variable, setting.default, setting.description) for setting in SETTINGS]
