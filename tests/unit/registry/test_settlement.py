"""One pass over the aliases, on evidence the test makes up and a real registry."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from maximus_assets.checks.live import Rules
from maximus_assets.contracts.naming import (
    CANDIDATE,
    CHAMPION,
    FORECASTER,
    PREVIOUS,
    TAG_DEMOTED_AT,
    TAG_DRIFTED_AT,
    TAG_EVIDENCE,
    TAG_NOTICE,
    TAG_PROMOTED_AT,
    TAG_RETIRED_WHY,
    TAG_SHADOWED_AT,
)
from maximus_assets.contracts.verdict import Verdict
from maximus_assets.defs.drift import look_for_drift
from maximus_assets.registry import cuts, settlement
from maximus_assets.registry.promotion import PromotionRefusedError, name_candidate, promote
from maximus_assets.registry.settlement import admit_candidate, settle
from maximus_assets.telemetry.outcomes import ACTUALS, FORECASTS, Outcomes, evenly

RULES = Rules(minimum_hours=12)
HOURS = 20


@pytest.fixture
def house(registry, make_version, clock):
    """A champion that has served for a day, and what it and others said of a wave."""
    champion = make_version()
    promote(registry, champion, clock=clock)
    clock.advance(24 * 3600)
    return champion


def challenge(registry, make_version, clock):
    version = make_version()
    admit_candidate(registry, version, rules=RULES, clock=clock)
    return version


def evidence(clock, **errors):
    """What versions said over the last hours: `v1=2.0` erred by that much; a wave of a day, the same every day."""
    end = clock.now().replace(minute=0)

    def read(since, until):
        at = [end - timedelta(minutes=5 * index) for index in range(12 * 24 * 8)]
        wave = [
            100 + 40 * np.sin(2 * np.pi * it.timestamp() / 86_400) + np.cos(it.timestamp() / 3000)
            for it in at
        ]
        known = dict(zip(at, wave, strict=True))
        said = []
        for version, error in errors.items():
            for it in at[12 : 12 * HOURS]:
                nearby = [known[it + timedelta(minutes=5 * step)] for step in range(1, 13)]
                off = error * np.cos(it.timestamp() / 700)
                said.append(
                    (
                        version[1:],
                        "shop",
                        "load",
                        it,
                        nearby[0] + off,
                        nearby[0] + off - 5,
                        nearby[0] + off + 5,
                        float(np.mean(nearby)) + off,
                    )
                )
        return Outcomes(
            pl.DataFrame(said, schema=FORECASTS, orient="row"),
            pl.DataFrame([("shop", "load", *pair) for pair in known.items()], schema=ACTUALS, orient="row"),
            1,
        )

    return read


def unreachable(since, until):
    raise AssertionError("nothing is to be read")


def test_without_a_champion_the_newest_that_passed_its_gates_is_promoted(registry, make_version, clock):
    good, bad = make_version(), make_version(prediction_is_fast="failed")
    name_candidate(registry, good)
    name_candidate(registry, bad)
    assert settle(registry, FORECASTER, read=unreachable, rules=RULES, clock=clock).champion is None
    name_candidate(registry, good)

    settled = settle(registry, FORECASTER, read=unreachable, rules=RULES, clock=clock)

    assert settled.champion.number == good.number


def test_a_champion_no_code_can_load_any_more_holds_up_nothing(registry, make_version, clock):
    older, champion = make_version(contract_version="1"), make_version(contract_version="1")
    shelved = make_version(contract_version="1")
    for version, alias in ((older, PREVIOUS), (champion, CHAMPION), (shelved, CANDIDATE)):
        registry.client.set_registered_model_alias(FORECASTER, alias, str(version.number))
    clock.advance(24 * 3600)
    before = settle(registry, FORECASTER, read=unreachable, rules=RULES, clock=clock)
    assert (before.champion, before.replaced) == (None, champion.number)

    successor = make_version()
    name_candidate(registry, successor)
    admission = admit_candidate(registry, successor, rules=RULES, clock=clock)

    assert admission.alias == CHAMPION
    assert "cannot be used" in admission.reason
    assert registry.aliases(FORECASTER) == {CANDIDATE: successor.number, CHAMPION: successor.number}


def test_a_candidate_no_code_can_load_any_more_does_not_stop_the_settlement(
    registry, make_version, clock, house
):
    name_candidate(registry, make_version(contract_version="1"))

    settled = settle(registry, FORECASTER, read=evidence(clock, v1=0.2), rules=RULES, clock=clock)

    assert settled.champion.number == house.number


def test_a_champion_of_this_minute_is_not_judged(registry, make_version, clock):
    promote(registry, make_version(), clock=clock)

    assert settle(registry, FORECASTER, read=unreachable, rules=RULES, clock=clock).drift == ()


def test_the_better_of_two_challengers_wins_and_both_carry_their_evidence(
    registry, make_version, clock, house
):
    second = challenge(registry, make_version, clock)

    settled = settle(registry, FORECASTER, read=evidence(clock, v1=4.0, v2=1.0), rules=RULES, clock=clock)

    assert (settled.champion.number, settled.replaced) == (second.number, house.number)
    assert registry.aliases(FORECASTER) == {CHAMPION: second.number, PREVIOUS: house.number}
    assert "error_ratio" in registry.version(FORECASTER, second.number).tags[TAG_EVIDENCE]
    described = registry.client.get_model_version(FORECASTER, str(second.number)).description
    assert "champion since 2026-03-03" in described
    assert "challenger_beats_champion: yes" in described


def test_a_challenger_that_never_wins_goes_and_a_candidate_that_waited_comes_in(
    registry, make_version, clock, house
):
    second = challenge(registry, make_version, clock)
    waiting = challenge(registry, make_version, clock)
    name_candidate(registry, waiting)
    registry.tag(second, {TAG_SHADOWED_AT: (clock.now() - timedelta(hours=100)).isoformat()})

    settle(registry, FORECASTER, read=evidence(clock, v1=0.2, v2=4.0), rules=RULES, clock=clock)

    assert registry.aliases(FORECASTER) == {
        CANDIDATE: waiting.number,
        CHAMPION: house.number,
        "challenger-nightly": waiting.number,
    }
    assert "worse" in registry.version(FORECASTER, second.number).tags[TAG_RETIRED_WHY]


def test_a_champion_clearly_worse_than_yesterday_is_demoted_and_learning_is_asked_for(
    registry, make_version, clock, house
):
    settled = settle(registry, FORECASTER, read=evidence(clock, v1=9.0), rules=RULES, clock=clock)

    assert (settled.champion, settled.replaced) == (None, house.number)
    assert registry.aliases(FORECASTER) == {"challenger-demoted": house.number}
    said = registry.client.get_registered_model(FORECASTER).tags[TAG_NOTICE]
    assert "version 1 was demoted" in said
    assert "times the seasonal-naive's" in said
    (request,) = look_for_drift(registry, clock).run_requests
    assert request.run_key.startswith("demoted:1:")
    assert settle(registry, FORECASTER, read=unreachable, rules=RULES, clock=clock).champion is None
    assert TAG_DEMOTED_AT in registry.version(FORECASTER, house.number).tags
    with pytest.raises(PromotionRefusedError, match="was demoted"):
        admit_candidate(registry, house, rules=RULES, clock=clock)


def test_a_drifted_champion_asks_for_learning_once_in_six_hours_until_it_is_replaced(
    registry, make_version, clock, house
):
    assert "has not drifted" in look_for_drift(registry, clock).skip_message
    registry.tag(house, {TAG_DRIFTED_AT: clock.now().isoformat()})

    keys = []
    for _ in range(13):
        keys += [request.run_key for request in look_for_drift(registry, clock).run_requests]
        clock.advance(3600)
    successor = registry.tag(make_version(), {TAG_PROMOTED_AT: clock.now().isoformat()})
    registry.client.set_registered_model_alias(FORECASTER, CHAMPION, str(successor.number))

    assert len(set(keys)) == 3
    assert "has not drifted" in look_for_drift(registry, clock).skip_message


def test_history_before_a_drift_is_left_out_once_enough_has_followed(registry, clock, house):
    at = clock.now()
    registry.tag(house, {TAG_DRIFTED_AT: at.isoformat(), "maximus.drifted_series": "shop/load"})
    found = cuts.cuts_of(registry, FORECASTER)
    hours = [at + timedelta(hours=index) for index in range(-200, 80)]
    grid = pl.DataFrame(
        [(target, "load", it, 1.0) for target in ("other", "shop") for it in hours],
        schema=ACTUALS,
        orient="row",
    )

    early, _ = cuts.apply(grid.filter(pl.col("observed_at") < at + timedelta(hours=70)), found)
    late, carried = cuts.apply(grid, found)

    assert early.height == 2 * 270
    assert late.group_by("target", maintain_order=True).len().rows() == [("other", 280), ("shop", 80)]
    assert carried == found
    assert cuts.apply(grid.with_columns(pl.col("observed_at") + timedelta(days=30)), found)[1] == {}


@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_of_a_large_fleet_as_many_series_are_judged_evenly_spaced(count):
    series = [(f"shop-{index:04}", "load") for index in range(count)]

    chosen = evenly(series, 200)

    assert len(chosen) == min(count, 200)
    assert chosen == sorted(set(chosen))
    if count == 1000:
        assert chosen[:2] == [series[0], series[5]]


def test_a_drift_that_is_seen_no_more_is_over_after_a_day_and_only_when_somebody_could_look(
    registry, make_version, clock, house
):
    at = clock.now().isoformat()
    registry.tag(house, {TAG_DRIFTED_AT: at, "maximus.drifted_series": "shop/load"})

    def drifted(series: int, *, is_over: bool, hours: int = 13) -> tuple[str, ...]:
        clock.advance(hours * 3600)
        champion = registry.named(FORECASTER, CHAMPION)
        verdict = Verdict(name="input", passed=is_over, measured={"series_count": series})
        return settlement._follow_drift(registry, champion, [verdict], clock.now())[1]

    assert drifted(1, is_over=True) == ()
    assert drifted(1, is_over=False) == ()
    assert drifted(1, is_over=True) == (), "it was seen half a day ago"
    assert drifted(0, is_over=True) == (), "nothing was judged"
    assert TAG_DRIFTED_AT in registry.named(FORECASTER, CHAMPION).tags
    assert "has not been seen to drift since" in drifted(1, is_over=True)[0]

    tags = registry.named(FORECASTER, CHAMPION).tags
    assert not [name for name in tags if "drift" in name]
    assert "has not drifted" in look_for_drift(registry, clock).skip_message


def test_who_forecasts_more_is_asked_of_what_versions_forecast_live(registry, make_version, clock, house):
    second = challenge(registry, make_version, clock)
    read = evidence(clock, v1=0.2, v2=0.209)
    ours, more = frozenset({"shop/load"}), frozenset({"shop/load", "new/load"})

    def added(champion: frozenset[str], challenger: frozenset[str]) -> int:
        def covering(since, until):
            return replace(read(since, until), covered={"1": champion, str(second.number): challenger})

        settled = settle(registry, FORECASTER, read=covering, rules=RULES, clock=clock)
        (judged,) = settled.judgements.values()
        return judged.verdict.measured["added_series_count"]

    assert added(ours, more) == 1
    assert added(ours, ours) == 0
    assert added(more, frozenset({"new/load", "other/load"})) == 0, (
        "one it would lose outweighs one it would win"
    )
