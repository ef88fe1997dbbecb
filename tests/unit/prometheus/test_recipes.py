"""Ready queries: of the catalogue, for sensors that say that Prometheus can give them, and safe to aggregate."""

import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prometheus import RECIPE_NAMES
from maximus_assets.prometheus.recipes import recipe


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_a_recipe_gives_each_of_its_sensors_once_and_none_that_is_no_matter_of_prometheus(name):
    sensors = [sensor.sensor for sensor in recipe(name)]
    assert sensors
    assert len(set(sensors)) == len(sensors)
    assert [sensor for sensor in sensors if "prometheus" not in CATALOGUE[sensor].collected_by] == []


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_query_of_a_recipe_comes_to_one_series_a_target(name):
    for sensor in recipe(name):
        assert "by ($by)" in sensor.query or "by (le, $by)" in sensor.query, sensor.sensor


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_the_series_that_dates_a_value_is_one_the_value_is_made_from(name):
    for sensor in recipe(name):
        assert f"{sensor.metric}{{$selector" in sensor.query, sensor.sensor
