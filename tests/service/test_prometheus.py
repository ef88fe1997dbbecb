"""The scrape: parseable, the loop's state in it, sums over workers, the dead forgotten."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.gateway.exposition import forget_dead

pytestmark = pytest.mark.anyio


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_the_loop_is_told_from_its_heartbeat(database, store, serve, clock, beat):
    await store.beat(beat(clock.now() - timedelta(seconds=10), name="a"))
    await store.beat(beat(clock.now() - timedelta(hours=1), name="b", turn_at=None, turn_seconds=None))
    async with serve(database, clock=clock) as served:
        answer = await served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    told = samples(answer.text)
    assert told[("maximus_knowledge_up",)] == 1
    assert told[("maximus_loop_leaders",)] == 1
    assert told[("maximus_loop_up", ("loop", "a"))] == 1
    assert told[("maximus_loop_up", ("loop", "b"))] == 0
    assert told[("maximus_loop_heartbeat_age_seconds", ("loop", "a"))] == 10
    assert told[("maximus_loop_turn_age_seconds", ("loop", "a"))] == 12
    assert told[("maximus_loop_last_turn_seconds", ("loop", "a"))] == 0.0412
    assert told[("maximus_loop_turns_total", ("loop", "a"))] == 1680
    assert told[("maximus_loop_state", ("loop", "a"), ("state", "leading"))] == 1
    assert told[("maximus_loop_state", ("loop", "a"), ("state", "standby"))] == 0
    assert ("maximus_loop_turn_age_seconds", ("loop", "b")) not in told


async def test_requests_are_counted_by_route_never_by_path(database, serve):
    async with serve(database) as served:
        for path in ("/nowhere/1", "/nowhere/2", "/api/v1/governance/decisions/1", "/static/style.css"):
            await served.client.get(path)
        before = samples((await served.client.get("/metrics")).text)
        await served.client.get("/nowhere/3")
        after = samples((await served.client.get("/metrics")).text)
    unmatched = ("maximus_gateway_requests_total", ("route", "unmatched"), ("status", "404"))
    assert after[unmatched] == before[unmatched] + 1
    routes = {dict(key[1:])["route"] for key in after if key[0] == "maximus_gateway_requests_total"}
    assert {"/static", "/api/v1/governance/decisions/{decision_id}", "unmatched"} <= routes
    assert not any("nowhere" in route for route in routes)


async def test_figures_only_the_loop_has_are_not_shown_as_zero(database, serve):
    async with serve(database) as served:
        text = (await served.client.get("/metrics")).text
    assert "maximus_loop_cycle_seconds" not in text
    assert "maximus_monitor_" not in text


def lint(text):
    """What Prometheus' own tool finds to say against a scrape; nothing, if all is well."""
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=30
    )
    return checked.stdout + checked.stderr


@pytest.mark.prometheus
async def test_prometheus_own_tool_finds_nothing_to_say_against_a_scrape(database, store, serve, clock, beat):
    await store.beat(beat(clock.now(), name="a"))
    async with serve(database, clock=clock) as served:
        await served.client.get("/nowhere")
        text = (await served.client.get("/metrics")).text
    assert "maximus_loop_turns_total" in text
    assert lint(text) == ""
    assert "_count" in lint("# HELP a_count x\n# TYPE a_count gauge\na_count 1\n")  # it does look


@pytest.mark.prometheus
def test_prometheus_own_tool_finds_nothing_to_say_against_any_instrument():
    # Of a process of its own: a metric without a value is not shown, and here others have values already.
    show = (
        "import serving.observability as o; from prometheus_client import REGISTRY, generate_latest;"
        "[one.labels(*one._labelnames) for one in vars(o).values() if getattr(one, '_labelnames', ())];"
        "print(generate_latest(REGISTRY).decode())"
    )
    text = subprocess.run(
        [sys.executable, "-c", show], check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert text.count("# TYPE maximus_") > 20
    assert lint(text) == ""


_WORKER = """
import sys
from serving.observability import GATEWAY_REQUESTS, GATEWAY_STREAMS
GATEWAY_REQUESTS.labels(route="/x", status="200").inc(int(sys.argv[1]))
GATEWAY_STREAMS.set(int(sys.argv[1]))
if len(sys.argv) > 2:
    from datetime import UTC, datetime
    from serving.gateway import exposition
    print(exposition.text(None, now=datetime.now(UTC), period_seconds=15).decode())
"""


def test_workers_are_summed_and_what_a_dead_one_had_open_is_not(tmp_path: Path):
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker(*arguments):
        return subprocess.run(
            [sys.executable, "-c", _WORKER, *arguments],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    worker("3")
    told = samples(worker("4", "show"))
    assert told[("maximus_gateway_requests_total", ("route", "/x"), ("status", "200"))] == 7
    assert told[("maximus_gateway_streams_open",)] == 4
    forget_dead(tmp_path)
    assert not list(tmp_path.glob("gauge_live*"))
