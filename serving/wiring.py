"""The composition root: settings in, running objects out. The only place where adapters are chosen.

Production, demo and tests are built here; what a test wants to be different it hands over by name.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fastapi import FastAPI

from maximus_assets.contracts.clock import Clock, SystemClock
from maximus_assets.contracts.errors import BadInputError, Retryable
from maximus_assets.contracts.prediction import JudgedForecasts
from maximus_assets.contracts.target import PRODUCT
from maximus_assets.prometheus.feeds import feeds
from serving.dashboard.page import STATIC, Pages
from serving.gateway.app import create_app
from serving.gateway.events import EventHub
from serving.gateway.listener import Listener
from serving.gateway.ports import Ports
from serving.gateway.reading import Reading
from serving.knowledge.queries import KnowledgeQueries
from serving.knowledge.spool import Spool
from serving.knowledge.store import KnowledgeStore
from serving.loop.cycle import Cycle
from serving.loop.lease import Lease
from serving.loop.recorder import Recorder
from serving.loop.runner import Runner
from serving.loop.warmup import Remembered, last_telemetry, warm_up
from serving.monitor.champion import ChampionSource
from serving.monitor.database import DatabaseSource
from serving.monitor.gpu import GpuSource
from serving.monitor.host import HostSource
from serving.monitor.prometheus import PrometheusSource
from serving.monitor.redis import RedisSource
from serving.monitor.simulated import SimulatedSource
from serving.monitor.source import Collector, Source
from serving.observability import PREDICTORS_SWAPS_TOTAL, show_champion
from serving.predictors.catalogue import Catalogue
from serving.predictors.inference import Forecaster
from serving.predictors.proving import Loaded, VersionRefusedError
from serving.predictors.shadow import Shadow
from serving.predictors.shelf import Shelf
from serving.settings import Settings
from serving.settings import load as load_settings


@dataclass
class ControlLoopRuntime:
    """Everything the loop's process holds.

    Attributes:
        runner: Turns.
        store: Open while it runs.
        queries: Open while it runs.
        collector: Closed at the end.
        forecaster: Closed at the end.
    """

    runner: Runner
    store: KnowledgeStore
    queries: KnowledgeQueries
    collector: Collector
    forecaster: Forecaster

    async def run(self) -> None:
        """Run until cancelled, then give back the lease and close every connection."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.store)
            await stack.enter_async_context(self.queries)
            stack.push_async_callback(self.collector.aclose)
            stack.push_async_callback(self.forecaster.aclose)
            await self.runner.run()


@dataclass
class ChampionFollower:
    """Follows the registry with the windows the loop asked about last as the test a new version has to pass."""

    catalogue: Catalogue
    forecaster: Forecaster

    async def refresh(self) -> bool:
        """Look at the registry; whether the champion changed."""
        is_changed = await self.catalogue.refresh(self.forecaster.frame)
        if is_changed:
            PREDICTORS_SWAPS_TOTAL.labels(self.catalogue.model).inc()
            show_champion(self.catalogue.model, self.version())
        return is_changed

    def version(self) -> str:
        """Version in use, empty without one."""
        champion = self.catalogue.champion
        return "" if champion is None else champion.version

    def status(self) -> str:
        """How the last look went; why the champion did not answer, when it did not."""
        failure = self.forecaster.failure
        return (
            f"{self.catalogue.status}; it failed to answer: {failure}" if failure else self.catalogue.status
        )


@dataclass
class ChallengerFollower:
    """Keeps the versions in shadow as the registry names them, each tested by the same windows as a champion."""

    catalogue: Catalogue
    forecaster: Forecaster
    shadow: Shadow

    async def refresh(self) -> None:
        """Load what is new; which they are was learnt when the champion was looked for."""
        known = {loaded.version: loaded for loaded in self.shadow.challengers.values()}
        loaded: dict[str, Loaded] = {}
        for alias, version in self.catalogue.challengers.items():
            if version in self.shadow.dropped:
                continue
            try:
                loaded[alias] = known.get(version) or await self.catalogue.load_challenger(
                    version, self.forecaster.frame
                )
            except VersionRefusedError as error:
                self.shadow.drop(version, str(error))
            except (Retryable, OSError):
                continue  # the registry or the disk; the next look tries again
        self.shadow.follow(loaded)

    def take(self) -> tuple[JudgedForecasts, ...]:
        """What champion and challengers expected since the last call."""
        return self.shadow.take()

    def status(self) -> dict[str, str]:
        """How each does, in words."""
        return self.shadow.status()


