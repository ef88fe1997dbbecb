"""The wheel turned by a change of season: drift, retrain, shadow, promotion, hot swap, and nobody typed anything.

A real PostgreSQL, a real registry, the real graph's jobs; only the clock is moved by hand, and between the two halves the
machine sleeps for three days, as a laptop does.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.naming import (
    CHAMPION,
    FORECASTER,
    PREVIOUS,
    TAG_DRIFTED_AT,
    TAG_DRIFTED_WHY,
    TAG_PROMOTED_AT,
    TAG_RECIPE,
)
from maximus_assets.contracts.target import TARGETS, ReplicaSizing, Target
from maximus_assets.contracts.telemetry import GRID_SECONDS
from maximus_assets.definitions import definitions
from maximus_assets.defs import forecaster
from maximus_assets.defs.drift import look_for_drift
from maximus_assets.defs.frames import FramesStore
from maximus_assets.plant.scenarios import SeasonChange
from maximus_assets.plant.world import Plant
from maximus_assets.registry.packaging import log_forecaster
from maximus_assets.registry.promotion import last_evidence
from maximus_assets.registry.tracking import Registry
from serving import settings as settings_module
from serving.knowledge.queries import KnowledgeQueries
from serving.monitor.simulated import SimulatedSource
from serving.wiring import build_loop

pytestmark = pytest.mark.anyio

SHOP = Target(
    name="demo-shop", source="simulated", demand_sensor="request_rate_per_second", sizing=ReplicaSizing()
)
MONDAY = datetime(2026, 2, 16, tzinfo=UTC)
WAKES = datetime(2026, 2, 20, 1, tzinfo=UTC)
CHANGE = SeasonChange(MONDAY + timedelta(hours=1), later_hours=-6.0)


class World:
    """The product without its processes: a loop, the graph, and a clock."""

    def __init__(self, urls, folder, clock, registry_uri, change, monkeypatch):
        for name, value in {
            "MAXIMUS_DATA_DIR": str(folder / "data"),
            "MAXIMUS_TARGETS": TARGETS.dump_json((SHOP,)).decode(),
            "MAXIMUS_DATABASE_READ_URL": urls.read,
            "MLFLOW_TRACKING_URI": registry_uri,
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(forecaster, "SystemClock", lambda: clock)
        found = settings_module.load(
            {
                "MAXIMUS_DATABASE_URL": urls.app,
                "MAXIMUS_DATABASE_READ_URL": urls.read,
                "MAXIMUS_DATA_DIR": str(folder / "data"),
                "MLFLOW_TRACKING_URI": registry_uri,
            },
            folder,
        )
        self.clock = clock
        self.plant = Plant(SHOP.seed, season_change=change)
        source = SimulatedSource([SHOP], plants={SHOP.name: self.plant})
        self.loop = build_loop(found.model_copy(update={"targets": (SHOP,)}), clock=clock, sources=[source])
        self.runner = self.loop.runner
        self.registry = Registry(registry_uri)
        self.frames = FramesStore(folder / "data" / "frames")
        self.graph = definitions()
        self.instance = dg.DagsterInstance.ephemeral()
        self.asked = []

    async def turn(self, count):
        """Turns a bin apart; what follows the registry and what is in shadow runs between them."""
        for _ in range(count):
            self.clock.advance(GRID_SECONDS)
            await self.runner._lease.tend()
            self.runner.progress.has_seen_lease = True
            # By the server's clock these months have long expired, and it would drop them.
            self.runner._recorder._maintained_on = self.clock.now().date()
            await self.runner.step()
            # A thread ends it, so there is nothing to wait for but its word.
            while (running := self.runner._shadow.shadow._round) is not None and not running.is_over:  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    async def follow(self):
        """What the loop does between turns: look at the registry."""
        changed = await self.runner._champion.refresh()
        await self.runner._shadow.refresh()
        return changed

    def run(self, job, **request):
        return self.graph.resolve_job_def(job).execute_in_process(
            instance=self.instance, raise_on_error=False, **request
        )

    async def settle(self):
        """The hour's settlement."""
        result = await asyncio.to_thread(self.run, "settle_champion")
        assert result.success
        return {check.check_name: check.passed for check in result.get_asset_check_evaluations()}

    async def look_for_drift(self):
        """The sensor's tick: what it asks for is done; a night's telemetry has been read meanwhile."""
        found = look_for_drift(self.registry, self.clock)
        if isinstance(found, dg.SkipReason):
            return None
        (request,) = found.run_requests
        if request.run_key not in self.asked:
            self.asked.append(request.run_key)
            self.store_days()
            await asyncio.to_thread(
                self.run, "retrain", asset_selection=request.asset_selection, tags=request.tags
            )
        return request

    def store_days(self):
        """What the nights have read: whole days up to yesterday."""
        today = self.clock.now().replace(hour=0, minute=0)
        stored = self.frames.days("telemetry")
        day = today - timedelta(days=14)
        while day < today:
            if day.date() not in stored:
                frame = self.plant.samples(SHOP.name, day, day + timedelta(days=1), GRID_SECONDS)
                wanted = frame.filter(pl.col("sensor") == SHOP.demand_sensor)
                self.frames.write("telemetry", day.date().isoformat(), wanted, version=str(day))
            day += timedelta(days=1)


