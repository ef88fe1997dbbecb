"""One model over a fleet: who is taught, up to where, what a replay may see, and that a small fleet does without."""

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from maximus_assets.models.forecasting import boosted, fleetwide
from maximus_assets.models.forecasting.backtest import History, plan
from maximus_assets.models.forecasting.backtest import replay as replay_method
from maximus_assets.models.forecasting.boosted import Growth
from maximus_assets.models.forecasting.evaluate import evaluate, teach_apart
from maximus_assets.models.forecasting.fleetwide import (
    LARGEST_USUAL,
    LEAST_SERIES,
    Cuts,
    NoFleetError,
    common_cuts,
    recipe_for,
    replay,
    teach,
)
from maximus_assets.models.forecasting.learn import learn, try_all
from maximus_assets.models.forecasting.seasonal_naive import SeasonalNaive
from maximus_assets.pyfuncs.boosted import load
from maximus_assets.pyfuncs.forecasting import SeriesWindow, predict

START = 1_772_409_600
STEP = 3600
RECIPE = recipe_for(STEP)
GROWTH = Growth(max_rows=3_000, rounds=15, patience=5, depth=4, learning_rate=0.3)


def series(seed: int, days: int = 14, start: int = START) -> History:
    rng = np.random.default_rng(seed)
    at = np.arange(24 * days)
    values = 100.0 + 30.0 * np.sin(2 * np.pi * (at / 24 + rng.random())) + rng.normal(0.0, 4.0, len(at))
    return History(values, start, STEP)


def taught(histories):
    return teach(histories, common_cuts(histories), RECIPE, growth=GROWTH)


@pytest.fixture(scope="module")
def histories() -> list[History]:
    return [series(seed) for seed in range(LEAST_SERIES)]


@pytest.fixture(scope="module")
def fleet(histories):
    return taught(histories)


def changed_after(history: History, bin_: int) -> History:
    values = history.values.copy()
    values[bin_:] = 5.0 * values[bin_:][::-1] + 1e3
    return replace(history, values=values)


def test_the_same_fleet_teaches_the_same_bytes(histories, fleet):
    again = taught(histories)
    assert again.lesson.calibration == fleet.lesson.calibration
    assert again.lesson.judging == fleet.lesson.judging
    assert again.lesson.component.equals(fleet.lesson.component)
    assert again.shipped.dump() == fleet.shipped.dump()


def test_what_happened_after_the_parts_began_teaches_nothing_of_them(histories, fleet):
    parts = plan(histories[0]).parts
    later = taught([changed_after(each, parts.judging_start) for each in histories])
    assert later.lesson.calibration == fleet.lesson.calibration
    assert later.lesson.judging == fleet.lesson.judging
    assert later.shipped.digest != fleet.shipped.digest
    between = taught([changed_after(each, parts.calibration_start) for each in histories])
    assert between.lesson.calibration == fleet.lesson.calibration
    assert between.lesson.judging != fleet.lesson.judging


def test_a_replay_knows_nothing_of_what_it_forecasts_before_it_happened(histories, fleet):
    history = histories[0]
    how = plan(history)
    origin = how.parts.judging_start + 30
    plain, other = (
        replay(fleet.lesson, each, how, replay_method(SeasonalNaive(), each, how).rolled).rolled
        for each in (history, changed_after(history, origin))
    )
    before = plain.origins <= origin
    assert np.array_equal(plain.forecasts[before], other.forecasts[before])
    assert (plain.forecasts[~before] != other.forecasts[~before]).any()


def test_what_serves_is_the_replay_were_it_to_go_on(histories, fleet):
    """At any origin a state's forecast from the live window is what the replay holds, given the same model."""
    history = histories[1]
    how = plan(history)
    naive = replay_method(SeasonalNaive(), history, how).rolled
    now = load(fleet.lesson.judging)
    component = replace(fleet.lesson.component, fleet=now.digest)
    state = replace(
        try_all(history, fleet.lesson).results["boosted"].state, components=(component,), floor=-np.inf
    )
    rolled = replay(fleet.lesson, history, how, naive).rolled
    for row in (-1, -40):
        origin = rolled.origins[row]
        window = SeriesWindow(
            "", "", START + STEP * (int(origin) - 1), history.values[max(0, origin - 8 * 24) : origin]
        )
        (served,) = predict({("", ""): state}, [window], 24, fleet=now)
        assert np.array_equal(served.mean, rolled.forecasts[row])


def test_where_a_whole_window_is_missing_another_methods_forecast_stands_in(histories, fleet):
    history = series(3, days=30)
    how = plan(history)
    gap = how.parts.judging_start
    history.values[gap : gap + 9 * 24] = np.nan
    naive = replay_method(SeasonalNaive(), history, how).rolled
    found = replay(fleet.lesson, history, how, naive).rolled
    blind = found.origins == gap + 9 * 24 - 1
    assert np.isfinite(found.forecasts).all()
    assert np.array_equal(found.forecasts[blind], naive.forecasts[blind])
    assert (found.forecasts != naive.forecasts).any(axis=1).mean() > 0.8


