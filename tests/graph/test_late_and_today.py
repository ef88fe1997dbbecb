"""Old days that grew are read again, in turns; the day that is not over is judged and never learnt from."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.defs import automation, late
from maximus_assets.defs.features import recent_history
from maximus_assets.defs.late import look_at_old_days, whose_turn
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.defs.today import hourly_look_at_today

DAYS = tuple(date(2026, 3, 1) + timedelta(days=index) for index in range(10))
OLD = DAYS[:-3]


class Arrivals(TelemetrySources):
    """Sources whose live metrics are whatever the test says: five rows a day, unless said otherwise."""

    grown: dict[str, int] = {}  # noqa: RUF012

    def arrivals(self, days) -> list[int]:
        return [self.grown.get(start.date().isoformat(), 5) for start, _ in days]

    def count_live(self, frame: pl.DataFrame) -> int:
        return frame.height


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch, clock, house) -> None:
    """Ten stored days of five rows, the clock at noon of the eleventh."""
    partitions = dg.DailyPartitionsDefinition(start_date=datetime(2026, 3, 1, tzinfo=UTC), timezone="UTC")
    monkeypatch.setattr(automation, "DAILY", partitions)
    clock.jump((datetime(2026, 3, 11, 12, tzinfo=UTC) - clock.now()).total_seconds())
    frame = pl.DataFrame({"target": ["host"] * 5, "sensor": ["cpu_used_cores"] * 5})
    for day in DAYS:
        house.store.write("telemetry", day.isoformat(), frame, version="v")


def look(house, clock, cursor: str | None, **grown: int) -> dg.SensorResult:
    sources = Arrivals(database_read_url="", grown={key.replace("_", "-"): n for key, n in grown.items()})
    return look_at_old_days(sources, FramesResource(folder=str(house.store.folder)), clock, cursor)


def test_every_old_day_gets_its_turn_and_then_the_first_again() -> None:
    seen, cursor = [], None
    for _ in range(5):
        turn = whose_turn(OLD, cursor)
        seen += turn
        cursor = turn[-1].isoformat()

    assert seen == [*OLD, *OLD[:3]]


@pytest.mark.parametrize(
    ("days", "last", "expected"),
    [
        ((), None, ()),
        (OLD[:1], OLD[0].isoformat(), OLD[:1]),
        (OLD, "nonsense", OLD[:2]),
        (OLD, "1999-01-01", OLD[:2]),
    ],
)
def test_whatever_the_cursor_says_somebody_has_a_turn_and_nobody_twice(days, last, expected) -> None:
    assert whose_turn(days, last) == expected


def test_an_old_day_of_which_rows_arrived_late_is_asked_for_when_its_turn_comes(
    house, history, clock
) -> None:
    first = look(house, clock, None, **{"2026_03_04": 9})
    second = look(house, clock, first.cursor, **{"2026_03_04": 9})
    again = look(house, clock, first.cursor, **{"2026_03_04": 9})

    assert (first.run_requests, first.cursor) == ([], "2026-03-02")
    assert [request.partition_key for request in second.run_requests] == ["2026-03-04"]
    assert second.run_requests[0].run_key == again.run_requests[0].run_key == "late:2026-03-04:9:2026-03-11"


def test_a_day_of_which_rows_were_forgotten_is_not_asked_for(house, history, clock) -> None:
    assert look(house, clock, None, **{"2026_03_01": 2}).run_requests == []


def test_the_last_days_are_left_to_the_other_sensor_and_ancient_ones_alone(house, history, clock) -> None:
    looked, cursor = set(), None
    for _ in range(8):
        found = look(house, clock, cursor)
        cursor = found.cursor
        looked.add(cursor)
    assert looked <= {day.isoformat() for day in OLD}

    clock.advance(40 * 86_400)
    assert look(house, clock, None).skip_reason.skip_message == "no day is old yet"


def test_the_late_sensor_asks_with_the_resources_of_the_graph_for_a_run_the_graph_accepts(
    house, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = SystemClock().now().date() - timedelta(days=1)
    tags = {
        "dagster/asset_partition_range_start": (yesterday - timedelta(days=5)).isoformat(),
        "dagster/asset_partition_range_end": yesterday.isoformat(),
    }
    house.run("telemetry", **tags)
    monkeypatch.setattr(TelemetrySources, "arrivals", lambda self, days: [10**9] * len(days))
    sensor = house.definitions.resolve_sensor_def("telemetry_arrived_late")
    resources = {"sources": TelemetrySources(database_read_url=""), "frames": FramesResource()}

    with dg.build_sensor_context(
        instance=house.instance,
        resources=resources,
        repository_def=house.definitions.get_repository_def(),
    ) as context:
        found = sensor.evaluate_tick(context)

    assert len(found.run_requests) == late.DAYS_EACH_TICK
    result = house.definitions.resolve_job_def("read_telemetry").execute_in_process(
        partition_key=found.run_requests[0].partition_key, instance=house.instance
    )
    assert result.success


def test_the_day_that_is_not_over_is_judged_stored_and_not_learnt_from(house) -> None:
    request = hourly_look_at_today(
        dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 11, 9, 5, tzinfo=UTC))
    )
    result = house.definitions.resolve_job_def("look_at_today").execute_in_process(instance=house.instance)

    assert request.run_key == "2026-03-11T09:05:00+00:00"
    assert result.success
    assert len(result.get_asset_check_evaluations()) == 7
    today = house.store.read("telemetry_today")
    assert set(today["observed_at"].dt.date()) <= {SystemClock().now().date()}
    assert recent_history(house.store).is_empty()
    graph = house.definitions.get_repository_def().asset_graph
    assert graph.get(dg.AssetKey("telemetry_today")).child_keys == set()


def test_a_bad_morning_is_told_and_stops_nothing(house, monkeypatch: pytest.MonkeyPatch) -> None:
    read = TelemetrySources.read
    monkeypatch.setattr(
        TelemetrySources,
        "read",
        lambda self, start, end: read(self, start, end).with_columns(value=pl.lit(-1.0)),
    )

    result = house.run("telemetry_today")

    (told,) = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert (told.check_name, told.severity.value) == ("telemetry_is_plausible", "WARN")
    assert result.success