def build_sources(settings: Settings, clock: Clock) -> tuple[Source, ...]:
    """A host's kernel and GPUs, a source for each Prometheus section, one for simulated targets, the product's servers.

    Args:
        settings: Which targets there are, and where the servers are.
        clock: Measures rates.
    """
    hosts: list[Source] = [
        source
        for target in settings.targets
        if target.source == "host"
        for source in (
            HostSource(target.name, clock=clock, data_dir=settings.data_dir),
            GpuSource(target.name),
        )
    ]
    own: list[Source] = []
    if settings.database_url:
        database_url, direct_url, read_url = _database(settings)
        own.append(DatabaseSource(PRODUCT, read_url, clock=clock, is_pooled=database_url != direct_url))
    if settings.redis_url:
        own.append(RedisSource(PRODUCT, settings.redis_url, clock=clock))
    simulated = [target for target in settings.targets if target.source == "simulated"]
    asked = feeds(settings.prometheus)
    scraped = [
        PrometheusSource(section, asked[section.name], clock=clock)
        for section in settings.prometheus
        if asked[section.name]
    ]
    return (*hosts, *scraped, *([SimulatedSource(simulated)] if simulated else []), *own)


def build_loop(
    settings: Settings,
    *,
    name: str = "",
    clock: Clock | None = None,
    sources: Sequence[Source] | None = None,
    catalogue: Catalogue | None = None,
    exit_process: Callable[[int], None] = os._exit,
) -> ControlLoopRuntime:
    """The control loop, not yet running.

    Args:
        settings: With the addresses of the knowledge base.
        name: Of the heartbeat row; one for each place a loop may run at.
        clock: The time, the machine's own unless given.
        sources: Instead of those the settings ask for.
        catalogue: Instead of one of the settings' registry.
        exit_process: What the watchdog does when turns stop ending.

    Raises:
        BadInputError: No knowledge base is named.
    """
    database_url, direct_url, read_url = _database(settings)
    clock = clock or SystemClock()
    catalogue = catalogue or Catalogue(settings.mlflow_uri, shelf=Shelf(settings.data_dir / "champion"))
    shadow = Shadow()
    forecaster = Forecaster(
        champion=lambda: catalogue.champion, notice=lambda: catalogue.caveat, answered=shadow.begin
    )
    own_models = ChampionSource(
        PRODUCT,
        windows=lambda: cycle.windows,
        forecasts=lambda: forecaster.latest,
        trained_at=lambda: None if catalogue.champion is None else catalogue.champion.trained_at,
    )
    collector = Collector((*(build_sources(settings, clock) if sources is None else sources), own_models))
    store = KnowledgeStore(database_url, is_pooled=database_url != direct_url)
    queries = KnowledgeQueries(read_url, is_pooled=database_url != direct_url)
    cycle = Cycle(
        settings.targets,
        collector=collector,
        forecaster=forecaster,
        period_seconds=settings.loop_period_seconds,
    )

    async def fill(now: datetime, progressed: Callable[[], None]) -> Remembered:
        found = await warm_up(
            cycle.windows,
            cycle.latest,
            past=queries,
            sources=collector.sources,
            now=now,
            progressed=progressed,
        )
        try:
            return found._replace(telemetry=last_telemetry(await queries.heartbeats()))
        except Retryable:
            return found._replace(is_whole=False)

    runner = Runner(
        name=name or f"loop:{settings.loop_port}",
        cycle=cycle,
        recorder=Recorder(store, Spool(settings.spool_dir)),
        lease=Lease(direct_url, clock),
        champion=ChampionFollower(catalogue, forecaster),
        shadow=ChallengerFollower(catalogue, forecaster, shadow),
        clock=clock,
        period_seconds=settings.loop_period_seconds,
        warm_up=fill,
        exit_process=exit_process,
    )
    return ControlLoopRuntime(
        runner=runner, store=store, queries=queries, collector=collector, forecaster=forecaster
    )