def test_series_that_share_a_clock_are_cut_at_one_instant():
    ended = series(2, days=10)
    cuts = common_cuts([series(0, days=28), series(1, days=28, start=START + 600 * STEP), ended])
    first = plan(series(0, days=28)).parts
    assert (cuts[0].calibration, cuts[0].judging) == (first.calibration_start, first.judging_start)
    # The one that began 600 hours later is cut at the same instant.
    assert cuts[1].calibration == max(0, first.calibration_start - 600)
    assert [each.is_member for each in cuts] == [True, True, False]
    assert cuts[2].calibration == len(ended.values)


def test_a_history_too_short_to_be_split_is_no_member_and_stops_no_other():
    cuts = common_cuts([series(0), series(1, days=2)])
    assert [each.is_member for each in cuts] == [True, False]
    assert common_cuts([series(1, days=2)]) == (Cuts(0, 0, is_member=False),)
    assert common_cuts([]) == ()


@pytest.mark.parametrize(("count", "days"), [(LEAST_SERIES - 1, 14), (LEAST_SERIES, 8), (0, 14)])
def test_a_fleet_too_small_or_too_short_is_refused_with_what_is_needed(count: int, days: int):
    with pytest.raises(NoFleetError, match=r"5 days before the calibration parts.* needs 8"):
        taught([series(seed, days) for seed in range(count)])


def test_more_series_weigh_more_without_evidence_up_to_a_limit(histories, fleet, monkeypatch):
    assert fleet.lesson.usual == LEAST_SERIES / 64
    for each, weight in ((2, 4.0), (1, LARGEST_USUAL)):
        monkeypatch.setattr(fleetwide, "SERIES_A_METHOD", each)
        assert taught(histories).lesson.usual == weight


def test_what_a_fleet_costs_does_not_grow_with_it(histories, monkeypatch):
    rows: list[int] = []
    made = boosted._rows

    def counted(*given):
        found = made(*given)
        rows.append(0 if found is None else len(found.outcomes))
        return found

    monkeypatch.setattr(boosted, "_rows", counted)
    taught([histories[index % LEAST_SERIES] for index in range(3 * LEAST_SERIES)])
    assert len(rows) == 6
    assert max(rows) <= GROWTH.max_rows


def test_series_without_a_common_clock_are_taught_from_before_their_own_parts(histories):
    ratios = [0.4] * len(histories)
    plain = teach_apart(histories, ratios, RECIPE, growth=GROWTH)
    begin = plan(histories[0], judged_ratio=0.4).parts.judging_start
    later = [changed_after(each, begin) for each in histories]
    assert teach_apart(later, ratios, RECIPE, growth=GROWTH).lesson.judging == plain.lesson.judging
    more = teach_apart(histories, ratios, RECIPE, others=[series(50)], growth=GROWTH)
    assert more.lesson.calibration != plain.lesson.calibration
    among = evaluate(histories[0], plain, judged_ratio=0.4)
    assert among.fit_seconds > plain.seconds / len(histories)
    assert [name.split()[0] for name in among.methods][-1] == "boosted"
    moved = evaluate(changed_after(histories[0], begin + 30), plain, judged_ratio=0.4)
    before = among.origins <= begin + 24
    assert np.array_equal(among.forecasts[before], moved.forecasts[before])
    assert np.array_equal(among.upper[before], moved.upper[before])


def test_a_fleet_is_learnt_with_its_model_and_says_so(learnt_fleet):
    learnt = learnt_fleet.learnt
    assert learnt.fleet is not None
    assert re.search(r"[1-8] of 8 states have a share of it", learnt.fleet_note)
    shares = [each for state in learnt.states for each in state.components if each.method == "boosted"]
    assert {each.fleet for each in shares} == {learnt.fleet.digest}
    counts = learnt.report.group_by("method").len().rows_by_key("method", unique=True)
    assert counts["boosted"] == counts["sarima"]


def test_two_series_pay_nothing_for_a_fleet(learnt_fleet, monkeypatch):
    monkeypatch.setattr(fleetwide, "fit", lambda *_, **__: pytest.fail("nothing was to be grown"))
    told: list[str] = []
    few = learnt_fleet.grid.filter(pl.col("target").is_in(["s0", "s1"]))
    learnt = learn(few, STEP, stage=told.append)
    assert learnt.fleet is None
    assert told == []
    assert "of 2 series 2 have 5 days" in learnt.fleet_note
    assert "boosted" not in learnt.report["method"].unique().to_list()
    assert all(each.method != "boosted" for state in learnt.states for each in state.components)
