"""What readings amount to."""

from datetime import UTC, datetime

import pytest

from maximus_assets.contracts.prediction import Forecast
from maximus_assets.contracts.situation import Reading
from maximus_assets.contracts.target import DEFAULT_TARGETS
from serving.analyze import analyze

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
HOST = DEFAULT_TARGETS[0]
FORECAST = Forecast(target="host", sensor="cpu_used_cores", issued_at=NOON, status="no_champion")


def reading(sensor, value, *, must_fail_safe=False):
    return Reading(
        sensor=sensor,
        value=value,
        observed_at=NOON,
        is_fresh=value is not None,
        must_fail_safe=must_fail_safe,
    )


def situation(*readings):
    demand = reading("cpu_used_cores", 0.5)
    return analyze(HOST, {one.sensor: one for one in (demand, *readings)}, FORECAST, NOON)


@pytest.mark.parametrize(
    ("value", "severity"), [(0.79, "normal"), (0.8, "warning"), (0.949, "warning"), (0.95, "critical")]
)
def test_reaching_a_threshold_is_crossing_it(value, severity):
    assert situation(reading("cpu_used_ratio", value)).severity == severity


def test_the_worst_reading_gives_the_severity_and_every_concern_is_named():
    seen = situation(
        reading("cpu_used_ratio", 0.99), reading("memory_used_ratio", 0.86), reading("load_1m", 99.0)
    )
    assert seen.severity == "critical"
    assert seen.concerns == (
        "cpu_used_ratio is at or beyond its critical threshold",
        "memory_used_ratio is at or beyond its warning threshold",
    )


def test_an_absent_value_is_no_concern_unless_it_must_fail_safe():
    assert not situation(reading("cpu_used_ratio", None)).telemetry_lost
    lost = situation(reading("cpu_used_cores", None, must_fail_safe=True))
    assert lost.telemetry_lost
    assert lost.concerns == ("cpu_used_cores is missing",)


def test_a_demand_sensor_nobody_reads_is_lost_telemetry():
    lost = analyze(HOST, {"load_1m": reading("load_1m", 1.0)}, FORECAST, NOON)
    assert lost.telemetry_lost
    assert lost.readings["cpu_used_cores"].value is None
