"""Days of targets watched through a real Prometheus, and a real Pushgateway that hears of the runs."""

from datetime import timedelta

import dagster as dg
import httpx
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.prometheus import PROMETHEUS, PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS, ReplicaSizing, Target
from maximus_assets.defs.pushing import rows_read, tell, tell_of_failure, tell_of_success

MIDNIGHT = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = (MIDNIGHT - timedelta(days=1)).date().isoformat()


@pytest.fixture
def watched(servers, monkeypatch):
    """A shop that a Prometheus saw for all of yesterday, beside the simulated one."""
    start = int(MIDNIGHT.timestamp()) - 86_400
    points = [
        f'shop_requests_total{{instance="s"}} {(at - start + 600) * 3} {at}'
        for at in range(start - 600, start + 86_400, 30)
    ]
    server = servers.prometheus(past="\n".join(["# TYPE shop_requests counter", *points, ""]))
    section = PrometheusSection(
        name="shop",
        url=server.url,
        targets={"shop": {"instance": "s"}},
        sensors=(
            PromQLSensor(
                sensor="request_rate_per_second",
                query="sum by ($by) (rate(shop_requests_total{$selector}[$window]))",
                metric="shop_requests_total",
                unit="per_second",
            ),
        ),
    )
    shop = Target(
        name="shop", source="prometheus", demand_sensor="request_rate_per_second", sizing=ReplicaSizing()
    )
    simulated = [target for target in DEFAULT_TARGETS if target.source == "simulated"]
    monkeypatch.setenv("MAXIMUS_TARGETS", TARGETS.dump_json((shop, *simulated)).decode())
    monkeypatch.setenv("MAXIMUS_PROMETHEUS", PROMETHEUS.dump_json((section,)).decode())
    return server


@pytest.mark.prometheus
@pytest.mark.pushgateway
def test_a_day_from_prometheus_is_stored_beside_the_others_and_told_of(
    house, watched, servers, monkeypatch
) -> None:
    result = house.run("telemetry", **{"dagster/partition": YESTERDAY})

    assert result.success
    day = house.store.read("telemetry", YESTERDAY)
    shop = day.filter(day["target"] == "shop")
    assert shop.height == 5760
    assert shop["value"].min() == pytest.approx(3.0, rel=1e-6)
    assert set(day["target"]) == {"shop", "demo-shop"}
    assert rows_read(house.instance, result.run_id) == day.height

    gateway = servers.pushgateway()
    monkeypatch.setenv("MAXIMUS_PUSHGATEWAY_URL", gateway.url)
    said = tell(house.instance, result.dagster_run, is_success=True)
    assert said.skip_message == "the Pushgateway was told of maximus_asset_job"
    text = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    assert f'maximus_job_rows{{instance="",job="maximus_asset_job"}} {day.height}' in text


def test_without_a_gateway_or_with_one_that_is_away_a_tick_only_says_so(house, monkeypatch) -> None:
    result = house.run("telemetry", **{"dagster/partition": YESTERDAY})
    for sensor in (tell_of_success, tell_of_failure):
        assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert "is not set" in tell(house.instance, result.dagster_run, is_success=True).skip_message
    monkeypatch.setenv("MAXIMUS_PUSHGATEWAY_URL", "http://127.0.0.1:9")
    assert "was not told" in tell(house.instance, result.dagster_run, is_success=False).skip_message
