"""A loop whose every port is a small fake with a crash point before and after each thing it does."""

from dataclasses import dataclass, field

import pytest

from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.spool import Spool
from serving.knowledge.store import StaleEpochError
from serving.loop.cycle import Cycle
from serving.loop.lease import LeaseTiming
from serving.loop.recorder import Recorder
from serving.loop.runner import Runner
from serving.loop.warmup import Remembered, last_telemetry
from serving.monitor.source import Collected
from serving.predictors.inference import Forecasts

TARGETS = tuple(
    Target(
        name=name,
        source="simulated",
        demand_sensor="request_rate_per_second",
        sizing=ReplicaSizing(minimum=2, maximum=60),
    )
    for name in ("busy", "calm")
)
SENSORS = ("request_rate_per_second", "ready_replicas_count")


class CrashError(BaseException):
    """The process dies here."""


@dataclass
class Points:
    """Counts the places where a process can die, and lets it die at one of them."""

    crash_at: int = -1
    passed: int = 0

    async def __call__(self):
        here, self.passed = self.passed, self.passed + 1
        if here == self.crash_at:
            raise CrashError


@dataclass
class Store:
    """The knowledge base as the recorder sees it: durable, idempotent, fenced, sometimes away."""

    points: Points
    epoch: int = 1
    is_away: bool = False
    decisions: dict = field(default_factory=dict)
    turns: set = field(default_factory=set)
    samples: set = field(default_factory=set)
    forecasts: list = field(default_factory=list)
    beats: list = field(default_factory=list)
    error: Exception | None = None

    async def _reach(self):
        await self.points()
        if self.is_away:
            raise KnowledgeUnavailableError("away")
        if self.error is not None:
            raise self.error

    async def record_decisions(self, records, *, epoch):
        await self._reach()
        if epoch != self.epoch:
            raise StaleEpochError("over")
        self._keep(records)
        await self.points()

    async def restore_decisions(self, records):
        await self._reach()
        self._keep(records)
        await self.points()

    def _keep(self, records):
        for record in records:
            known = self.decisions.get(record.id)
            if known is None or record.count > known.count:
                self.decisions[record.id] = record
            self.turns.add((record.target, record.last_at))

    async def record_samples(self, samples):
        await self._reach()
        self.samples.update(sample[:3] for sample in samples)
        await self.points()

    async def record_forecasts(self, forecasts):
        await self._reach()
        self.forecasts.extend(forecasts)

    async def beat(self, heartbeat):
        await self._reach()
        self.beats.append(heartbeat)

    async def ensure_partitions(self, until):
        await self._reach()
        return 0

    async def drop_expired(self, keep_days=90):
        await self._reach()
        return []


class Source:
    name = "fake"

    @property
    def sensors(self):
        return {target.name: SENSORS for target in TARGETS}


@dataclass
class Collector:
    """Two services: one whose load a test sets, one that fits."""

    points: Points
    rates: dict
    sources: tuple = (Source(),)
    error: Exception | None = None

    async def collect(self, now):
        await self.points()
        if self.error is not None:
            raise self.error
        samples = [
            Sample(target, "request_rate_per_second", now, rate) for target, rate in self.rates.items()
        ]
        samples += [Sample(target, "ready_replicas_count", now, 12.0) for target in self.rates]
        return Collected(samples=samples, failures={})


@dataclass
class Forecaster:
    points: Points

    async def forecasts(self, series, windows, end_at):
        await self.points()
        return Forecasts(
            {
                one.target: Forecast(
                    target=one.target, sensor=one.sensor, issued_at=end_at, status="no_champion"
                )
                for one in series
            },
            is_new=False,
        )

    def proceed(self):
        pass


@dataclass
class Lease:
    epoch: int = 1
    holder: str = "me"
    leads: bool = True
    timing: LeaseTiming = field(default_factory=LeaseTiming)
    releases: int = 0
    error: Exception | None = None

    def is_leading(self):
        return self.leads

    async def tend(self):
        if self.error is not None:
            raise self.error
        return self.leads

    async def release(self):
        self.releases += 1
        self.leads = False


class Champion:
    changes = 0

    async def refresh(self):
        if self.changes:
            self.changes -= 1
            return True
        return False

    def version(self):
        return "7"

    def status(self):
        return "version 7 is champion"


class House:
    """What outlives a process (store, spool, clock), and the process that runs in it now."""

    def __init__(self, clock, folder, points=None):
        self.clock = clock
        self.folder = folder
        self.points = points or Points()
        self.store = Store(self.points)
        self.rates = {"busy": 400.0, "calm": 178.0}
        self.exits = []
        self.warm_ups = 0
        self.remembered = ()
        self.knows_the_past = True
        self.start()

    def start(self, epoch=1):
        """A new process: nothing is left of the memory of the one before."""
        self.store.epoch = epoch
        self.collector = Collector(self.points, self.rates)
        self.lease = Lease(epoch=epoch)
        self.champion = Champion()
        self.spool = Spool(self.folder)
        self.cycle = Cycle(
            TARGETS, collector=self.collector, forecaster=Forecaster(self.points), period_seconds=15
        )
        self.runner = Runner(
            name="loop:test",
            cycle=self.cycle,
            recorder=Recorder(self.store, self.spool),
            lease=self.lease,
            champion=self.champion,
            clock=self.clock,
            period_seconds=15,
            warm_up=self._warm_up,
            exit_process=self.exits.append,
        )
        self.runner.progress.has_seen_lease = True

    async def _warm_up(self, now, progressed):
        await self.points()
        self.warm_ups += 1
        progressed()
        return Remembered(self.remembered, self.knows_the_past, last_telemetry(self.store.beats[::-1]))

    async def turn(self, count=1):
        """Turns, one period apart."""
        pauses = []
        for _ in range(count):
            self.clock.advance(15)
            pauses.append(await self.runner.step())
        return pauses

    def kept(self):
        """Every decision that is safe: in the store, or on disk."""
        waiting = list(self.spool.waiting_decisions())
        known = dict(self.store.decisions)
        for record in waiting:
            if record.id not in known or record.count > known[record.id].count:
                known[record.id] = record
        return known


@pytest.fixture
def house(clock, tmp_path):
    return House(clock, tmp_path / "spool")


@pytest.fixture
def make_house(clock, tmp_path_factory):
    """Makes a house whose process dies at the given point."""

    def make(crash_at):
        return House(clock, tmp_path_factory.mktemp("house") / "spool", Points(crash_at))

    return make


@pytest.fixture
def crash():
    return CrashError
