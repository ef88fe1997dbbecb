"""Which figures a chart is drawn from."""

from datetime import UTC, datetime, timedelta

from serving.dashboard.page import chart
from serving.gateway.answers import ForecastQuality, Forecasts, MetricPoint

NOW = datetime(2026, 3, 2, 12, 2, tzinfo=UTC)


def answer(*minutes_ago):
    return Forecasts(
        target="host",
        sensor="cpu_used_cores",
        unit="cores",
        since=NOW - timedelta(hours=8),
        until=NOW,
        step_seconds=300,
        coverage=0.9,
        lead_seconds=1800,
        actual=tuple(MetricPoint(at=NOW - timedelta(minutes=ago), value=1.0) for ago in minutes_ago),
        past=(),
        quality=ForecastQuality(compared=0, inside_ratio=None, mean_absolute_error=None),
        latest=None,
    )


def hours(figures):
    return (figures["now"] - figures["since"]) / 3600


def test_a_chart_begins_where_there_is_something_to_see():
    assert hours(chart(answer(180, 120, 5))) == 3


def test_the_first_minutes_of_a_target_fill_an_hour_not_a_night():
    assert hours(chart(answer(5))) == 1
    assert hours(chart(answer())) == 1


def test_a_long_past_is_drawn_from_where_it_was_asked_for():
    assert hours(chart(answer(600, 5))) == 8
