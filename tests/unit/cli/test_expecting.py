"""What the champion is asked with when a source of the past is away."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from maximus_assets.contracts.telemetry import Series
from serving.cli import asking, expecting
from serving.settings import load

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHOP = Series(target="shop", sensor="request_rate_per_second")
TOML = """
[[targets]]
name = "shop"
source = "prometheus"
demand_sensor = "request_rate_per_second"
sizing = { kind = "replicas" }

[[prometheus]]
name = "away"
url = "http://127.0.0.1:9"
targets = { shop = { instance = "s" } }

[[prometheus.sensors]]
sensor = "request_rate_per_second"
query = "sum by ($by) (rate(http_requests_total{$selector}[$window]))"
metric = "http_requests_total"
unit = "per_second"
"""


async def test_what_was_recorded_is_enough_to_ask_with_while_prometheus_is_away(tmp_path, monkeypatch):
    (tmp_path / "maximus.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.setattr(asking, "settings", lambda: load({}, tmp_path))
    points = [
        {"at": (NOW - timedelta(minutes=5 * back)).isoformat(), "value": float(back)} for back in (3, 2, 1)
    ]

    windows, away = await expecting.filled(SHOP, points, NOW)

    assert windows.values(NOW)[0, -3:] == pytest.approx(np.array([3.0, 2.0, 1.0]))
    assert len(away) == 1
    assert "Prometheus away at http://127.0.0.1:9" in away[0]
    assert json.dumps(away)
