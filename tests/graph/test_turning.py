"""The schedule and the sensor, by real ticks; the first run; and how they leave one another alone."""

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.naming import CANDIDATE, CHAMPION, FORECASTER, NIGHTLY_RECIPE, challenger
from maximus_assets.defs import automation, first_run, forecaster
from maximus_assets.defs.automation import CHAIN, Gap, days_to_read, gaps, look_for_telemetry, nightly_retrain
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.registry.packaging import log_forecaster

DAYS = tuple(date(2026, 3, 1) + timedelta(days=index) for index in range(10))


class Arrivals(TelemetrySources):
    """Sources whose live metrics are whatever the test says."""

    counts: list[int]

    def arrivals(self, days) -> list[int]:
        return self.counts

    def count_live(self, frame: pl.DataFrame) -> int:
        return frame.height


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch, clock) -> tuple[date, ...]:
    """Ten days of history, the clock at noon of the eleventh."""
    partitions = dg.DailyPartitionsDefinition(start_date=datetime(2026, 3, 1, tzinfo=UTC), timezone="UTC")
    monkeypatch.setattr(automation, "DAILY", partitions)
    clock.jump((datetime(2026, 3, 11, 12, tzinfo=UTC) - clock.now()).total_seconds())
    return DAYS


def look(house, clock, counts: list[int]) -> dg.SensorResult:
    found = look_for_telemetry(
        Arrivals(database_read_url="", counts=counts),
        FramesResource(folder=str(house.store.folder)),
        clock,
    )
    return dg.SensorResult(skip_reason=found) if isinstance(found, dg.SkipReason) else found


def store(house, days, rows: int = 5) -> None:
    frame = pl.DataFrame({"target": ["host"] * rows, "sensor": ["cpu_used_cores"] * rows})
    for day in days:
        house.store.write("telemetry", day.isoformat(), frame, version="v")


def ranges(found: dg.SensorResult) -> list[tuple[str, str]]:
    names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    return [tuple(request.tags[name] for name in names) for request in found.run_requests or []]


def test_the_night_asks_for_the_day_before_it_and_everything_after_in_one_run() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 3, 11, 0, 10, tzinfo=UTC))

    request = nightly_retrain(context)

    assert (request.run_key, request.partition_key) == ("2026-03-10", "2026-03-10")
    assert request.asset_selection == list(CHAIN)


def test_the_nightly_run_is_one_the_graph_accepts(
    house, learnt_shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_well(learnt_shop, monkeypatch)
    night = SystemClock().now().replace(hour=0, minute=10)
    context = dg.build_schedule_context(scheduled_execution_time=night)

    request = nightly_retrain(context)
    result = house.definitions.resolve_job_def("read_and_retrain").execute_in_process(
        partition_key=request.partition_key, asset_selection=request.asset_selection, instance=house.instance
    )

    assert result.success
    assert house.registry.aliases(FORECASTER)[CHAMPION] == 1
    partitions = {
        event.asset_key.to_user_string(): event.partition
        for event in result.get_asset_materialization_events()
    }
    assert partitions["telemetry"] == request.partition_key


def test_days_that_were_missed_are_asked_for_as_spans(house, history, clock) -> None:
    store(house, [DAYS[0], DAYS[1], DAYS[4], DAYS[8]])

    found = look(house, clock, [5, 5, 0])

    assert ranges(found) == [
        ("2026-03-03", "2026-03-04"),
        ("2026-03-06", "2026-03-08"),
        ("2026-03-10", "2026-03-10"),
    ]


def test_nothing_is_asked_for_when_every_day_is_there_and_none_grew(house, history, clock) -> None:
    store(house, DAYS)

    assert look(house, clock, [5, 5, 5]).run_requests in (None, [])


def test_a_day_whose_telemetry_grew_is_asked_for_under_one_key_until_it_is_read(
    house, history, clock
) -> None:
    store(house, DAYS)

    grown, again = look(house, clock, [5, 9, 5]), look(house, clock, [5, 9, 5])
    store(house, [DAYS[8]], rows=9)
    after = look(house, clock, [5, 9, 5])

    assert ranges(grown) == [("2026-03-09", "2026-03-09")]
    assert [request.run_key for request in again.run_requests] == [
        request.run_key for request in grown.run_requests
    ]
    assert ranges(after) == []


def test_a_day_that_grew_and_could_not_be_read_is_asked_for_again_the_next_day(house, history, clock) -> None:
    store(house, DAYS)
    today = look(house, clock, [5, 5, 9])

    store(house, [date(2026, 3, 11)])
    clock.advance(86_400)
    tomorrow = look(house, clock, [5, 9, 5])

    assert ranges(today) == ranges(tomorrow) == [("2026-03-10", "2026-03-10")]
    assert today.run_requests[0].run_key != tomorrow.run_requests[0].run_key


def test_the_sensor_itself_asks_with_the_resources_of_the_graph(house) -> None:
    sensor = house.definitions.resolve_sensor_def("telemetry_arrived")
    resources = {"sources": TelemetrySources(database_read_url=""), "frames": FramesResource()}
    with dg.build_sensor_context(instance=house.instance, resources=resources) as context:
        found = sensor.evaluate_tick(context)

    assert len(found.run_requests) == 1


def test_what_arrived_after_the_night_and_before_the_first_look_is_not_missed(house, history, clock) -> None:
    store(house, DAYS)

    assert ranges(look(house, clock, [5, 5, 6])) == [("2026-03-10", "2026-03-10")]


def test_a_day_that_keeps_failing_is_asked_for_under_one_key_a_day(house, history, clock) -> None:
    store(house, DAYS[:-1])

    first, again = look(house, clock, [5, 5, 0]), look(house, clock, [5, 5, 0])
    clock.advance(6 * 3600)
    later = look(house, clock, [5, 5, 0])

    keys = {request.run_key for found in (first, again, later) for request in found.run_requests}
    assert keys == {"2026-03-10..2026-03-10:0:2026-03-11"}


def test_the_sensor_leaves_the_day_that_just_ended_to_the_night(house, history, clock) -> None:
    store(house, DAYS[:-1])
    clock.jump((datetime(2026, 3, 11, 0, 30, tzinfo=UTC) - clock.now()).total_seconds())
    assert ranges(look(house, clock, [5, 5, 5])) == []

    clock.advance(15 * 60)
    assert ranges(look(house, clock, [5, 5, 5])) == [("2026-03-10", "2026-03-10")]


def test_a_span_asked_for_is_one_run_the_graph_accepts(house, clock) -> None:
    today = SystemClock().now().date()
    request = automation._request(Gap(today - timedelta(days=3), today - timedelta(days=2)), {}, today)

    result = house.definitions.resolve_job_def("read_telemetry").execute_in_process(
        tags=request.tags, instance=house.instance
    )

    assert result.success
    assert len(house.store.days("telemetry")) == 2


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], ()),
        ([DAYS[3]], (Gap(DAYS[3], DAYS[3]),)),
        (DAYS, (Gap(DAYS[0], DAYS[-1]),)),
        ([DAYS[5], DAYS[0], DAYS[1], DAYS[1]], (Gap(DAYS[0], DAYS[1]), Gap(DAYS[5], DAYS[5]))),
    ],
)
def test_days_become_the_fewest_spans(days, expected) -> None:
    assert gaps(days) == expected


