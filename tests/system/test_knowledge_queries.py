"""Reading against a real server: pages that neither skip nor repeat, bins that agree with the grid, downsampling."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import psycopg
import pytest

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import Sample, Series
from serving.knowledge import queries as statements
from serving.knowledge.queries import KnowledgeQueries
from serving.knowledge.store import KnowledgeStore

NOW = floor_to_step(datetime.now(UTC), 300)
STEP = timedelta(seconds=300)
WEB = Series(target="web", sensor="request_rate_per_second")
pytestmark = pytest.mark.anyio


def decision(target: str, first_at: datetime, **fields) -> DecisionRecord:
    values = {
        "id": uuid4(),
        "last_at": first_at,
        "kind": "noop",
        "reason": "fits",
        "confidence": 1.0,
    } | fields
    return DecisionRecord(target=target, first_at=first_at, epoch=1, is_dry_run=True, **values)


@pytest.fixture
async def store(database):
    async with KnowledgeStore(database.app) as opened:
        yield opened


@pytest.fixture
async def queries(database):
    async with KnowledgeQueries(database.read) as opened:
        yield opened


async def test_pages_neither_skip_nor_repeat_a_decision_even_at_one_instant(store, queries):
    records = [decision(f"t{i % 7}", NOW - timedelta(days=20 * (i // 10))) for i in range(47)]
    await store.restore_decisions(records)
    seen, after = [], None
    while page := await queries.decisions(limit=5, after=after):
        seen += page
        after = (page[-1].first_at, page[-1].id)
        # What arrives meanwhile is newer, and belongs to no later page.
        await store.restore_decisions([decision("late", NOW + timedelta(seconds=1))])
    assert [record.id for record in seen] == [
        record.id for record in sorted(records, key=lambda r: (r.first_at, r.id), reverse=True)
    ]


async def test_filters_leave_what_was_asked_for(store, queries):
    lasting = decision("web", NOW - timedelta(hours=5), last_at=NOW - timedelta(minutes=1), count=9)
    over = decision("web", NOW - timedelta(hours=4))
    elsewhere = decision("db", NOW - timedelta(minutes=30))
    await store.restore_decisions([lasting, over, elsewhere])

    async def found(**filters):
        return [record.id for record in await queries.decisions(**filters)]

    assert await found(since=NOW - timedelta(hours=1)) == [elsewhere.id, lasting.id]
    assert await found(until=NOW - timedelta(hours=4)) == [lasting.id]
    assert await found(target="web") == [over.id, lasting.id]
    assert await found(target="web' OR '1'='1") == []
    assert await found(kind="propose") == []
    assert await found(limit=1) == [elsewhere.id]


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_page_has_a_bound(queries, limit):
    with pytest.raises(ValueError, match="1 to 1000"):
        await queries.decisions(limit=limit)


async def test_the_latest_decision_of_each_target(store, queries):
    old, new, only = (decision("a", NOW - STEP), decision("a", NOW), decision("b", NOW - 99 * STEP))
    await store.restore_decisions([new, old, only, decision("c", NOW)])
    assert await queries.latest_decisions(["a", "b", "none", "a"]) == {"a": new, "b": only}


async def test_bins_are_those_of_the_grid(store, queries):
    instants = [NOW - timedelta(seconds=15 * i, microseconds=1) for i in range(100)] + [
        NOW - STEP,
        NOW - 5 * STEP,
    ]
    samples = [Sample(WEB.target, WEB.sensor, at, float(i)) for i, at in enumerate(instants)]
    await store.record_samples(samples)
    found = await queries.recent_bins(
        [WEB, Series(target="none", sensor="x")], since=NOW - 9 * STEP, until=NOW
    )
    expected: dict[datetime, list[float]] = {}
    for sample in samples:
        expected.setdefault(floor_to_step(sample.observed_at, 300), []).append(sample.value)
    assert [(b.at, b.mean, b.samples) for b in found[WEB]] == [
        (at, pytest.approx(sum(values) / len(values)), len(values)) for at, values in sorted(expected.items())
    ]
    assert found[Series(target="none", sensor="x")] == []


async def test_an_interval_holds_its_start_and_not_its_end(store, queries):
    await store.record_samples([Sample(WEB.target, WEB.sensor, at, 1.0) for at in (NOW - STEP, NOW)])
    found = await queries.recent_bins([WEB], since=NOW - STEP, until=NOW)
    assert [b.at for b in found[WEB]] == [NOW - STEP]


async def test_many_series_are_answered_at_once(store, queries):
    many = [Series(target=f"t{i}", sensor="cpu_used_cores") for i in range(300)]
    await store.record_samples(
        [Sample(s.target, s.sensor, NOW - STEP * k, float(k)) for s in many for k in (1, 2)]
    )
    found = await queries.recent_bins(many, since=NOW - 4 * STEP, until=NOW)
    assert {len(bins) for bins in found.values()} == {2}


async def test_a_picture_of_a_series_is_bounded_and_keeps_its_extremes(store, queries):
    since = NOW - timedelta(hours=6)
    values = [float(i % 97) for i in range(1440)]
    await store.record_samples(
        [Sample(WEB.target, WEB.sensor, since + timedelta(seconds=15 * i), v) for i, v in enumerate(values)]
    )
    points = await queries.series(WEB.target, WEB.sensor, since=since, until=NOW, max_points=100)
    assert 50 <= len(points) <= 100
    assert (min(p.minimum for p in points), max(p.maximum for p in points)) == (0.0, 96.0)
    assert all(a.at < b.at for a, b in pairwise(points))
    assert points[0].at == since


async def test_the_latest_sample_of_each_sensor(store, queries):
    await store.record_samples(
        [Sample("web", s, NOW - STEP * k, float(k)) for s in ("cpu", "memory") for k in (1, 2)]
        + [Sample("web", "gone", NOW - 50 * STEP, 1.0)]
    )
    assert await queries.latest_samples("web", since=NOW - 9 * STEP) == {
        "cpu": (NOW - STEP, 1.0),
        "memory": (NOW - STEP, 1.0),
    }


def forecast(issued_at: datetime, mean: float) -> Forecast:
    points = tuple(
        ForecastPoint(at=issued_at + STEP * k, mean=mean + k, lower=mean, upper=mean + 9) for k in (1, 2, 3)
    )
    return Forecast(
        target=WEB.target,
        sensor=WEB.sensor,
        issued_at=issued_at,
        status="ok",
        model_version="4",
        points=points,
    )


async def test_the_latest_forecast_has_its_points_in_order(store, queries):
    await store.record_forecasts([forecast(NOW - 2 * STEP, 10), forecast(NOW - STEP, 20)])
    found = await queries.latest_forecast(WEB.target, WEB.sensor, since=NOW - 9 * STEP)
    assert [(row.issued_at, row.at, row.mean) for row in found] == [
        (NOW - STEP, NOW - STEP + STEP * k, 20.0 + k) for k in (1, 2, 3)
    ]
    assert await queries.latest_forecast(WEB.target, WEB.sensor, since=NOW) == []


async def test_what_was_expected_is_set_beside_what_came(store, queries):
    await store.record_forecasts([forecast(NOW - k * STEP, 10.0 * k) for k in (1, 2, 3)])
    await store.record_samples(
        [Sample(WEB.target, WEB.sensor, NOW - STEP + timedelta(seconds=15 * i), float(i)) for i in range(20)]
    )
    one = await queries.forecasts_and_actuals(WEB.target, WEB.sensor, since=NOW - 3 * STEP, until=NOW + STEP)
    assert [(row.at, row.mean, row.actual) for row in one] == [
        (NOW - 2 * STEP, 31.0, None),
        (NOW - STEP, 21.0, 9.5),
        (NOW, 11.0, None),
    ]
    two = await queries.forecasts_and_actuals(
        WEB.target, WEB.sensor, since=NOW - 3 * STEP, until=NOW + STEP, lead_steps=2
    )
    assert [(row.at, row.mean) for row in two] == [(NOW - STEP, 32.0), (NOW, 22.0)]


def plan_of(database, statement, parameters):
    with psycopg.connect(database.read) as connection:
        return "\n".join(row[0] for row in connection.execute("EXPLAIN " + statement, parameters))


async def test_what_the_page_asks_costs_the_same_after_months_of_history(database):
    series = {"target": WEB.target, "sensor": WEB.sensor}
    latest = plan_of(database, statements._LATEST_FORECAST, {**series, "since": NOW - timedelta(days=1)})
    assert "SubPlan" not in latest, "asked once, not once for each point ever forecast"
    assert "InitPlan" in latest
    compared = plan_of(
        database,
        statements._FORECASTS_AND_ACTUALS,
        {**series, "since": NOW - timedelta(days=1), "until": NOW, "lead": STEP, "width": STEP},
    )
    assert "SubPlan" not in compared, "one pass over the samples, not one for each bin"
    filters, parameters = statements._filters(None, None, NOW - timedelta(minutes=5), None, None)
    since = plan_of(
        database, f"SELECT * FROM knowledge.decisions WHERE {' AND '.join(filters)}", tuple(parameters)
    )
    old = (NOW - timedelta(days=62)).strftime("decisions_%Y_%m")
    assert old in plan_of(database, "SELECT * FROM knowledge.decisions", ())
    assert old not in since, "the months before are not looked at"
