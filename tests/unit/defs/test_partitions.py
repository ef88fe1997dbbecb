"""History starts where what is kept starts, unless somebody says otherwise."""

from datetime import date

import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.defs.partitions import HISTORY_START_VARIABLE, history_start

TODAY = date(2026, 3, 29)


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HISTORY_START_VARIABLE, raising=False)


def test_a_fresh_machine_has_four_weeks_of_history() -> None:
    assert history_start(TODAY, ()) == date(2026, 3, 1)


def test_the_start_stays_where_it_was_as_days_go_by() -> None:
    kept = (date(2025, 12, 1), date(2026, 3, 28))
    assert history_start(TODAY, kept) == history_start(date(2026, 6, 1), kept) == date(2025, 12, 1)


def test_a_few_days_kept_still_leave_four_weeks_to_be_read() -> None:
    assert history_start(TODAY, (date(2026, 3, 27),)) == date(2026, 3, 1)


def test_an_earlier_start_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HISTORY_START_VARIABLE, "2025-01-01")
    assert history_start(TODAY, (date(2026, 3, 1),)) == date(2025, 1, 1)


@pytest.mark.parametrize("said", ["yesterday", "2026-02-30", "2026-03-29", "2027-01-01"])
def test_a_start_that_is_no_past_day_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(HISTORY_START_VARIABLE, said)
    with pytest.raises(BadInputError, match=f"{HISTORY_START_VARIABLE}.*{said}"):
        history_start(TODAY, ())
