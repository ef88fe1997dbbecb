"""The card helps to decide, for one series as for a fleet."""

from dataclasses import replace

import polars as pl

from maximus_assets.checks.drift import make_reference
from maximus_assets.registry.card import in_words, shortened, write_card
from maximus_assets.registry.tracking import DESCRIPTION_LIMIT


def fleet_card(learnt_shop, count: int) -> str:
    learnt = learnt_shop.learnt
    states = tuple(replace(learnt.states[0], target=f"t{index:03}") for index in range(count))
    report = pl.concat(learnt.report.with_columns(target=pl.lit(state.target)) for state in states)
    grid = pl.concat(learnt_shop.grid.with_columns(target=pl.lit(state.target)) for state in states)
    fleet = replace(learnt, states=states, report=report, skipped={"late/demand_count": "2 days"})
    return write_card(fleet, grid, learnt_shop.origin.tags(), make_reference(grid, report))


def test_the_figures_of_a_fleet_stand_before_its_lists(learnt_shop):
    card = fleet_card(learnt_shop, 30)
    chosen = learnt_shop.learnt.report.filter("is_chosen", horizon_hours=1).row(0, named=True)
    assert "Series learnt: 30 (30 " in card
    assert "; left out: 1." in card
    figures = " | ".join(f"{chosen[name]:.3f}" for name in ("r2", "mase", "mase", "coverage"))
    assert f"| 1h | 30 | {figures} |" in card
    places = [
        card.index(f"## {part}") for part in ("At a glance", "Judgement", "Limits", "Backtest", "What was")
    ]
    assert places == sorted(places)


def test_what_the_registry_shows_of_a_long_card_ends_between_two_lines_and_says_where_the_rest_is(
    learnt_shop,
):
    card = fleet_card(learnt_shop, 60)
    shown = shortened(card, DESCRIPTION_LIMIT)
    assert len(card) > DESCRIPTION_LIMIT >= len(shown)
    *lines, rest = shown.rstrip().splitlines()
    assert rest.startswith("The rest is in `model/model_card.md`")
    assert set(filter(None, lines)) <= set(card.splitlines())
    assert "## Limits" in shown
    assert shortened("short", DESCRIPTION_LIMIT) == "short"


def test_what_was_learnt_is_told_in_words_with_its_figures(learnt_shop):
    learnt = learnt_shop.learnt
    told = in_words(replace(learnt, skipped={"b/x": "every value is missing"}))
    assert told.startswith(f"1 of 2 series learnt ({learnt.states[0].method} 1). Error relative to")
    (row,) = learnt.report.filter(pl.col("is_chosen"), pl.col("horizon_hours") == 1).rows(named=True)
    assert f"1h ahead {row['mase']:.2f} ({row['coverage']:.0%})" in told


def test_figures_that_nothing_could_be_judged_by_are_not_told(learnt_shop):
    unjudged = learnt_shop.learnt.report.with_columns(judged=pl.lit(0, pl.Int64))
    told = in_words(replace(learnt_shop.learnt, report=unjudged))
    assert told.endswith("None could be judged.")
