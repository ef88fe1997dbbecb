"""The catalogue is complete and its thresholds mean what they say."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maximus_assets.contracts.catalogue import CATALOGUE, DEMAND_SENSORS, HOST_SENSORS, SERVICE_SENSORS
from maximus_assets.contracts.sensors import Category, Sensor, Thresholds

UNIT_ENDINGS = {
    "ratio": "_ratio",
    "cores": "_cores",
    "bytes": "_bytes",
    "bytes_per_second": "_bytes_per_second",
    "per_second": "_per_second",
    "ms": "_ms",
    "count": "_count",
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
