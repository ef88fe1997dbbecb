"""Every setting of the serving side, typed and checked; `settings.table` says where each is read from and what it means.

Belongs here: what an operator may set. Does not: what the supervisor works out for itself, and any reading of the
environment elsewhere in `serving`. It is hard because a setting that is misspelt and silently ignored is worse than
one that is refused; so nothing unknown passes, wherever it was written.
"""

from collections.abc import Mapping
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from maximus_assets.contracts.holidays import HolidaysText
from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import DEFAULT_TARGETS, PRODUCT, CoreSizing, ReplicaSizing, Target
from maximus_assets.prometheus.feeds import check_mapping
from serving.settings.reading import explained, read_file, read_json, refuse_unknown_variables
from serving.settings.table import SETTINGS

FILE_NAME: Final = "maximus.toml"

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
LogFormat = Literal["console", "json"]


_TABLES: Final[dict[str, tuple[type[BaseModel], ...]]] = {
    "targets": (Target, ReplicaSizing, CoreSizing),
    "prometheus": (PrometheusSection, PromQLSensor),
}
"""Settings that are lists of tables -> the types whose fields may stand in them."""


class Settings(BaseModel):
    """The settings in force.

    Attributes:
        root: Folder of the project: of `maximus.toml` and `mlruns/`.
        data_dir: Absolute; of everything else that is stored.
        host: Loopback address.
        gateway_port: TCP port.
        loop_port: TCP port.
        dagster_port: TCP port.
        mlflow_port: TCP port.
        gateway_workers: Processes.
        database_url: libpq URL, or None for the embedded server.
        database_direct_url: The same without a pooler; follows `database_url` when not set.
        database_read_url: The same for reading; follows `database_url` when not set.
        database_owner_url: The same as the schema's owner.
        redis_url: `redis://` or `unix://` URL, or None for the embedded server.
        mlflow_uri: Of the tracking server.
        loop_period_seconds: Between turns.
        targets: What is watched; names are unique.
        prometheus: Servers that are read, and which labels a target has there.
        pushgateway_url: `http://` or `https://` URL of a Pushgateway, or None.
        history_start: First day of history, None to let the asset graph find it.
        holidays: Whose public holidays are learnt as events, in the form of `HolidayCalendar.parse`; None for nobody's.
        shadow_hours: Of live evidence before a challenger may win.
        shadow_hours_after_drift: The same after a drift.
        log_level: Least severe level that is logged.
        log_format: How it is written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    root: Path
    data_dir: Path
    host: str = "127.0.0.1"
    gateway_port: int = Field(default=8000, ge=1, le=65535)
    loop_port: int = Field(default=8001, ge=1, le=65535)
    dagster_port: int = Field(default=3000, ge=1, le=65535)
    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    gateway_workers: int = Field(default=2, ge=1, le=64)
    database_url: str | None = Field(default=None, repr=False)
    database_direct_url: str | None = Field(default=None, repr=False)
    database_read_url: str | None = Field(default=None, repr=False)
    database_owner_url: str | None = Field(default=None, repr=False)
    redis_url: str | None = Field(default=None, repr=False)
    mlflow_uri: str = Field(default="", repr=False)
    loop_period_seconds: float = Field(default=15.0, ge=1, le=300)
    targets: tuple[Target, ...] = Field(default=DEFAULT_TARGETS, min_length=1)
    prometheus: tuple[PrometheusSection, ...] = Field(default=(), validate_default=True)
    pushgateway_url: str | None = Field(default=None, repr=False)
    history_start: date | None = None
    holidays: HolidaysText | None = None
    shadow_hours: int = Field(default=24, ge=1, le=64)
    shadow_hours_after_drift: int = Field(default=8, ge=1, le=64)
    log_level: LogLevel = "INFO"
    log_format: LogFormat = "console"

    @model_validator(mode="before")
    @classmethod
    def _follow(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Fill in what follows another setting when it is not set itself."""
        settings = dict(given)
        if settings.get("database_url"):
            for field in ("database_direct_url", "database_read_url"):
                settings[field] = settings.get(field) or settings["database_url"]
        settings["mlflow_uri"] = (
            settings.get("mlflow_uri") or f"http://127.0.0.1:{settings.get('mlflow_port', 5000)}"
        )
        return settings

    @field_validator("host")
    @classmethod
    def _loopback(cls, host: str) -> str:
        """Nobody is asked who they are yet, so nobody outside this machine may reach the servers."""
        try:
            is_loopback = host == "localhost" or ip_address(host).is_loopback
        except ValueError:
            is_loopback = False
        if not is_loopback:
            msg = f"{host} can be reached from other machines, and there is no login yet; use 127.0.0.1"
            raise ValueError(msg)
        return host

    @field_validator("database_url", "database_direct_url", "database_read_url", "database_owner_url")
    @classmethod
    def _postgresql(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("postgresql://", "postgres://")):
            msg = "must start with postgresql://"
            raise ValueError(msg)
        return url

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("redis://", "rediss://", "unix://")):
            msg = "must start with redis://, rediss:// or unix://"
            raise ValueError(msg)
        return url

    @field_validator("pushgateway_url")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and not url.startswith(("http://", "https://")):
            msg = "must start with http:// or https://"
            raise ValueError(msg)
        return url

    @field_validator("prometheus")
    @classmethod
    def _mapped(
        cls, sections: tuple[PrometheusSection, ...], found: ValidationInfo
    ) -> tuple[PrometheusSection, ...]:
        targets = found.data.get("targets")
        if targets is not None:  # else they are what is wrong
            check_mapping(sections, targets)
        return sections

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level

    @field_validator("targets")
    @classmethod
    def _unique(cls, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        names = [target.name for target in targets]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            msg = f"target {', '.join(twice)} is named twice"
            raise ValueError(msg)
        hosts = [target.name for target in targets if target.source == "host"]
        if len(hosts) > 1:
            msg = (
                f'targets {", ".join(hosts)} all have source = "host", and there is one host: this machine; watch other '
                "machines through Prometheus (recipe node_exporter)"
            )
            raise ValueError(msg)
        if PRODUCT in names:
            msg = f"{PRODUCT} is the product itself, which is observed without being asked to; choose another name"
            raise ValueError(msg)
        return targets

    @property
    def frames_dir(self) -> Path:
        """Parquet frames of the asset graph."""
        return self.data_dir / "frames"

    @property
    def log_dir(self) -> Path:
        """One log file for each process."""
        return self.data_dir / "log"

    @property
    def run_dir(self) -> Path:
        """Run file, lock and password file."""
        return self.data_dir / "run"

    @property
    def spool_dir(self) -> Path:
        """What waits for PostgreSQL to come back."""
        return self.data_dir / "spool"


def load(environ: Mapping[str, str], root: Path) -> Settings:
    """Read the settings: environment first, then `maximus.toml` in `root`, then defaults.

    An empty variable counts as not set. Relative paths are relative to `root`.

    Args:
        environ: The environment, usually `os.environ`.
        root: Folder of the project.

    Raises:
        BadInputError: An unknown variable or key, or a bad value; it names which and where.
    """
    root = root.absolute()
    file = root / FILE_NAME
    refuse_unknown_variables(environ, [setting.variable for setting in SETTINGS])
    given: dict[str, Any] = {}
    origin: dict[str, tuple[str, str]] = {}
    from_file = read_file(file, [setting.key for setting in SETTINGS if setting.key])
    for setting in SETTINGS:
        if value := environ.get(setting.variable, "").strip():
            given[setting.field] = read_json(value, setting.variable) if setting.field in _TABLES else value
            origin[setting.field] = ("the environment", setting.variable)
        elif setting.key in from_file:
            given[setting.field] = from_file[setting.key]
            origin[setting.field] = (str(file), setting.key)
    given["root"] = root
    given["data_dir"] = root / Path(str(given.get("data_dir", ".maximus"))).expanduser()
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        raise explained(error, origin, _TABLES) from error
