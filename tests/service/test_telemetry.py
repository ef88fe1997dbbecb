"""Metrics and forecasts: means on a grid, bounds on what may be asked, forecast against what came."""

from datetime import datetime, timedelta

import pytest

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import Sample

pytestmark = pytest.mark.anyio
METRICS, FORECASTS = "/api/v1/autonomic/metrics", "/api/v1/autonomic/forecasts"
BIN = timedelta(seconds=300)


def shop(at: datetime, value: float) -> Sample:
    return Sample("demo-shop", "request_rate_per_second", at, value)


async def test_metrics_are_the_means_of_steps_and_a_step_without_samples_has_none(
    database, store, serve, clock
):
    now = clock.now()
    await store.record_samples(
        [shop(now - BIN * 3, 10), shop(now - BIN * 3 + BIN / 2, 30), shop(now - BIN, 5), shop(now, 99)]
    )
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(
            METRICS,
            params={
                "target": "demo-shop",
                "sensor": "request_rate_per_second",
                "since": (now - BIN * 3 + timedelta(seconds=7)).isoformat(),
            },
        )
    body = answer.json()
    assert [point["value"] for point in body["points"]] == [20.0, 5.0]
    assert datetime.fromisoformat(body["since"]) == now - BIN * 3, (
        "a first step cut short would have another mean"
    )
    assert datetime.fromisoformat(body["until"]) == now
    assert (body["unit"], body["step_seconds"]) == ("per_second", 300)


async def test_the_products_own_sensors_are_told_though_it_is_no_target(database, store, serve, clock):
    now = clock.now()
    await store.record_samples([Sample("maximus", "database_connections_count", now - BIN, 7)])
    asked = {"target": "maximus", "sensor": "database_connections_count"}
    async with serve(database, clock=clock) as served:
        told = await served.client.get(METRICS, params=asked)
        forecast = await served.client.get(FORECASTS, params={"target": "maximus"})
    assert [point["value"] for point in told.json()["points"]] == [7]
    assert forecast.status_code == 404, "it is never sized, so nothing is forecast"


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({"step": "14"}, "query.step"),
        ({"step": "86401"}, "query.step"),
        ({"step": "15", "since": "2026-02-20T00:00:00Z"}, "query.step"),
        ({"since": "2026-03-01T00:00:00"}, "query.since"),
        ({"since": "2026-03-03T00:00:00Z"}, "query.since"),
        ({"since": "yesterday"}, "query.since"),
        ({"until": "1999-03-03T00:00:00Z"}, "query.until"),
        ({"until": "9999-12-31T23:59:59Z"}, "query.until"),
        ({"sensor": "no_such_sensor"}, "query.sensor"),
        ({"sensor": "'; DROP TABLE"}, "query.sensor"),
        ({"target": "UPPER"}, "query.target"),
    ],
)
async def test_what_cannot_be_asked_is_refused_and_the_input_is_named(database, serve, clock, query, where):
    asked = {"target": "demo-shop", "sensor": "request_rate_per_second"} | query
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(METRICS, params=asked)
    assert answer.status_code == 422
    assert [error["where"] for error in answer.json()["errors"]] == [where]


async def test_the_step_a_refusal_suggests_is_accepted(database, serve, clock):
    asked = {"target": "host", "sensor": "load_1m", "since": "2025-01-01T00:00:00Z", "step": "60"}
    async with serve(database, clock=clock) as served:
        refused = await served.client.get(METRICS, params=asked)
        words = refused.json()["detail"].split()
        suggested = words[words.index("or") - 1]
        accepted = await served.client.get(METRICS, params=asked | {"step": suggested})
    assert (refused.status_code, accepted.status_code) == (422, 200)


async def test_a_target_nobody_watches_is_not_found_and_the_watched_are_named(database, serve, clock):
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(METRICS, params={"target": "x", "sensor": "load_1m"})
    assert (answer.status_code, answer.json()["code"]) == (404, "target_not_found")
    assert "demo-shop, host" in answer.json()["detail"]


def issued(at: datetime, mean: float) -> Forecast:
    """A forecast of an hour, `mean` give or take 10."""
    return Forecast(
        target="demo-shop",
        sensor="request_rate_per_second",
        issued_at=at,
        status="ok",
        method="sarima",
        model_version="3",
        points=tuple(
            ForecastPoint(
                at=at + BIN * step, mean=mean + step, lower=mean + step - 10, upper=mean + step + 10
            )
            for step in range(1, 13)
        ),
    )


async def test_forecasts_are_compared_with_what_came_at_the_lead_asked_for(database, store, serve, clock):
    now = floor_to_step(clock.now(), 300)
    bins = [now - BIN * back for back in range(12, 0, -1)]
    await store.record_samples([shop(at, 105.0 if number < 9 else 200.0) for number, at in enumerate(bins)])
    await store.record_forecasts([issued(at - BIN * 6, 100.0) for at in (*bins, now, now + BIN * 5)])
    async with serve(database, clock=clock) as served:
        body = (
            await served.client.get(FORECASTS, params={"target": "demo-shop", "since": bins[0].isoformat()})
        ).json()
        nearer = (
            await served.client.get(FORECASTS, params={"target": "demo-shop", "lead_steps": "1"})
        ).json()
    assert [row["mean"] for row in body["past"]] == [106.0] * 12
    assert [row["actual"] for row in body["past"]] == [105.0] * 9 + [200.0] * 3
    assert body["quality"] == {
        "compared": 12,
        "inside_ratio": 0.75,
        "mean_absolute_error": pytest.approx((9 * 1 + 3 * 94) / 12),
    }
    assert {row["mean"] for row in nearer["past"]} == {101.0}
    assert datetime.fromisoformat(body["latest"]["issued_at"]) == now - BIN
    assert body["latest"]["model_version"] == "3"
    assert len(body["latest"]["points"]) == 12


async def test_a_forecast_all_of_which_has_passed_is_no_longer_in_force(database, store, serve, clock):
    await store.record_forecasts([issued(clock.now() - BIN * 13, 100.0)])
    async with serve(database, clock=clock) as served:
        body = (await served.client.get(FORECASTS, params={"target": "demo-shop"})).json()
    assert body["latest"] is None
    assert body["quality"] == {"compared": 0, "inside_ratio": None, "mean_absolute_error": None}


async def test_the_bin_that_is_still_filling_is_no_outcome(database, store, serve, clock):
    clock.advance(120)
    await store.record_samples([shop(clock.now() - timedelta(seconds=1), 50.0)])
    await store.record_forecasts([issued(clock.now() - timedelta(seconds=120) - BIN * 6, 100.0)])
    async with serve(database, clock=clock) as served:
        body = (await served.client.get(FORECASTS, params={"target": "demo-shop"})).json()
    assert [point["value"] for point in body["actual"]] == [50.0]
    assert body["past"] == []