@pytest.fixture
async def make_world(database, tmp_path, clock, registry_uri, learnt_shop, monkeypatch):
    """Makes a world with a champion learnt of the days before, and its loop."""
    clock.jump((MONDAY - clock.now()).total_seconds())
    made = []

    async def make(change):
        world = World(database, tmp_path, clock, registry_uri, change, monkeypatch)
        made.append(world)
        version = log_forecaster(world.registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
        world.registry.tag(version, {TAG_PROMOTED_AT: MONDAY.isoformat()})
        world.registry.client.set_registered_model_alias(FORECASTER, CHAMPION, str(version.number))
        await world.loop.store.open()
        await world.loop.queries.open()
        await world.follow()
        return world

    yield make
    for world in made:
        await world.runner._lease.release()
        await world.loop.collector.aclose()
        await world.loop.forecaster.aclose()
        await world.loop.queries.close()
        await world.loop.store.close()
        world.instance.dispose()


async def through_the_first_day(world):
    """The loop turns and every third hour is settled, until something is asked for or half a day is over."""
    for _ in range(4):
        await world.turn(36)
        await world.settle()
        if (request := await world.look_for_drift()) is not None:
            return request
    return None


async def sleep_until_friday(world):
    """The machine sleeps; its clock has moved on when it wakes."""
    world.clock.jump((WAKES - world.clock.now()).total_seconds())


async def test_a_change_of_season_brings_a_new_champion_and_nobody_typed_anything(
    make_world, database, clock
):
    world = await make_world(CHANGE)

    request = await through_the_first_day(world)

    champion = world.registry.named(FORECASTER, CHAMPION)
    assert request is not None
    assert champion.number == 1
    assert "demo-shop/request_rate_per_second" in champion.tags[TAG_DRIFTED_WHY]
    seen_at = datetime.fromisoformat(champion.tags[TAG_DRIFTED_AT])
    assert timedelta(0) < seen_at - CHANGE.at <= timedelta(hours=12)

    await sleep_until_friday(world)
    await world.look_for_drift()
    aliases = world.registry.aliases(FORECASTER)
    assert aliases[CHAMPION] == 1
    assert aliases["challenger-drift"] == max(aliases.values())  # learnt of the new season alone
    successor = world.registry.version(FORECASTER, aliases["challenger-drift"])
    assert successor.tags[TAG_RECIPE] == "drift"

    swapped_at = None
    for _ in range(25):
        await world.follow()
        await world.turn(12)
        await world.settle()
        if world.registry.aliases(FORECASTER)[CHAMPION] == successor.number:
            assert await world.follow()
            swapped_at = clock.now()
            break
    assert swapped_at is not None
    assert swapped_at - WAKES <= timedelta(hours=24)
    await world.turn(2)

    aliases = world.registry.aliases(FORECASTER)
    assert (aliases[CHAMPION], aliases[PREVIOUS]) == (successor.number, 1)
    evidence = last_evidence(world.registry.named(FORECASTER, CHAMPION))
    assert evidence.passed
    assert evidence.measured["hours"] >= 8
    figures = evidence.measured
    # The champion followed the change from hour to hour, so its errors are not much larger; its intervals no longer hold.
    assert max(figures["error_ratio"], figures["decision_loss_ratio"]) <= 1.05
    assert figures["champion_coverage_ratio"] < 0.8 <= figures["coverage_ratio"]
    async with KnowledgeQueries(database.read) as queries:
        latest = (await queries.decisions(limit=1))[0]
    assert latest.model_version == str(successor.number)
    assert latest.last_at == clock.now()
    assert world.loop.forecaster.failures == 0


async def test_an_ordinary_week_triggers_nothing(make_world):
    world = await make_world(None)

    assert await through_the_first_day(world) is None
    await sleep_until_friday(world)
    for _ in range(3):
        await world.turn(36)
        found = await world.settle()
        assert all(found.values()), found
        assert await world.look_for_drift() is None

    assert world.registry.aliases(FORECASTER)[CHAMPION] == 1
    assert TAG_DRIFTED_AT not in world.registry.named(FORECASTER, CHAMPION).tags