def test_growth_of_a_day_before_history_is_no_reason_to_read_it() -> None:
    assert days_to_read(DAYS, DAYS, {}, {date(2020, 1, 1): 7}) == ()


def learn_well(learnt_shop, monkeypatch: pytest.MonkeyPatch) -> None:
    report = learnt_shop.learnt.report.with_columns(
        mase=pl.lit(0.8), coverage=pl.lit(0.9), coverage_strict=pl.lit(0.9)
    )
    monkeypatch.setattr(forecaster, "learn", lambda *_, **__: replace(learnt_shop.learnt, report=report))


class Lines:
    """Collects what the first run reports."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.details: list[str] = []

    def __call__(self, stage: str, seconds: float, detail: str) -> None:
        assert seconds >= 0
        self.stages.append(stage)
        self.details.append(detail)


def test_the_first_run_makes_a_champion_in_one_run_and_the_second_does_nothing(
    house, learnt_shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn_well(learnt_shop, monkeypatch)
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(house.instance))
    tick = dg.evaluate_automation_conditions(defs=house.definitions, instance=house.instance, cursor=None)

    first, second = Lines(), Lines()
    first_run.run(house.registry, house.store, SystemClock(), first, force=False)
    after = dg.evaluate_automation_conditions(
        defs=house.definitions, instance=house.instance, cursor=tick.cursor
    )
    first_run.run(house.registry, house.store, SystemClock(), second, force=False)

    assert first.stages == ["look", "start", *first_run.STAGES, "done"]
    assert second.stages == ["look"]
    assert len(house.store.days("telemetry")) == 28
    assert len(house.instance.get_runs()) == 1
    assert after.total_requested == 0


def test_a_run_that_is_forced_learns_beside_a_fresh_champion_and_tells_each_stage_as_json(
    house, learnt_shop, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    learn_well(learnt_shop, monkeypatch)
    version = log_forecaster(house.registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
    house.registry.client.set_registered_model_alias(FORECASTER, CHAMPION, str(version.number))
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(house.instance))
    monkeypatch.setattr("maximus_assets.defs.partitions.HISTORY_DAYS", 1)

    assert first_run.main(["--force"]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["stage"] for line in lines] == ["look", "start", *first_run.STAGES, "done"]
    aliases = house.registry.aliases(FORECASTER)
    assert aliases[CHAMPION] == 1, "what passed is let in beside it, not in its place"
    assert aliases[CANDIDATE] == aliases[challenger(NIGHTLY_RECIPE)] == 2


def test_the_first_run_says_which_gate_did_not_pass_and_leaves_no_champion(
    house, learnt_shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = learnt_shop.learnt.report.with_columns(
        mase=pl.lit(2.0), coverage=pl.lit(0.9), coverage_strict=pl.lit(0.9)
    )
    monkeypatch.setattr(forecaster, "learn", lambda *_, **__: replace(learnt_shop.learnt, report=report))
    monkeypatch.setattr(dg.DagsterInstance, "get", lambda: nullcontext(house.instance))
    monkeypatch.setattr("maximus_assets.defs.partitions.HISTORY_DAYS", 1)

    with pytest.raises(
        first_run.FirstRunFailedError, match=r"forecaster_beats_seasonal_naive: .*MASE 2\.000"
    ):
        first_run.run(house.registry, house.store, SystemClock(), Lines(), force=False)

    assert house.registry.named(FORECASTER, CHAMPION) is None
