"""The page as it is served, before any script: whole, honest, and safe with whatever words it shows."""

import json
import re
from datetime import timedelta

import pytest

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import Sample
from serving.wiring import build_gateway

pytestmark = pytest.mark.anyio
BIN = timedelta(seconds=300)


async def test_the_page_shows_state_forecast_and_decisions(database, store, serve, clock, beat, decided):
    now = clock.now()
    start = floor_to_step(now, 300)
    await store.beat(beat(now - timedelta(seconds=4)))
    await store.record_samples([Sample("demo-shop", "request_rate_per_second", start - BIN, 118.0)])
    points = tuple(
        ForecastPoint(at=start + BIN * step, mean=120 + step, lower=110, upper=140) for step in range(12)
    )
    await store.record_forecasts(
        [
            Forecast(
                target="demo-shop",
                sensor="request_rate_per_second",
                issued_at=start - BIN,
                status="ok",
                model_version="3",
                points=points,
            )
        ]
    )
    await store.restore_decisions(
        [decided(now, kind="propose", reason="10 replicas are needed."), decided(now - BIN, count=1214)]
    )
    async with serve(database, clock=clock) as served:
        answer = await served.client.get("/")
    text = answer.text
    assert answer.status_code == 200
    assert "The loop is leading." in text
    assert "Dry run: nothing is changed." in text
    assert "Seen so far: 84 five-minute bins, 7 h in all." in text
    assert text.count("set replicas 8 \N{RIGHTWARDS ARROW} 10") == 2, "on the card and in the list"
    assert "118\u202f/s" in text
    assert "131\u202f/s" in text
    assert "10 replicas are needed." in text
    assert "1\u202f214" in text
    assert "8 &rarr; <strong>10</strong>" in text
    figures = [
        json.loads(found) for found in re.findall(r'<script type="application/json">(.*?)</script>', text)
    ]
    assert figures[0]["actual"] == [[int((start - BIN).timestamp()), 118.0]]
    assert [row[2] for row in figures[0]["ahead"]] == [120.0 + step for step in range(12)]


async def test_words_from_outside_cannot_become_markup(database, store, serve, clock, decided):
    bad = "</script><img src=x onerror=alert(1)>'\"&"
    await store.restore_decisions([decided(clock.now(), target="host", reason=bad)])
    async with serve(database, clock=clock) as served:
        answer = await served.client.get("/")
    assert "<img src=x" not in answer.text
    assert "&lt;img src=x onerror=alert(1)&gt;" in answer.text


async def test_nothing_comes_from_elsewhere_and_no_script_or_style_is_inline(database, serve):
    async with serve(database) as served:
        for path in ("/", "/docs"):
            answer = await served.client.get(path)
            assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
            assert not re.findall(r"<script(?![^>]*(?:src=|application/json))", answer.text)
            assert not re.findall(r"\sstyle=|\son[a-z]+=|<style", answer.text)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            for link in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
                assert (await served.client.get(link)).status_code == 200


async def test_a_loop_gone_quiet_is_called_quiet(database, store, serve, clock, beat):
    await store.beat(beat(clock.now() - timedelta(minutes=7)))
    async with serve(database, clock=clock) as served:
        text = (await served.client.get("/")).text
    assert "The loop has gone quiet." in text
    assert "7 min ago" in text
    assert "The loop is leading" not in text


async def test_an_empty_house_says_what_it_waits_for(database, serve):
    async with serve(database) as served:
        text = (await served.client.get("/")).text
    assert "No loop has run yet." in text
    assert "No decision yet." in text
    assert "Waiting for the loop." in text


async def test_older_decisions_are_a_link_away_with_the_filter_kept(database, store, serve, clock, decided):
    await store.restore_decisions(
        [decided(clock.now() - timedelta(minutes=n), target="host", reason=f"number {n}.") for n in range(40)]
    )
    async with serve(database, clock=clock) as served:
        first = (await served.client.get("/", params={"target": "host"})).text
        [link] = re.findall(r'<a rel="next" href="([^"#]+)', first)
        second = (await served.client.get(link.replace("&amp;", "&"))).text
    assert "Number 29." in first
    assert "Number 30." not in first
    assert "Number 29." not in second
    assert "Number 39." in second
    assert "target=host" in link
    assert "Newest" in second


async def test_the_reference_names_every_address_and_every_problem(database, serve):
    async with serve(database) as served:
        text = (await served.client.get("/docs")).text
        document = (await served.client.get("/openapi.json")).json()
    for path in document["paths"]:
        assert path in text
    assert 'id="problem-knowledge_unavailable"' in text


async def test_a_fleet_is_drawn_in_part_and_the_rest_is_named(database, store, serve, settings):
    fleet = [
        {
            "name": f"service-{number:03d}",
            "source": "simulated",
            "demand_sensor": "request_rate_per_second",
            "sizing": {"kind": "replicas"},
        }
        for number in range(40)
    ]
    gateway = build_gateway(settings(database, targets=fleet))
    async with serve(database, gateway=gateway) as served:
        text = (await served.client.get("/")).text
        one = (await served.client.get("/", params={"target": "service-039"})).text
    assert text.count('<article class="card"') == 12
    assert "28 more targets are watched" in text
    assert one.count('<article class="card"') == 1
    assert 'id="target-service-039"' in one
    assert "more targets are" not in one


async def test_a_proposal_that_still_stands_shows_what_it_would_change(
    database, store, serve, clock, beat, decided
):
    record = decided(clock.now(), reason="It still stands.")
    state = {**record.state, "standing_change": "set_replicas 12 -> 9"}
    await store.beat(beat(clock.now()))
    await store.restore_decisions([record.model_copy(update={"state": state})])
    async with serve(database, clock=clock) as served:
        text = (await served.client.get("/")).text
    assert (text.count("change stands</span>"), text.count("set replicas 12 \N{RIGHTWARDS ARROW} 9")) == (
        2,
        2,
    )
