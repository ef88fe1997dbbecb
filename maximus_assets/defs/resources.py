"""What assets are handed: shells that Dagster configures, each of which gives a plain object of a room below.

The rooms never see a Dagster type. Every address comes from the environment and is read when a run needs it, so that
the graph loads and can be looked at with nothing set.
"""

import os
from collections.abc import Collection, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import dagster as dg
import polars as pl
from pydantic import ValidationError

from maximus_assets.checks.live import Rules
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.holidays import HOLIDAYS_VARIABLE, HolidayCalendar
from maximus_assets.contracts.prometheus import PROMETHEUS, PrometheusSection
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS, Target
from maximus_assets.defs.frames import FramesStore, data_folder
from maximus_assets.defs.io_manager import FrameIOManager
from maximus_assets.registry.tracking import Registry
from maximus_assets.telemetry.arrivals import count_arrivals
from maximus_assets.telemetry.frames import by_series
from maximus_assets.telemetry.history import answering, count_samples, read_prometheus
from maximus_assets.telemetry.ingest import read_metrics, read_plant
from maximus_assets.telemetry.outcomes import Outcomes, read_outcomes
from maximus_assets.telemetry.record import Found

TARGETS_VARIABLE = "MAXIMUS_TARGETS"
PROMETHEUS_VARIABLE = "MAXIMUS_PROMETHEUS"
HOURS_VARIABLE = "MAXIMUS_SHADOW_HOURS"
DRIFT_HOURS_VARIABLE = "MAXIMUS_SHADOW_HOURS_AFTER_DRIFT"
LONGEST_HOURS = 64
"""A little less than the evidence that is read, for not every hour of it has an outcome."""


def targets_from_environment() -> tuple[Target, ...]:
    """The targets in `MAXIMUS_TARGETS` (JSON); unset, what a machine without a `maximus.toml` watches.

    Raises:
        BadInputError: The variable is no list of targets.
    """
    said = os.environ.get(TARGETS_VARIABLE, "")
    if not said:
        return DEFAULT_TARGETS
    try:
        return TARGETS.validate_json(said)
    except ValidationError as error:
        raise BadInputError(str(error), source=TARGETS_VARIABLE) from error


def sections_from_environment() -> tuple[PrometheusSection, ...]:
    """The Prometheus servers in `MAXIMUS_PROMETHEUS` (JSON); none when it is unset.

    Raises:
        BadInputError: The variable is no list of sections.
    """
    said = os.environ.get(PROMETHEUS_VARIABLE, "")
    try:
        return PROMETHEUS.validate_json(said) if said else ()
    except ValidationError as error:
        raise BadInputError(str(error), source=PROMETHEUS_VARIABLE) from error


def holidays_from_environment() -> HolidayCalendar | None:
    """Whose public holidays `MAXIMUS_HOLIDAYS` says are known ahead; nobody's when it is unset.

    Raises:
        BadInputError: It names a country, subdivision or time zone that is unknown.
    """
    said = os.environ.get(HOLIDAYS_VARIABLE, "")
    return HolidayCalendar.parse(said, source=HOLIDAYS_VARIABLE) if said else None


class FramesResource(dg.ConfigurableResource["FramesResource"]):
    """The frames store, for assets that read more than their inputs.

    Attributes:
        folder: Its folder; empty for `<data folder>/frames`.
    """

    folder: str = ""

    def store(self) -> FramesStore:
        """The store itself."""
        return FramesStore(Path(self.folder) if self.folder else data_folder() / "frames")


class FrameIOManagerFactory(dg.ConfigurableIOManagerFactory[FrameIOManager]):
    """Builds the IO manager over the same store.

    Attributes:
        folder: As of `FramesResource`.
    """

    folder: str = ""

    def create_io_manager(self, context: dg.InitResourceContext) -> FrameIOManager:
        """Called by Dagster once a run."""
        del context
        return FrameIOManager(FramesResource(folder=self.folder).store())


