"""When there is anything to do on the way up."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from maximus_assets.contracts.naming import (
    CONTRACT_VERSION,
    FORECASTER,
    TAG_CONTRACT_VERSION,
    TAG_DATA_VERSION,
    TAG_FEATURE_RECIPE,
    TAG_TRAINED_AT,
)
from maximus_assets.defs.first_run import four_weeks, main, need
from maximus_assets.features.table import RECIPE_HASH
from maximus_assets.registry.tracking import Version

NOW = datetime(2026, 3, 29, 8, tzinfo=UTC)
CHAMPION = Version(
    name=FORECASTER,
    number=3,
    run_id="r",
    source="s",
    created_at=NOW - timedelta(hours=8),
    tags={
        TAG_CONTRACT_VERSION: CONTRACT_VERSION,
        TAG_FEATURE_RECIPE: RECIPE_HASH,
        TAG_TRAINED_AT: (NOW - timedelta(hours=8)).isoformat(),
        TAG_DATA_VERSION: "data",
    },
)


def with_tags(**changed: str) -> Version:
    names = {
        "contract": TAG_CONTRACT_VERSION,
        "recipe": TAG_FEATURE_RECIPE,
        "trained": TAG_TRAINED_AT,
        "data": TAG_DATA_VERSION,
    }
    return replace(CHAMPION, tags={**CHAMPION.tags, **{names[key]: value for key, value in changed.items()}})


def test_a_fresh_champion_learnt_from_the_present_data_is_left_alone() -> None:
    found = need(CHAMPION, CHAMPION, "data", NOW)

    assert not found.must_learn
    assert found.reason == "version 3 is champion and 8.0 h old"


@pytest.mark.parametrize(
    ("champion", "reason"),
    [
        (None, "no champion"),
        (with_tags(contract="0"), "contract version"),
        (
            with_tags(contract="1"),
            "contract version",
        ),  # states of one recursion, which no code loads any more
        (with_tags(recipe="other"), "feature recipe"),
        (with_tags(trained=(NOW - timedelta(hours=36, seconds=1)).isoformat()), "36 h old"),
        (with_tags(data="older"), "data has changed"),
    ],
)
def test_it_learns_when_the_champion_is_absent_foreign_or_stale(
    champion: Version | None, reason: str
) -> None:
    found = need(champion, champion, "data", NOW)

    assert found.must_learn
    assert reason in found.reason


def test_thirty_six_hours_are_still_fresh() -> None:
    assert not need(with_tags(trained=(NOW - timedelta(hours=36)).isoformat()), None, "data", NOW).must_learn


def test_data_a_candidate_was_learnt_from_and_refused_for_is_not_learnt_from_again() -> None:
    refused = replace(with_tags(data="new"), number=4)

    assert not need(CHAMPION, refused, "new", NOW).must_learn
    assert need(CHAMPION, refused, "newer", NOW).must_learn


def test_lost_frames_are_read_and_learnt_from_again() -> None:
    assert need(CHAMPION, CHAMPION, None, NOW).must_learn


def test_four_weeks_end_with_yesterday_in_utc() -> None:
    east = datetime.fromisoformat("2026-03-29T01:00:00+02:00")  # still the 28th in UTC

    assert four_weeks(NOW, 28, date(2026, 1, 1)) == (date(2026, 3, 1), date(2026, 3, 28))
    assert four_weeks(east, 28, date(2026, 1, 1)) == (date(2026, 2, 28), date(2026, 3, 27))


def test_the_first_run_asks_for_no_day_before_history_begins() -> None:
    assert four_weeks(NOW, 28, date(2026, 3, 20)) == (date(2026, 3, 20), date(2026, 3, 28))


def test_without_the_address_of_the_registry_it_says_which_variable_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    assert main([]) == 1
    assert "MLFLOW_TRACKING_URI" in capsys.readouterr().err
