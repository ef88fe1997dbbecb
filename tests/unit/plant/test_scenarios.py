"""Incidents are labelled, announced, and visible where their label says."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from maximus_assets.plant.scenarios import Incident, IncidentKind, incidents_of_week, week_of
from maximus_assets.plant.world import Plant

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
PLANT = Plant(7)


def first(kind: IncidentKind) -> Incident:
    return next(i for i in PLANT.incidents(MONDAY, MONDAY + timedelta(weeks=1)) if i.kind is kind)


def mean(sensor: str, start: datetime, end: datetime) -> float:
    frame = PLANT.samples("shop", start, end, 15)
    return frame.filter(pl.col("sensor") == sensor)["value"].mean()


def around(kind: IncidentKind, sensor: str) -> tuple[float, float, float, float]:
    """Means before the precursor, in its last fifth, in the worst of the incident, and after it."""
    incident, minute = first(kind), timedelta(minutes=1)
    lead = incident.starts_at - incident.precursor_at
    return (
        mean(sensor, incident.precursor_at - 10 * minute, incident.precursor_at),
        mean(sensor, incident.starts_at - lead / 5, incident.starts_at),
        mean(sensor, incident.starts_at + 2 * minute, incident.ends_at - 4 * minute),
        mean(sensor, incident.ends_at, incident.ends_at + 10 * minute),
    )


def test_a_week_starts_on_monday():
    monday = int(MONDAY.timestamp())
    assert week_of(monday) == week_of(monday - 1) + 1 == week_of(monday + 6 * 86_400)


def test_every_week_has_one_incident_of_every_kind():
    for week in range(2900, 2950):
        assert {incident.kind for incident in incidents_of_week(3, week)} == set(IncidentKind)


def test_memory_ramps_for_three_quarters_of_an_hour_before_errors_and_latency():
    incident = first(IncidentKind.MEMORY_LEAK)
    assert incident.starts_at - incident.precursor_at == timedelta(minutes=45)
    before, late, worst, after = around(IncidentKind.MEMORY_LEAK, "replica_memory_used_ratio")
    assert late > 0.85 > before + 0.3
    assert worst > 0.9
    assert after == pytest.approx(before, abs=0.03)
    before, late, worst, after = around(IncidentKind.MEMORY_LEAK, "request_error_ratio")
    assert late == pytest.approx(before, abs=0.002)
    assert worst > 0.05
    assert after < 0.01


def test_connections_climb_before_the_queue_and_latency_blow_up():
    incident = first(IncidentKind.CONNECTION_EXHAUSTION)
    assert timedelta(minutes=20) <= incident.starts_at - incident.precursor_at <= timedelta(minutes=30)
    before, late, worst, after = around(IncidentKind.CONNECTION_EXHAUSTION, "database_connections_used_ratio")
    assert late > 0.8 > before + 0.3
    assert worst > 0.95
    assert after < 0.5
    for sensor, limit in (("request_p95_ms", 2000.0), ("request_queue_count", 200.0)):
        before, late, worst, after = around(IncidentKind.CONNECTION_EXHAUSTION, sensor)
        assert max(before, late, after) < limit / 5 < limit < worst
    before, _, worst, _ = around(IncidentKind.CONNECTION_EXHAUSTION, "replica_cpu_used_ratio")
    assert worst < before


def test_a_flash_crowd_gathers_before_it_comes():
    incident = first(IncidentKind.FLASH_CROWD)
    assert timedelta(minutes=12) <= incident.starts_at - incident.precursor_at <= timedelta(minutes=20)
    before, late, worst, after = around(IncidentKind.FLASH_CROWD, "request_rate_per_second")
    assert before * 1.2 < late < worst
    assert worst > before + 90
    assert after < before + 40


def test_incidents_of_a_span_are_those_that_show_in_it():
    incident = first(IncidentKind.MEMORY_LEAK)
    second = timedelta(seconds=1)
    assert PLANT.incidents(incident.precursor_at - second, incident.precursor_at) == ()
    assert PLANT.incidents(incident.precursor_at, incident.precursor_at + second) == (incident,)
    assert PLANT.incidents(incident.ends_at - second, incident.ends_at) == (incident,)
    assert PLANT.incidents(incident.ends_at, incident.ends_at + second) == ()