class TelemetrySources(dg.ConfigurableResource["TelemetrySources"]):
    """Where observations of the targets are read from.

    Attributes:
        database_read_url: The database that holds live metrics, as the role that may only read.
    """

    database_read_url: str

    def targets(self) -> tuple[Target, ...]:
        """What is watched."""
        return targets_from_environment()

    def look(self, start: datetime, end: datetime) -> Found:
        """Every observation with `start` <= instant < `end`, and what of it could not be read.

        What we know ourselves is read whole or not at all (`read`). A target watched through Prometheus has its history
        there, also of the time before this product; a server that is away costs its own targets alone.

        Raises:
            Retryable: Our own database does not answer, or nothing at all could be read.
            Permanent: As above, and trying again will not help.
        """
        sections, targets = sections_from_environment(), self.targets()
        # Counted before it is read: what arrives in between is asked for once too often rather than never.
        (counted,) = count_samples(sections, targets, [(start, end)])
        past = read_prometheus(sections, targets, start, end)
        own = self.read(start, end)
        frame = own if past.frame.is_empty() else by_series(pl.concat([own, past.frame], how="vertical"))
        if past.unread and frame.is_empty():
            raise past.unread[0].error
        return Found(frame, past.unread, counted, self.mapping())

    def read(self, start: datetime, end: datetime) -> pl.DataFrame:
        """Every observation of our own with `start` <= instant < `end`, sorted by series and instant.

        A simulated target's history is the simulation's own, for every instant; what the loop has stored of it is the
        same values over fewer instants. A host's history is what the loop has stored.
        """
        targets = self.targets()
        simulated = [target for target in targets if target.source == "simulated"]
        live = [target.name for target in targets if target.source == "host"]
        frames = [read_plant(simulated, start, end)]
        if live:
            stored = read_metrics(self.database_read_url, start, end)
            frames.append(stored.filter(pl.col("target").is_in(live)))
        return by_series(pl.concat(frames, how="vertical"))

    def arrivals(self, days: Sequence[tuple[datetime, datetime]]) -> list[int]:
        """How many observations of live demand are stored for each span of time."""
        live = self._live_demand()
        return count_arrivals(self.database_read_url, live, days) if live else [0] * len(days)

    def count_live(self, frame: pl.DataFrame) -> int:
        """How many observations of live demand a stored frame holds: what `arrivals` said when it was read."""
        live = [f"{target}/{sensor}" for target, sensor in self._live_demand().items()]
        return frame.filter(pl.concat_str("target", "sensor", separator="/").is_in(live)).height

    def scraped_counts(self, days: Sequence[tuple[datetime, datetime]]) -> list[dict[str, int]]:
        """For each span of time target -> raw samples of its demand that its Prometheus server holds, as far as one answers."""
        return count_samples(sections_from_environment(), self.targets(), days)

    def scraped(self) -> set[str]:
        """Names of the targets that are watched through Prometheus."""
        return {target.name for target in self.targets() if target.source == "prometheus"}

    def mapping(self) -> str:
        """Fingerprint of the Prometheus sections; empty without any."""
        said = os.environ.get(PROMETHEUS_VARIABLE, "")
        return sha256(said.encode()).hexdigest()[:12] if said else ""

    def answering(self, targets: Collection[str], now: datetime) -> set[str]:
        """Those of some targets whose Prometheus server answers now."""
        return answering(sections_from_environment(), self.targets(), targets, now)

    def _live_demand(self) -> dict[str, str]:
        return {t.name: t.demand_sensor for t in self.targets() if t.source == "host"}


class EvidenceResource(dg.ConfigurableResource["EvidenceResource"]):
    """Live evidence, and how much of it is enough.

    Attributes:
        database_read_url: The database that holds forecasts and metrics, as the role that may only read.
    """

    database_read_url: str

    def read(self, since: datetime, until: datetime) -> Outcomes:
        """What was forecast in a span of time, and what came."""
        return read_outcomes(self.database_read_url, since, until)

    def rules(self) -> Rules:
        """The rules in force: the usual ones but for what the environment says.

        Raises:
            BadInputError: A variable is no number of hours.
        """
        usual = Rules()
        return Rules(
            minimum_hours=_hours(HOURS_VARIABLE, usual.minimum_hours),
            minimum_hours_after_drift=_hours(DRIFT_HOURS_VARIABLE, usual.minimum_hours_after_drift),
        )


def _hours(variable: str, usual: int) -> int:
    said = os.environ.get(variable, "")
    if not said:
        return usual
    if not said.isdecimal() or not 1 <= int(said) <= LONGEST_HOURS:
        raise BadInputError(f"{said!r} is no number of hours from 1 to {LONGEST_HOURS}", source=variable)
    return int(said)


class RegistryResource(dg.ConfigurableResource["RegistryResource"]):
    """The model registry.

    Attributes:
        tracking_uri: Address of MLflow.
    """

    tracking_uri: str

    def registry(self) -> Registry:
        """The registry, after it has said that it is there.

        Raises:
            Retryable: It does not answer.
        """
        registry = Registry(self.tracking_uri)
        registry.check_reachable()
        return registry


@dg.definitions
def resources() -> dg.Definitions:
    """The resources of the graph, by the names assets ask for them."""
    return dg.Definitions(
        resources={
            "frames": FramesResource(),
            "frame_files": FrameIOManagerFactory(),
            "sources": TelemetrySources(database_read_url=dg.EnvVar("MAXIMUS_DATABASE_READ_URL")),
            "evidence": EvidenceResource(database_read_url=dg.EnvVar("MAXIMUS_DATABASE_READ_URL")),
            "models": RegistryResource(tracking_uri=dg.EnvVar("MLFLOW_TRACKING_URI")),
        }
    )
