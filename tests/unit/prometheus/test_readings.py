"""Whose a series is, and from when: never a guess."""

import numpy as np
import pytest

from maximus_assets.contracts.prometheus import PrometheusSection, PromQLSensor
from maximus_assets.prometheus.answers import Answer, LabelledSeries
from maximus_assets.prometheus.feeds import Feed, feeds
from maximus_assets.prometheus.promql import PART
from maximus_assets.prometheus.readings import by_target, present


def one(value, *, part="value", **labels):
    return LabelledSeries({**labels, PART: part}, np.array([1000.0]), np.array([value]))


@pytest.fixture
def feed(section_of):
    return feeds([section_of("http://h:1")])["shop"][0]


def test_a_value_carries_the_instant_of_its_raw_sample(feed):
    found = present(feed, Answer((one(5.0, instance="a:1"), one(985.0, part="at", instance="a:1"))))
    assert found.values == {"a": (985.0, 5.0)}


@pytest.mark.parametrize(
    "series",
    [
        [one(5.0, instance="a:1")],  # its raw series has vanished, the query's window still answers
        [one(985.0, part="at", instance="a:1")],
        [one(np.nan, instance="a:1"), one(985.0, part="at", instance="a:1")],
        [one(np.inf, instance="a:1"), one(985.0, part="at", instance="a:1")],
        [one(5.0, instance="c:1"), one(985.0, part="at", instance="c:1")],
        [one(5.0, pod="a:1"), one(985.0, part="at", pod="a:1")],
        [],
    ],
)
def test_what_is_not_there_is_missing(feed, series):
    found = present(feed, Answer(tuple(series)))
    assert found.values == {}
    assert found.ambiguous == {}


def test_two_series_of_one_target_are_named_and_cost_no_other_its_value(feed):
    series = (
        one(1.0, instance="a:1", zone="x"),
        one(2.0, instance="a:1", zone="y"),
        one(3.0, instance="b:1"),
        one(985.0, part="at", instance="a:1"),
        one(985.0, part="at", instance="b:1"),
    )
    found = present(feed, Answer(series))
    assert found.values == {"b": (985.0, 3.0)}
    assert '{instance="a:1", zone="x"} and {instance="a:1", zone="y"}' in found.ambiguous["a"]


def test_with_several_labels_a_mixture_of_two_targets_is_nobodys():
    section = PrometheusSection(
        name="k",
        url="http://h:1",
        recipes=("kube_state_metrics",),
        targets={"a": {"namespace": "n", "deployment": "d"}, "b": {"namespace": "m", "deployment": "e"}},
    )
    (feed, *_) = feeds([section])["k"]
    mixture = one(1.0, namespace="n", deployment="e")
    mine = one(1.0, namespace="m", deployment="e")
    assert by_target(feed, [mixture, mine]) == {"b": [mine]}


def test_the_first_section_that_has_a_sensor_of_a_target_gives_it(section_of):
    again = section_of(
        "http://other:1", name="other", targets={"b": {"instance": "b:1"}, "c": {"instance": "c:1"}}
    )
    found = feeds([section_of("http://h:1"), again])
    assert [feed.targets for feed in found["shop"]] == [("a", "b")]
    assert [feed.targets for feed in found["other"]] == [("c",)]


def test_an_own_query_takes_the_place_of_a_recipes(section_of):
    own = PromQLSensor(sensor="load_1m", query="l{$selector}", metric="l", unit="load")
    section = section_of("http://h:1", recipes=("node_exporter",), sensors=(own,))
    queries = {feed.sensor.sensor: feed.sensor for feed in feeds([section])["shop"]}
    assert queries["load_1m"] is own
    assert "cpu_used_cores" in queries


def test_units_are_turned_into_the_sensors_own(section_of):
    own = PromQLSensor(sensor="request_p95_ms", query="l{$selector}", metric="l", unit="seconds")
    feed = Feed(section_of("http://h:1", sensors=(own,)), own, ("a",))
    found = present(feed, Answer((one(0.2, instance="a:1"), one(985.0, part="at", instance="a:1"))))
    assert found.values == {"a": (985.0, 200.0)}
