"""Options are refused by the name their user typed."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.telemetry.options import FileOptions, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15),
        ("300s", 300),
        ("5m", 300),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1d", 86_400),
        (" 5M ", 300),
        ("1.5m", 90),
    ],
)
def test_a_duration_is_read_with_its_units(text, seconds):
    assert parse_duration(text, source="--step") == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "5", "5 minutes", "-5m", "0s", "0.5s", "5x", "5m5", "inf", "1e3s", "\u0665m"]
)
def test_what_is_no_positive_duration_with_a_unit_is_refused(text):
    with pytest.raises(BadInputError, match=r"^--step: "):
        parse_duration(text, source="--step")


def test_a_bare_number_is_told_its_unit_is_missing():
    with pytest.raises(BadInputError, match="write 300s for seconds"):
        parse_duration("300", source="--step")


def test_an_origin_is_understood_with_its_zone():
    assert FileOptions.parse(origin="2018-01-01T02:00+02:00").origin_at == datetime(2018, 1, 1, tzinfo=UTC)
    assert FileOptions.parse(origin="2018-01-01", timezone="UTC").origin_at == datetime(
        2018, 1, 1, tzinfo=UTC
    )
    assert FileOptions().origin_at is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timezone": "Mars/Olympus"}, "^--timezone: 'Mars/Olympus' is not an IANA time zone"),
        ({"timezone": ""}, "^--timezone: "),
        ({"timezone": "../../etc/passwd"}, "^--timezone: "),
        ({"origin": "yesterday"}, "^--origin: 'yesterday' is not an ISO 8601 instant"),
        ({"origin": "2018-01-01"}, "^--origin: .* has no zone: write 2018-01-01T00:00:00Z for UTC"),
        (
            {"origin": "2018-01-01T00:00Z", "timezone": "Asia/Tokyo"},
            "^--origin: .* is not in the zone Asia/Tokyo",
        ),
        ({"origin": "2024-11-03T01:30", "timezone": "America/New_York"}, "^--origin: .* happens twice"),
        ({"origin": "2024-03-10T02:30", "timezone": "America/New_York"}, "^--origin: .* is skipped"),
        ({"step": "fast"}, "^--step: 'fast' is not a duration"),
        ({"step": "400d"}, "^--step: .* is not between 1 s and 366 d"),
        ({"value": ["a", "a"]}, "^--value: a column is named twice"),
        ({"sensor": "speed"}, "^--sensor: speed is not in the sensor catalogue"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(options, message):
    with pytest.raises(BadInputError, match=message):
        FileOptions.parse(**options)


def test_an_origin_may_carry_any_offset_that_its_zone_has():
    tokyo = datetime(2018, 1, 1, tzinfo=timezone(timedelta(hours=9)))
    assert FileOptions(origin=tokyo, timezone="Asia/Tokyo").origin_at == datetime(
        2017, 12, 31, 15, tzinfo=UTC
    )
