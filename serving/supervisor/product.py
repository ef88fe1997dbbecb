"""The product on one machine: its children, and the stages that bring them up.

Everything that can run side by side does: a start is bounded by imports on two cores, not by order. Only three things
wait: whatever speaks to PostgreSQL for PostgreSQL, the loop and the gateway for the tables of the knowledge base, and
the first learning for MLflow. The same stages run at the first start and at every later one; what there is nothing
to do for says so and ends at once. At a later start the loop has its champion on disk, so nothing else takes part in
the race for the cores until it acts: MLflow and Dagster are pages to look at then, and work for later.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx

from maximus_assets.contracts.naming import CHAMPION, FORECASTER
from serving.knowledge.migrate import migrate
from serving.predictors.shelf import Shelf
from serving.settings import Settings
from serving.supervisor import acting, children, external, storage
from serving.supervisor.backoff import Backoff
from serving.supervisor.child import Child, ChildSpec
from serving.supervisor.children import Ground
from serving.supervisor.errand import Errand
from serving.supervisor.events import Listener
from serving.supervisor.failures import StartFailedError
from serving.supervisor.postgres import EmbeddedPostgres
from serving.supervisor.processes import Identity
from serving.supervisor.runfile import ChildRecord
from serving.supervisor.stages import Say, Skipped, Stage, run

LEARNING: Final = "First learning"
"""Name of the stage that learns the first champion: whoever sums a start up looks for it."""

_LIVE_SECONDS: Final = 90.0
_PATIENCE_SECONDS: Final = 60.0
"""How long a start waits for what is worth showing and not worth failing for."""
_CHAMPION_SECONDS: Final = 30.0
_FIRST_RUN: Final = (sys.executable, "-m", "maximus_assets.defs.first_run")


@dataclass
class Product:
    """Every child of one installation.

    Attributes:
        settings: The settings in force.
        shell: The environment `maximus` was called with.
        on_change: Called after every change of a child's state.
    """

    settings: Settings
    shell: Mapping[str, str]
    on_change: Callable[[], None]
    children: dict[str, Child] = field(default_factory=dict, init=False)
    errands: dict[str, Identity] = field(default_factory=dict, init=False)
    pending: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _ground: Ground | None = field(default=None, init=False)
    _acting: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _registry: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _champion_before: str = field(default="", init=False)
    _started_at: float = field(default_factory=time.time, init=False)

    def records(self) -> tuple[ChildRecord, ...]:
        """Children and errands as the run file holds them, in the order of their start."""
        now = time.time()
        errands = [
            ChildRecord(name=name, state="starting", identity=identity, address="", since=now)
            for name, identity in self.errands.items()
        ]
        return (*(child.record() for child in self.children.values()), *errands)

    def leaders(self) -> set[int]:
        """The pids of everything that was started on purpose and not yet ended."""
        started = [child.identity for child in self.children.values()]
        return {identity.pid for identity in [*started, *self.errands.values()] if identity is not None}

    def ports(self) -> dict[str, int]:
        """The ports it listens on, by the variable that changes each."""
        return {
            "MAXIMUS_GATEWAY_PORT": self.settings.gateway_port,
            "MAXIMUS_LOOP_PORT": self.settings.loop_port,
            "MAXIMUS_DAGSTER_PORT": self.settings.dagster_port,
            "MAXIMUS_MLFLOW_PORT": self.settings.mlflow_port,
        }

    async def start(self, listener: Listener) -> None:
        """Bring everything up; returns when the loop has taken its first decisions.

        Raises:
            MaximusError: An essential stage failed; what was started is still up and is the caller's to stop.
        """
        stages = (
            Stage("PostgreSQL", self._postgres),
            Stage("Valkey", self._valkey),
            Stage("Knowledge base", self._knowledge, ("PostgreSQL",)),
            Stage("MLflow", self._mlflow, ("PostgreSQL",), is_awaited=False, is_retried=True),
            Stage("Control loop", self._loop, ("Knowledge base", "Valkey")),
            # Needs nothing of the loop; but on two cores, importing beside it and MLflow would make all three wait.
            Stage("Gateway", self._gateway, ("Control loop",)),
            Stage(LEARNING, self._learning, ("Knowledge base",), is_essential=False),
            Stage("First decisions", self._decisions, ("Control loop", "Gateway", LEARNING)),
            # Pages to look at and work for later: nobody waits for them.
            Stage(
                "Dagster",
                self._dagster,
                ("PostgreSQL",),
                is_essential=False,
                is_awaited=False,
                is_retried=True,
            ),
            Stage(
                "Learning check",
                self._check,
                ("First decisions", "MLflow"),
                is_essential=False,
                is_awaited=False,
            ),
            # Not beside that: its automation would find the same work to do and begin it too.
            Stage(
                "Dagster daemon",
                self._daemon,
                ("Dagster", "Learning check"),
                is_essential=False,
                is_awaited=False,
                is_retried=True,
            ),
        )
        self.pending = await run(stages, listener)

    async def stop(self, say: Callable[[str], None]) -> None:
        """Stop everything, the highest tier first; what is in one tier stops side by side."""
        for task in self.pending:
            task.cancel()
        await asyncio.gather(*self.pending, return_exceptions=True)
        for tier in sorted({child.spec.tier for child in self.children.values()}, reverse=True):
            members = [child for child in self.children.values() if child.spec.tier == tier]
            say("stopping " + ", ".join(child.spec.name for child in members))
            await asyncio.gather(*(child.stop() for child in members))

    async def _postgres(self, say: Say) -> str:
        settings = self.settings
        if settings.database_url is None:
            server = EmbeddedPostgres(settings.data_dir)
            say("making the cluster" if not server.places.cluster.exists() else "recovering")
            await asyncio.to_thread(server.prepare)
            await self._keep(children.postgres(settings, server))
            say("databases and roles")
            urls = await asyncio.to_thread(server.provision)
            pooled_url = urls.app
            text = f"embedded, in {server.places.home}"
        else:
            say("databases and roles")
            urls, pooled_url = await asyncio.to_thread(external.provision_server, settings)
            text = "the server of MAXIMUS_DATABASE_URL"
        redis_url = settings.redis_url or f"unix://{children.valkey_socket(settings)}"
        self._ground = Ground(
            settings=settings, shell=self.shell, urls=urls, redis_url=redis_url, pooled_url=pooled_url
        )
        self._ground.write_down()
        self._champion_before = await asyncio.to_thread(storage.champion, urls.mlflow, FORECASTER, CHAMPION)
        return text

    async def _valkey(self, _: Say) -> str:
        if self.settings.redis_url is not None:
            where = await asyncio.to_thread(external.reach_redis, self.settings.redis_url)
            raise Skipped(f"the server of MAXIMUS_REDIS_URL, {where}")
        await self._keep(children.valkey(self.settings, self.shell))
        return "embedded"

    async def _knowledge(self, _: Say) -> str:
        applied = await asyncio.to_thread(migrate, self._standing().urls.owner)
        return f"{len(applied)} migrations applied" if applied else "up to date"

    async def _mlflow(self, say: Say) -> str:
        ground = self._standing()
        if self._champion_before and self._is_on_disk(self._champion_before):
            say("waiting for the loop")
            await self._acting.wait()
        if await asyncio.to_thread(storage.is_outdated, "mlflow", ground.urls.mlflow):
            say("migrating its tables")
            await self._do(
                "mlflow-migrate", (children.program("mlflow"), "db", "upgrade", ground.urls.mlflow)
            )
        elif not self._champion_before:
            say("making its tables")
        await self._keep(children.mlflow(ground))
        self._registry.set()
        return self.children[children.MLFLOW].spec.address

    async def _dagster(self, say: Say) -> str:
        ground = self._standing()
        if self._champion_before:
            # Seconds of imports that would keep the loop waiting; the first time they run beside the learning.
            say("waiting for the loop")
            await self._acting.wait()
        storage.configure_dagster(self.settings.data_dir / "dagster")
        if await asyncio.to_thread(storage.is_outdated, "dagster", ground.urls.dagster):
            say("migrating its tables")
            await self._do("dagster-migrate", (children.program("dagster"), "instance", "migrate"))
        code, web = children.dagster(ground)[:2]
        say("code server")
        await self._keep(code)
        say("web page")
        await self._keep(web)
        return web.address

    async def _daemon(self, _: Say) -> str:
        await self._keep(children.dagster(self._standing())[2])
        return "schedules, sensors and automation run"

    async def _loop(self, _: Say) -> str:
        await self._keep(children.loop(self._standing()))
        return self.children[children.LOOP].spec.address

    async def _gateway(self, _: Say) -> str:
        await self._keep(children.gateway(self._standing()))
        return self.children[children.GATEWAY].spec.address

    async def _learning(self, say: Say) -> str:
        """Materialize the asset graph once, when there is no champion: later learning is the schedule's."""
        if self._champion_before:
            raise Skipped(f"{FORECASTER} version {self._champion_before} is the champion")
        say("waiting for MLflow")
        await self._registry.wait()
        storage.configure_dagster(self.settings.data_dir / "dagster")
        last = ""

        def relay(line: str) -> None:
            nonlocal last
            last = _words_of(line) or last
            say(last)

        await self._do("first-learning", _FIRST_RUN, on_line=relay)
        version = await asyncio.to_thread(
            storage.champion, self._standing().urls.mlflow, FORECASTER, CHAMPION
        )
        return f"{FORECASTER} version {version} is the champion"

    async def _check(self, say: Say) -> str:
        """See whether the champion of an earlier run is still fresh, and learn anew if not, while the loop acts."""
        if not self._champion_before:
            raise Skipped("it was only just learnt, or tried")
        last = ""

        def relay(line: str) -> None:
            nonlocal last
            last = _words_of(line) or last
            say(last)

        await self._do("learning-check", _FIRST_RUN, on_line=relay, niceness=children.YIELDING)
        return last

    async def _decisions(self, say: Say) -> str:
        """Wait until the loop of this start lives and uses the champion.

        At the first start also until it has decided about every target with the champion; two turns are enough for
        that, and where turns are long it is not waited for. A champion it cannot use is said and no reason to stop:
        it goes on without, and the learning check is next.

        Raises:
            StartFailedError: The loop does not turn.
        """
        began = time.monotonic()
        champion = await asyncio.to_thread(
            storage.champion, self._standing().urls.mlflow, FORECASTER, CHAMPION
        )
        patience = min(_PATIENCE_SECONDS, 2 * self.settings.loop_period_seconds + _CHAMPION_SECONDS)
        log = self.settings.log_dir / "loop.log"
        async with httpx.AsyncClient(
            base_url=self.children[children.GATEWAY].spec.address, timeout=5.0, trust_env=False
        ) as client:
            while True:
                found = acting.judge(await acting.ask(client), since=self._started_at, champion=champion)
                waited = time.monotonic() - began
                if not found.is_live:
                    if waited > _LIVE_SECONDS:
                        raise StartFailedError(f"The loop did not turn within {waited:.0f} s. Its log: {log}")
                    say("waiting for the loop to turn")
                elif not found.has_champion:
                    if waited > _CHAMPION_SECONDS:
                        self._acting.set()
                        return (
                            f"the loop goes on without version {champion}, which it could not load: see {log}"
                        )
                    say(f"waiting for the loop to load version {champion}")
                elif self._champion_before:
                    self._acting.set()
                    return f"the loop goes on with version {champion}"
                elif not found.undecided or waited > patience:
                    self._acting.set()
                    about = len(self.settings.targets) - len(found.undecided)
                    return f"about {about} of {len(self.settings.targets)} targets"
                else:
                    say("waiting for " + ", ".join(found.undecided))
                await asyncio.sleep(0.25)

    def _is_on_disk(self, version: str) -> bool:
        """Whether the loop can load this version without the registry."""
        kept = Shelf(self.settings.data_dir / "champion").last()
        return kept is not None and kept.named.version == version

    async def _keep(self, spec: ChildSpec) -> None:
        """Start a child and keep it running; returns once it is ready. An earlier attempt's is stopped first."""
        if (earlier := self.children.get(spec.name)) is not None:
            await earlier.stop()
        child = Child(spec, Backoff(random.Random()), self.on_change)  # noqa: S311  # jitter is no secret
        self.children[spec.name] = child
        await child.start()

    async def _do(
        self,
        name: str,
        command: tuple[str, ...],
        on_line: Callable[[str], None] | None = None,
        *,
        niceness: int = 0,
    ) -> None:
        """Run something to its end, known to the run file while it lasts."""

        def on_start(identity: Identity | None) -> None:
            if identity is None:
                self.errands.pop(name, None)
            else:
                self.errands[name] = identity
            self.on_change()

        await Errand(
            name=name,
            command=command,
            environment=self._standing().environment(),
            folder=self.settings.root,
            log=self.settings.log_dir / f"{name}.log",
            on_line=on_line,
            on_start=on_start,
            niceness=niceness,
        ).run()

    def _standing(self) -> Ground:
        assert self._ground is not None, "PostgreSQL comes first"
        return self._ground


def _words_of(line: str) -> str:
    """What a line of the first learning says to people: JSON with `stage` and `detail`, or nothing."""
    try:
        said = json.loads(line)
    except ValueError:
        return ""
    if not isinstance(said, dict):
        return ""
    return str(said.get("detail") or said.get("stage") or "")
