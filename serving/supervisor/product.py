"""The product on one machine: its children, and the stages that bring them up.

Everything that can run side by side does: a start is bounded by imports on two cores, not by order. Only three things
wait: whatever speaks to PostgreSQL for PostgreSQL, the loop and the gateway for the tables of the knowledge base, and
the first learning for MLflow. The same stages run at the first start and at every later one; what there is nothing
to do for says so and ends at once.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from maximus_assets.contracts.naming import CHAMPION, FORECASTER
from serving.knowledge.migrate import migrate
from serving.settings import Settings
from serving.supervisor import children, external, storage
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

_FIRST_DECISIONS_SECONDS = 90.0
_FIRST_RUN = (sys.executable, "-m", "maximus_assets.defs.first_run")


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
            Stage("MLflow", self._mlflow, ("PostgreSQL",)),
            Stage("Control loop", self._loop, ("Knowledge base", "Valkey")),
            # Needs nothing of the loop; but on two cores, importing beside it and MLflow would make all three wait.
            Stage("Gateway", self._gateway, ("Control loop",)),
            Stage("First learning", self._learning, ("Knowledge base", "MLflow"), is_essential=False),
            Stage("First decisions", self._decisions, ("Control loop", "Gateway", "First learning")),
            # Pages to look at and work for later: nobody waits for them.
            Stage("Dagster", self._dagster, ("PostgreSQL",), is_essential=False, is_awaited=False),
            Stage("Learning check", self._check, ("First decisions",), is_essential=False, is_awaited=False),
            # Not beside that: its automation would find the same work to do and begin it too.
            Stage(
                "Dagster daemon",
                self._daemon,
                ("Dagster", "Learning check"),
                is_essential=False,
                is_awaited=False,
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
            raise Skipped("the server of MAXIMUS_REDIS_URL")
        await self._keep(children.valkey(self.settings, self.shell))
        return "embedded"

    async def _knowledge(self, _: Say) -> str:
        applied = await asyncio.to_thread(migrate, self._standing().urls.owner)
        return f"{len(applied)} migrations applied" if applied else "up to date"

    async def _mlflow(self, say: Say) -> str:
        ground = self._standing()
        if await asyncio.to_thread(storage.is_outdated, "mlflow", ground.urls.mlflow):
            say("migrating its tables")
            await self._do(
                "mlflow-migrate", (children.program("mlflow"), "db", "upgrade", ground.urls.mlflow)
            )
        elif not self._champion_before:
            say("making its tables")
        await self._keep(children.mlflow(ground))
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
        """Wait until the loop works with the champion and there is a decision about every target."""
        address = self.children[children.GATEWAY].spec.address
        deadline = time.monotonic() + _FIRST_DECISIONS_SECONDS
        names = {target.name for target in self.settings.targets}
        wanted = await asyncio.to_thread(storage.champion, self._standing().urls.mlflow, FORECASTER, CHAMPION)
        # At a restart the newest decisions there are will do: a new one is up to a period away.
        since = 0.0 if self._champion_before else self._started_at
        is_loaded = False
        async with httpx.AsyncClient(base_url=address, timeout=5.0) as client:
            while True:
                health = await _health(client)
                if not is_loaded and health.get("champion_version") == wanted:
                    is_loaded = True
                    if wanted and not self._champion_before:
                        since = (
                            time.time()
                        )  # the first decisions worth showing are those that know the forecast
                missing = names - _decided(health, since)
                if is_loaded and not missing:
                    self._acting.set()
                    return f"{len(names)} targets"
                waiting = sorted(missing) if is_loaded else [f"the loop to load version {wanted}"]
                if time.monotonic() > deadline:
                    raise StartFailedError(
                        f"waited {_FIRST_DECISIONS_SECONDS:.0f} s for {', '.join(waiting)}. "
                        f"Its log: {self.settings.log_dir / 'loop.log'}"
                    )
                say("waiting for " + ", ".join(waiting))
                await asyncio.sleep(0.25)

    async def _keep(self, spec: ChildSpec) -> None:
        """Start a child and keep it running; returns once it is ready."""
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


async def _health(client: httpx.AsyncClient) -> dict[str, Any]:
    """What the gateway says of the loop; nothing while it cannot say."""
    try:
        answer = await client.get("/api/v1/autonomic/health")
        health = answer.json()
    except (httpx.HTTPError, ValueError):
        return {}
    return health if isinstance(health, dict) else {}


def _decided(health: Mapping[str, Any], since: float) -> set[str]:
    """The targets the loop has decided about since then."""
    found = {target["target"]: target.get("latest_decision") for target in health.get("targets", [])}
    return {
        name
        for name, decision in found.items()
        if decision and datetime.fromisoformat(decision["last_at"]).timestamp() >= since
    }