def run_homeostatic_control_loop(
    *, dry_run: bool = True, interval: float | None = None, db_url: str | None = None
) -> None:
    """Run the control loop in this process until it is interrupted, without any server around it.

    What is not given comes from the environment and `maximus.toml`, as everywhere.

    Args:
        dry_run: Must be true: nothing could be changed, for there are no actuators.
        interval: Seconds from one turn to the next.
        db_url: libpq URL of the knowledge base, not through a pooler; its schema must be up to date.

    Raises:
        BadInputError: `dry_run` is false, a setting is wrong, or no knowledge base is named.
    """
    if not dry_run:
        raise BadInputError(
            "there are no actuators, so the loop cannot change anything: leave it true",
            source="run_homeostatic_control_loop",
            column="dry_run",
        )
    environ = dict(os.environ)
    if interval is not None:
        environ["MAXIMUS_LOOP_PERIOD_SECONDS"] = str(interval)
    if db_url is not None:
        environ |= dict.fromkeys(
            ("MAXIMUS_DATABASE_URL", "MAXIMUS_DATABASE_DIRECT_URL", "MAXIMUS_DATABASE_READ_URL"), db_url
        )
    loop = build_loop(load_settings(environ, Path.cwd()))
    with suppress(KeyboardInterrupt):
        asyncio.run(loop.run())


@dataclass(frozen=True)
class GatewayRuntime:
    """Everything one worker of the gateway holds.

    Attributes:
        app: The application; it opens and closes the rest with its own life.
        hub: The event streams open on this worker.
        reading: Answers from the knowledge base.
        listener: Where its events come from.
    """

    app: FastAPI
    hub: EventHub
    reading: Reading
    listener: Listener


def build_gateway(
    settings: Settings,
    *,
    clock: Clock | None = None,
    hub: EventHub | None = None,
    host_names: tuple[str, ...] = (),
) -> GatewayRuntime:
    """The gateway; nothing is opened before its application starts.

    Args:
        settings: With the addresses of the knowledge base.
        clock: The time, the machine's own unless given.
        hub: Instead of one with the usual bounds.
        host_names: Host names it is served by besides the loopback ones.

    Raises:
        BadInputError: No knowledge base is named.
    """
    database_url, direct_url, read_url = _database(settings)
    clock = clock or SystemClock()
    queries = KnowledgeQueries(read_url, is_pooled=database_url != direct_url)
    reading = Reading(queries, settings.targets, clock, settings.loop_period_seconds)
    hub = hub or EventHub()
    listener = Listener(direct_url, hub, reading.announced, clock)

    @asynccontextmanager
    async def running() -> AsyncIterator[None]:
        async with queries:
            hub.open()
            listening = asyncio.create_task(listener.run(), name="listener")
            try:
                yield
            finally:
                hub.close()
                listening.cancel()
                with suppress(asyncio.CancelledError):
                    await listening

    ports = Ports(
        reading=reading,
        hub=hub,
        pages=Pages(),
        static_dir=STATIC,
        clock=clock,
        targets={target.name: target for target in settings.targets},
        running=running,
        host_names=host_names,
    )
    return GatewayRuntime(app=create_app(ports), hub=hub, reading=reading, listener=listener)


def _database(settings: Settings) -> tuple[str, str, str]:
    """Addresses of the knowledge base: for writing, without a pooler, for reading.

    Raises:
        BadInputError: None is named.
    """
    if not settings.database_url or not settings.database_direct_url:
        raise BadInputError(
            "the knowledge base has no address: start everything with `maximus up`, or name a server",
            source="the environment",
            column="MAXIMUS_DATABASE_URL",
        )
    return (
        settings.database_url,
        settings.database_direct_url,
        settings.database_read_url or settings.database_url,
    )
