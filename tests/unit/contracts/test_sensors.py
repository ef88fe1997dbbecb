"""The catalogue is complete and its thresholds mean what they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maximus_assets.contracts.catalogue import (
    CATALOGUE,
    CORES,
    DEMAND_SENSORS,
    HOST_SENSORS,
    SERVICE_SENSORS,
    collected_by,
)
from maximus_assets.contracts.sensors import Category, Sensor, Thresholds

UNIT_ENDINGS = {
    "ratio": "_ratio",
    "cores": "_cores",
    "bytes": "_bytes",
    "bytes_per_second": "_bytes_per_second",
    "per_second": "_per_second",
    "ms": "_ms",
    "seconds": "_seconds",
    "count": "_count",
    "celsius": "_celsius",
    "watts": "_watts",
}


@pytest.mark.parametrize("sensor", CATALOGUE.values(), ids=str)
def test_a_sensor_names_its_unit_and_its_thresholds_are_reachable(sensor: Sensor) -> None:
    ending = UNIT_ENDINGS.get(sensor.unit)
    assert ending is None or sensor.name.endswith(ending)
    if sensor.thresholds is not None:
        assert sensor.is_plausible(sensor.thresholds.warning)
        assert sensor.is_plausible(sensor.thresholds.critical)


def test_not_a_number_and_infinity_are_never_plausible() -> None:
    assert not any(
        sensor.is_plausible(value)
        for sensor in CATALOGUE.values()
        for value in (math.nan, math.inf, -math.inf)
    )


def test_the_host_and_the_service_cover_what_they_promise() -> None:
    assert {CATALOGUE[name].category for name in HOST_SENSORS} == {
        Category.COMPUTE,
        Category.NETWORK,
        Category.STORAGE,
    }
    assert {CATALOGUE[name].category for name in SERVICE_SENSORS} >= {Category.APPLICATION, Category.STORAGE}
    assert set(DEMAND_SENSORS) <= set(CATALOGUE)


def test_there_are_more_than_fifty_kinds_in_five_categories() -> None:
    # The processors one by one are one kind.
    kinds = [sensor for sensor in CATALOGUE.values() if not sensor.name.startswith("cpu_core_")]
    assert len(CATALOGUE) - len(kinds) == CORES
    assert len(kinds) >= 50
    assert {sensor.category for sensor in kinds} == set(Category)


def test_the_simulated_service_reports_what_it_is_said_to_collect() -> None:
    assert sorted(SERVICE_SENSORS) == sorted(collected_by("simulated"))


def test_a_rate_or_a_share_of_time_moves_unless_the_catalogue_says_that_it_may_stand_still() -> None:
    """Limits, sizes and counts may stand still; what these sensors measure can come to rest at any value."""
    rates = {sensor.name for sensor in CATALOGUE.values() if sensor.kind == "rate"}
    assert {name for name in rates if CATALOGUE[name].frozen_after_seconds is None} == {
        "request_error_ratio",  # of a service that always or never fails
        "replica_restarts_per_second",
        "disk_operation_ms",  # of few operations, in whole milliseconds
        "database_rollback_ratio",
        "database_cache_hit_ratio",  # all of it in memory
        "database_deadlocks_per_second",
        "redis_hit_ratio",
        "redis_operations_per_second",  # of a server that only answers us, as often each time
        "redis_evictions_per_second",
        "redis_refused_connections_per_second",
    }
    moving = [sensor for sensor in CATALOGUE.values() if sensor.frozen_after_seconds is not None]
    assert not [s.name for s in moving if s.name.endswith(("_limit_bytes", "_limit_cores", "_size_bytes"))]


def test_a_value_is_frozen_only_after_its_time_and_never_where_it_may_rest() -> None:
    rate = CATALOGUE["request_rate_per_second"]
    assert rate.frozen_after_seconds is not None
    assert not rate.is_frozen(7.0, rate.frozen_after_seconds)
    assert rate.is_frozen(7.0, rate.frozen_after_seconds + 1)
    assert not rate.is_frozen(0.0, 1e9)
    assert not CATALOGUE["memory_limit_bytes"].is_frozen(7.0, 1e9)


def test_a_sensor_that_could_never_be_true_is_refused() -> None:
    known = CATALOGUE["cpu_used_ratio"].model_dump()
    with pytest.raises(ValidationError, match="not below maximum"):
        Sensor.model_validate(known | {"minimum": 1.0})
    with pytest.raises(ValidationError, match="frozen before it could be stale"):
        Sensor.model_validate(known | {"frozen_after_seconds": 30.0})
    with pytest.raises(ValidationError, match="needs no values to rest at"):
        Sensor.model_validate(known | {"frozen_after_seconds": None})
    with pytest.raises(ValidationError, match="collected_by"):
        Sensor.model_validate(known | {"collected_by": ()})


def test_losing_a_demand_sensor_forbids_taking_capacity_away() -> None:
    assert {CATALOGUE[name].missing.kind for name in DEMAND_SENSORS} == {"fail_safe"}


@given(st.floats(-10, 10), st.floats(-10, 10), st.booleans(), st.floats(-20, 20))
def test_severity_never_eases_as_a_value_worsens(
    first: float, second: float, is_high_bad: bool, value: float
) -> None:
    low, high = sorted((first, second))
    thresholds = (
        Thresholds(warning=low, critical=high)
        if is_high_bad
        else Thresholds(warning=high, critical=low, is_high_bad=False)
    )
    order = ["normal", "warning", "critical"]
    worse = value + 1.0 if is_high_bad else value - 1.0
    assert order.index(thresholds.severity(worse)) >= order.index(thresholds.severity(value))
    assert thresholds.severity(thresholds.critical) == "critical"


def test_thresholds_the_wrong_way_round_are_refused() -> None:
    with pytest.raises(ValidationError, match="beyond the warning"):
        Thresholds(warning=0.9, critical=0.5)
