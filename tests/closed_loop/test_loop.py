"""The whole loop on the plant, with a real PostgreSQL and a real registry; only the clock is moved by hand."""

from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest

from maximus_assets.contracts.naming import CHAMPION, FORECASTER
from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.registry.packaging import log_forecaster
from maximus_assets.registry.tracking import Registry
from serving import settings as settings_module
from serving.knowledge.connect import KnowledgeUnavailableError
from serving.knowledge.queries import KnowledgeQueries
from serving.monitor.simulated import SimulatedSource
from serving.wiring import build_loop

pytestmark = pytest.mark.anyio

SHOP = Target(
    name="demo-shop", source="simulated", demand_sensor="request_rate_per_second", sizing=ReplicaSizing()
)


class Amnesiac(SimulatedSource):
    """A service that keeps no past, like most."""

    name = "amnesiac"

    async def history(self, series, start, end):
        return None


class Driver:
    """A loop turned by hand: time moves, the lease is tended, a turn is taken."""

    def __init__(self, urls, folder, clock, registry_uri="http://127.0.0.1:9", sources=None):
        found = settings_module.load(
            {
                "MAXIMUS_DATABASE_URL": urls.app,
                "MAXIMUS_DATABASE_READ_URL": urls.read,
                "MAXIMUS_DATA_DIR": str(folder),
                "MLFLOW_TRACKING_URI": registry_uri,
            },
            folder,
        )
        self.clock = clock
        self.settings = found.model_copy(update={"targets": (SHOP,)})
        self.loop = build_loop(self.settings, clock=clock, sources=sources)
        self.runner = self.loop.runner
        self.champion = self.runner._champion
        # By the server's clock the months of this test have long expired, and it would drop them.
        self.runner._recorder._maintained_on = clock.now().date()

    async def __aenter__(self):
        await self.loop.store.open()
        await self.loop.queries.open()
        return self

    async def __aexit__(self, *_):
        await self.runner._lease.release()
        await self.loop.collector.aclose()
        await self.loop.forecaster.aclose()
        await self.loop.queries.close()
        await self.loop.store.close()

    async def turn(self, count=1, *, seconds=15, with_lease=True):
        """Turns; between two the lease is tended three times, as it would be."""
        for _ in range(count):
            for _ in range(3):
                self.clock.advance(seconds / 3)
                if with_lease:
                    with suppress(KnowledgeUnavailableError):
                        await self.runner._lease.tend()
                        self.runner.progress.has_seen_lease = True
            await self.runner.step()

    def values(self):
        return self.runner._cycle.windows.values(self.clock.now())[0]


def publish(uri, learnt_shop):
    registry = Registry(uri)
    version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
    registry.client.set_registered_model_alias(FORECASTER, CHAMPION, str(version.number))


@pytest.fixture
def driver(database, tmp_path, clock, registry_uri):
    return Driver(database, tmp_path, clock, registry_uri)


@pytest.fixture
async def queries(database):
    async with KnowledgeQueries(database.read) as opened:
        yield opened


async def test_the_loop_sees_expects_decides_and_records(driver, queries, learnt_shop, registry_uri, clock):
    publish(registry_uri, learnt_shop)
    async with driver:
        await driver.champion.refresh()
        started = clock.now()
        await driver.turn(45)
    decisions = await queries.decisions()
    assert sum(record.count for record in decisions) == 44  # every turn but the first look
    assert len(decisions) < 15  # unchanged no-ops are one record
    assert all(record.is_dry_run and record.reason for record in decisions)
    assert {record.model_version for record in decisions} == {"1"}
    assert decisions[0].state["demand_expected"] > 0
    issued = await queries.latest_forecast(
        "demo-shop", SHOP.demand_sensor, since=started - timedelta(hours=1)
    )
    assert len(issued) == 12
    came = await queries.forecasts_and_actuals(
        "demo-shop", SHOP.demand_sensor, since=started, until=clock.now()
    )
    assert came
    assert all(row.lower <= row.mean <= row.upper for row in came)
    (beat,) = await queries.heartbeats()
    assert (beat.state, beat.turns, beat.detail["champion_version"]) == ("leading", 44, "1")
    assert beat.detail["telemetry"] == {
        "is_lost": False,
        "reason": "",
        "blind_targets": 0,
        "frozen_sensors": 0,
        "good_turns": 0,
        # By this test's clock the champion is of another year.
        "own_concerns": ["model_champion_age_seconds is at or beyond its warning threshold"],
    }
    own = await queries.latest_samples("maximus", since=started)
    assert {"database_connections_count", "database_transactions_per_second"} <= set(own)
    assert {"model_forecast_error_ratio", "model_inference_ms", "model_champion_age_seconds"} <= set(own)
    assert 0 < own["model_forecast_error_ratio"][1] < 0.5
    assert own["model_cold_series_ratio"][1] == 0


