"""Public holidays: how a calendar is named, and what its days become."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.holidays import HolidayCalendar
from maximus_assets.contracts.telemetry import OBSERVED_AT
from maximus_assets.features.holidays import holiday_events, holidays_around

SPRING = datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 28, tzinfo=UTC)


def test_a_calendar_is_a_country_with_subdivision_and_zone_where_they_matter():
    assert HolidayCalendar.parse("de", source="s") == HolidayCalendar("DE", None, "UTC")
    full = HolidayCalendar.parse(" DE-BY@Europe/Berlin ", source="s")
    assert full == HolidayCalendar("DE", "BY", "Europe/Berlin")
    assert HolidayCalendar.parse(str(full), source="s") == full


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("XX", "XX"),
        ("Germany", "Germany"),
        ("", "''"),
        ("DE-ZZ", "DE-ZZ"),
        ("DE@Europe/Nowhere", "Europe/Nowhere"),
        ("DE@../../etc/passwd", "passwd"),
    ],
)
def test_what_is_no_calendar_is_refused_by_name(text: str, named: str):
    with pytest.raises(BadInputError, match=named) as caught:
        HolidayCalendar.parse(text, source="MAXIMUS_HOLIDAYS")
    assert caught.value.source == "MAXIMUS_HOLIDAYS"


def test_a_subdivision_has_holidays_of_its_own():
    epiphany = date(2026, 1, 6)
    assert HolidayCalendar("DE", "BY").between(epiphany, epiphany)
    assert not HolidayCalendar("DE", "BE").between(epiphany, epiphany)


def test_a_holiday_is_a_whole_local_day_also_where_it_has_an_hour_more_or_less():
    friday = holiday_events(HolidayCalendar("DE", None, "Europe/Berlin"), *SPRING)[0]
    assert friday.name == "Good Friday"
    # Berlin is two hours ahead of UTC in April.
    assert datetime.fromtimestamp(friday.start_epoch_seconds, UTC) == datetime(2026, 4, 2, 22, tzinfo=UTC)
    assert friday.end_epoch_seconds - friday.start_epoch_seconds == 86_400
    fall = HolidayCalendar("AU", "WA", "America/New_York")
    lengths = {
        each.end_epoch_seconds - each.start_epoch_seconds
        for each in holiday_events(fall, datetime(2020, 1, 1, tzinfo=UTC), datetime(2039, 1, 1, tzinfo=UTC))
    }
    assert lengths <= {82_800, 86_400, 90_000}


def test_holidays_of_the_coming_months_and_of_the_week_before_are_known():
    events = holiday_events(HolidayCalendar("DE"), *SPRING)
    starts = [datetime.fromtimestamp(each.start_epoch_seconds, UTC).date() for each in events]
    assert date(2026, 12, 25) in starts
    assert date(2027, 4, 28) >= max(starts) > date(2027, 3, 1)
    assert min(starts) == date(2026, 4, 3)
    late = holiday_events(HolidayCalendar("DE"), datetime(2026, 4, 10, tzinfo=UTC), SPRING[1])
    assert late[0].name == "Good Friday"


def test_without_a_calendar_or_without_data_there_are_none():
    frame = pl.DataFrame({OBSERVED_AT: list(SPRING)})
    assert holidays_around(frame, None) == ()
    assert holidays_around(frame.clear(), HolidayCalendar("DE")) == ()
    assert holidays_around(frame, HolidayCalendar("DE")) == holiday_events(HolidayCalendar("DE"), *SPRING)
