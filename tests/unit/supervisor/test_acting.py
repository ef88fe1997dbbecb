"""What counts at a start is what the loop of this start has said and done, not what the database still holds."""

from datetime import UTC, datetime, timedelta

import pytest

from serving.supervisor import acting

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def after(seconds):
    return (START + timedelta(seconds=seconds)).isoformat()


def decision(seconds, status="ok"):
    return {"last_at": after(seconds), "state": {"forecast_status": status}}


def health(*decisions, started=2.0, champion="3", status="live", state="leading"):
    targets = [{"target": f"t{row}", "latest_decision": found} for row, found in enumerate(decisions)]
    loop = {"started_at": after(started), "state": state}
    return {"status": status, "champion_version": champion, "loop": loop, "targets": targets}


def judge(found, champion="3"):
    return acting.judge(found, since=START.timestamp(), champion=champion)


def test_a_loop_that_lives_knows_its_champion_and_has_decided():
    assert judge(health(decision(20), decision(20))) == acting.Standing(True, True, ())


@pytest.mark.parametrize(
    "found", [{}, health(started=-5.0), health(status="stale"), health(state="starting")]
)
def test_nothing_said_and_what_the_loop_before_said_is_no_life(found):
    assert not judge(found).is_live


def test_the_champion_of_the_loop_before_is_not_taken_for_loaded():
    assert not judge(health(started=-5.0)).has_champion
    assert not judge(health(champion="2")).has_champion
    assert judge(health(champion=""), champion="").has_champion


def test_decisions_from_before_the_start_or_without_the_champion_do_not_count():
    found = health(decision(-10), decision(20, "no_champion"), None, decision(20, "unknown_series"))
    assert judge(found).undecided == ("t0", "t1", "t2")
    assert judge(found, champion="").undecided == ("t0", "t2")


def test_only_decisions_since_the_start_are_worth_showing():
    new = decision(20)
    assert acting.decided_since(health(decision(-10), new, None), START.timestamp()) == [new]