async def test_without_a_champion_it_decides_reactively_and_says_so(driver, queries):
    async with driver:
        await driver.champion.refresh()
        await driver.turn(3)
    decisions = await queries.decisions()
    assert all("reactive only, for there is no champion" in record.reason for record in decisions)
    assert {record.model_version for record in decisions} == {""}


async def test_a_target_without_a_past_is_cold_and_sized_reactively(
    database, tmp_path, clock, registry_uri, learnt_shop, queries
):
    publish(registry_uri, learnt_shop)
    async with Driver(database, tmp_path, clock, registry_uri, [Amnesiac([SHOP])]) as driver:
        await driver.champion.refresh()
        await driver.turn(3)
    (beat,) = await queries.heartbeats()
    assert beat.detail["targets"]["demo-shop"]["status"] == "cold"
    reasons = [record.reason for record in await queries.decisions()]
    assert all("reactive only, for the " in reason for reason in reasons)
    assert "for the live window is too short or has too many holes" in reasons[0]


async def test_a_champion_is_swapped_under_the_running_loop(driver, queries, learnt_shop, registry_uri):
    publish(registry_uri, learnt_shop)
    async with driver:
        await driver.champion.refresh()
        await driver.turn(4)
        publish(registry_uri, learnt_shop)
        await driver.turn(2)
        assert await driver.champion.refresh()
        await driver.turn(3)
    decisions = await queries.decisions()
    by_version = {
        version: sum(record.count for record in decisions if record.model_version == version)
        for version in ("1", "2")
    }
    assert by_version == {"1": 5, "2": 3}
    assert driver.loop.forecaster.failures == 0


async def test_a_restart_knows_what_was_seen_before(database, tmp_path, clock, queries):
    async with Driver(database, tmp_path, clock, sources=[Amnesiac([SHOP])]) as before:
        await before.turn(50)
        seen = before.values()
        recent = before.runner._cycle.windows.recent_maxima(clock.now())
    async with Driver(database, tmp_path, clock, sources=[Amnesiac([SHOP])]) as after:
        await after.turn(1, seconds=0)
        assert np.count_nonzero(~np.isnan(seen)) == 2
        np.testing.assert_allclose(after.values(), seen)
        np.testing.assert_allclose(after.runner._cycle.windows.recent_maxima(clock.now()), recent)
        await after.turn(1)
        assert after.runner._lease.epoch == 2
    epochs = {record.epoch for record in await queries.decisions()}
    assert epochs == {1, 2}


async def test_two_loops_never_both_decide(database, tmp_path, clock, queries):
    first, second = (Driver(database, tmp_path / name, clock) for name in ("a", "b"))
    async with first, second:
        for _ in range(4):
            await first.turn(1)
            await second.turn(1, seconds=0)
        assert (first.runner.progress.state, second.runner.progress.state) == ("leading", "standby")
        assert second.runner.is_ready()
        await first.runner._lease.release()
        await second.turn(2)
        assert second.runner.progress.state == "leading"
    assert sorted({record.epoch for record in await queries.decisions()}) == [1, 2]


async def test_postgresql_killed_under_the_loop_costs_no_decision(spare_postgres, tmp_path, clock):
    spare_postgres.migrate()
    urls = spare_postgres.urls
    async with Driver(urls, tmp_path, clock) as driver:
        driver.runner._recorder._patience = 1.0
        await driver.turn(4)
        spare_postgres.kill()
        # Within the renew deadline the loop still decides, and what it decides waits on disk.
        await driver.turn(2, seconds=4, with_lease=False)
        assert driver.runner._recorder.depth > 0
        taken = {record.id: record.count for record in driver.runner.memory.last.values()}
        # Past it, it decides nothing.
        await driver.turn(2, with_lease=False)
        assert driver.runner.progress.state == "suspended"
        assert {record.id: record.count for record in driver.runner.memory.last.values()} == taken

        spare_postgres.start()
        await driver.turn(3)
        assert driver.runner.progress.state == "leading"
        assert driver.runner._recorder.depth == 0
        async with KnowledgeQueries(urls.read) as queries:
            decisions = {record.id: record for record in await queries.decisions()}
            seen = await queries.series(
                "demo-shop",
                SHOP.demand_sensor,
                since=clock.now() - timedelta(hours=1),
                until=clock.now(),
                max_points=240,
            )
    assert all(decisions[identity].count >= count for identity, count in taken.items())
    # Three as leader, two on disk, three (or two: the first look is had) under the new lease.
    assert sum(record.count for record in decisions.values()) == 3 + 2 + 3
    # Steps of 4 s within one reading of the plant repeat its value; every reading it made is there.
    assert len(seen) >= 8
