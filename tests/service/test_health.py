"""What the health route says of a loop that lives, went quiet, never ran, or cannot be asked about."""

from datetime import timedelta

import pytest

pytestmark = pytest.mark.anyio
HEALTH = "/api/v1/autonomic/health"


async def test_a_leading_loop_is_live_and_every_target_is_told(database, store, serve, clock, beat, decided):
    await store.beat(beat(clock.now() - timedelta(seconds=10)))
    await store.restore_decisions(
        [decided(clock.now() - timedelta(minutes=2), kind="propose", reason="More.")]
    )
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(HEALTH)
    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["loop"]["state"], body["loop"]["beat_age_seconds"]) == (
        "live",
        "leading",
        10.0,
    )
    assert (body["is_dry_run"], body["champion_version"], body["knowledge_is_reachable"]) == (True, "3", True)
    host, shop = body["targets"]
    assert (host["target"], host["forecast"], host["bins"]) == ("host", "cold", 84)
    assert (shop["target"], shop["forecast"], shop["latest_decision"]["reason"]) == (
        "demo-shop",
        "ok",
        "More.",
    )


@pytest.mark.parametrize(("age", "status", "state"), [(45, 200, "live"), (46, 503, "stale")])
async def test_a_heartbeat_older_than_three_periods_is_stale(
    database, store, serve, clock, beat, age, status, state
):
    await store.beat(beat(clock.now() - timedelta(seconds=age)))
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (status, state)
    assert answer.json()["loop"]["state"] == "leading"
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_without_any_heartbeat_the_loop_is_absent(database, serve, clock):
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"], answer.json()["loop"]) == (503, "absent", None)
    assert [target["forecast"] for target in answer.json()["targets"]] == ["waiting", "waiting"]


async def test_a_live_leader_is_shown_before_a_dead_one_and_standbys_are_counted(
    database, store, serve, clock, beat
):
    now = clock.now()
    await store.beat(beat(now - timedelta(hours=1), name="dead", epoch=9))
    await store.beat(beat(now, name="spare", state="standby", epoch=0))
    await store.beat(beat(now - timedelta(seconds=12), name="lead", epoch=10))
    async with serve(database, clock=clock) as served:
        body = (await served.client.get(HEALTH)).json()
    assert (body["status"], body["loop"]["epoch"]) == ("live", 10)
    assert [other["state"] for other in body["others"]] == ["standby"]


async def test_a_standby_alone_counts_as_alive(database, store, serve, clock, beat):
    await store.beat(beat(clock.now(), state="standby"))
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(HEALTH)
    assert (answer.status_code, answer.json()["loop"]["state"]) == (200, "standby")


async def test_a_heartbeat_of_another_version_is_still_understood_as_far_as_it_goes(
    database, store, serve, clock, beat
):
    await store.beat(beat(clock.now(), detail={"targets": {"host": {"status": "a new one"}}, "more": 1}))
    async with serve(database, clock=clock) as served:
        answer = await served.client.get(HEALTH)
    assert answer.status_code == 200
    assert answer.json()["champion_version"] == ""
    assert answer.json()["targets"][0]["forecast"] == "waiting"


async def test_a_loop_whose_turns_fail_says_that_nothing_is_decided_and_why(
    database, store, serve, clock, beat
):
    detail = {"failures_in_a_row": 4, "failure": "the disk is full: free some space"}
    await store.beat(beat(clock.now(), state="suspended", detail=detail))
    async with serve(database, clock=clock) as served:
        summary = (await served.client.get(HEALTH)).json()["summary"]
    assert "Its turns fail, so it decides nothing: the disk is full: free some space." in summary


async def test_a_loop_that_lost_its_telemetry_says_that_it_takes_nothing_away_and_why(
    database, store, serve, clock, beat
):
    telemetry = {
        "is_lost": True,
        "reason": "a third of the targets or more cannot be seen",
        "blind_targets": 3,
    }
    telemetry |= {"own_concerns": ["database_connections_used_ratio is at or beyond its critical threshold"]}
    await store.beat(beat(clock.now(), detail={"telemetry": telemetry}))
    async with serve(database, clock=clock) as served:
        body = (await served.client.get(HEALTH)).json()
    assert body["status"] == "live"
    assert "takes nothing away from any target: a third of the targets" in body["summary"]
    assert body["telemetry"] == telemetry | {"frozen_sensors": 0}


async def test_a_loop_that_has_just_started_says_when_it_will_decide(database, store, serve, clock, beat):
    await store.beat(beat(clock.now(), state="observing", turns=0))
    async with serve(database, clock=clock) as served:
        summary = (await served.client.get(HEALTH)).json()["summary"]
    assert "from its next turn on it decides" in summary
