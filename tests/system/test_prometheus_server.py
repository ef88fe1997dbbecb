"""What a real Prometheus says of a past we gave it: its own functions against ours, recipes, paging, gaps, resets."""

import re
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maximus_assets.contracts.prometheus import RECIPE_NAMES, PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import CoreSizing, ReplicaSizing, Target
from maximus_assets.prometheus.client import Limits, PrometheusClient
from maximus_assets.prometheus.counters import increase, rate
from maximus_assets.prometheus.errors import AmbiguousSeriesError, QueryRefusedError, TooMuchDataError
from maximus_assets.prometheus.feeds import feeds
from maximus_assets.prometheus.histograms import histogram_quantile
from maximus_assets.prometheus.promql import quoted, selector
from maximus_assets.prometheus.readings import read_past, read_present
from maximus_assets.telemetry.history import read_prometheus

pytestmark = pytest.mark.prometheus

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
AT = NOON.timestamp()


def sensor(query, metric, name="request_queue_count", unit="count"):
    return PromQLSensor(sensor=name, query=query, metric=metric, unit=unit)


RATE = sensor(
    "sum by ($by) (rate(shop_requests_total{$selector}[$window]))",
    "shop_requests_total",
    "request_rate_per_second",
    "per_second",
)


@pytest.fixture
def section(prometheus):
    def make(*sensors, **more):
        return PrometheusSection(
            **{
                "name": "shop",
                "url": prometheus.url,
                "targets": {name: {"instance": name} for name in "abc"},
                "matchers": {"job": "shop"},
                "sensors": sensors,
                **more,
            }
        )

    return make


@pytest.fixture
def client(section):
    with PrometheusClient(section(RATE), Limits(tries=1)) as client:
        yield client


def values(answer):
    return {tuple(sorted(one.labels.items())): one.values.tolist() for one in answer.series}


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_a_real_server_parses_every_query_of_a_recipe(client, section, recipe):
    strange = {"one": {"instance": 'a"b\\{}$x'}, "two": {"instance": "c.d|e\n"}}
    for feed in feeds([section(recipes=(recipe,), targets=strange)])["shop"]:
        assert read_present(client, feed, AT).values == {}, feed.sensor.sensor
        assert read_past(client, feed, AT - 60, AT, 15).values == {}, feed.sensor.sensor


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(min_size=1).filter(lambda text: text.isprintable() or "\n" in text),
        min_size=2,
        max_size=3,
        unique=True,
    )
)
def test_any_label_value_stays_one_value_inside_a_real_query(client, names):
    chosen = f'label_replace(vector(1), "l", {quoted(names[0].replace("$", "$$"))}, "", "")'
    (one,) = client.instant(chosen, AT).series
    assert one.labels["l"] == names[0]
    client.instant(f"x{{{selector([{'l': name} for name in names], {})}}}", AT)


def test_growth_of_raw_counters_is_what_the_server_says_of_them(client):
    compared = 0
    for instance in "abc":
        for minutes in range(0, 175, 7):
            for window in (60, 300, 1800):
                end = AT - minutes * 60 - 4
                picked = f'shop_requests_total{{instance="{instance}"}}[{window}s]'
                raw = values(client.instant(picked, end))
                said = values(client.instant(f"increase({picked})", end))
                (points,) = raw_points(client, picked, end) or ([],)
                if not said:
                    assert not raw or len(points) < 2
                    continue
                seconds, counts = np.array(points).T
                (expected,) = next(iter(said.values()))
                assert increase(seconds, counts, end - window, end) == pytest.approx(expected, rel=1e-9)
                assert rate(seconds, counts, end - window, end) == pytest.approx(expected / window, rel=1e-9)
                compared += 1
    assert compared > 100


def raw_points(client, picked, end):
    return [list(zip(one.seconds, one.values, strict=True)) for one in client.instant(picked, end).series]


def test_quantiles_of_buckets_are_what_the_server_says_of_them(client):
    buckets = {
        float(dict(labels)["le"]): float(value)
        for labels, (value,) in values(client.instant("shop_latency_seconds_bucket", AT)).items()
    }
    for quantile in (-0.1, 0.0, 0.1, 0.25, 0.5, 0.55, 0.9, 0.95, 0.99, 1.0, 1.1):
        (said,) = client.instant(f"histogram_quantile({quantile}, shop_latency_seconds_bucket)", AT).series
        assert histogram_quantile(quantile, buckets) == pytest.approx(float(said.values[0]), nan_ok=True)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(
        st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.5, float("inf")]), st.integers(0, 50), max_size=6
    ),
    st.floats(0, 1),
)
def test_quantiles_of_any_buckets_are_the_servers(client, buckets, quantile):
    made = " or ".join(
        f'label_replace(vector({count}), "le", "{"+Inf" if bound == float("inf") else bound}", "", "")'
        for bound, count in buckets.items()
    )
    (said,) = client.instant(f"histogram_quantile({quantile}, {made})", AT).series if made else (None,)
    expected = float("nan") if said is None else float(said.values[0])
    assert histogram_quantile(quantile, buckets) == pytest.approx(expected, nan_ok=True)


def test_a_long_range_comes_whole_although_the_server_refuses_it_at_once(client):
    with pytest.raises(QueryRefusedError, match="11,000 points"):
        client._ask(
            "query_range",
            {"query": "shop_load", "start": f"{AT - 864_000}", "end": f"{AT}", "step": "60"},
            10**6,
        )
    (one,) = client.range("shop_load", AT - 864_000, AT, 60).series
    assert one.seconds.tolist() == [AT - 864_000 + 60 * i for i in range(14_400)]
    assert one.values.tolist() == [at // 60 % 1440 for at in one.seconds]


def test_more_points_than_declared_are_refused(section):
    with (
        PrometheusClient(section(RATE), Limits(tries=1, max_points=12_000)) as client,
        pytest.raises(TooMuchDataError),
    ):
        client.range("shop_load", AT - 864_000, AT, 60)


def test_a_target_that_vanished_is_missing_and_comes_back(client, section):
    (feed,) = feeds([section(RATE)])["shop"]
    away = read_present(client, feed, AT - 3000)  # ten minutes after b stopped; c has not begun
    assert set(away.values) == {"a"}
    just_gone = read_present(client, feed, AT - 3600 + 45)  # the query's window still answers
    assert just_gone.values["b"][0] == AT - 3615
    past = read_past(client, feed, AT - 7200, AT, 15).values
    seconds = past["b"].seconds
    assert not ((seconds > AT - 3600 + 60) & (seconds < AT - 2400)).any()
    assert (seconds >= AT - 2400).any()


def test_a_counter_that_starts_again_is_no_negative_and_no_enormous_rate(client, section):
    (feed,) = feeds([section(RATE)])["shop"]
    past = read_past(client, feed, AT - 9000, AT - 5400, 15).values
    assert past["a"].values.min() > 1.5
    assert past["a"].values.max() < 2.5


def test_a_target_with_three_points_has_what_they_say_and_no_more(client, section):
    (queue,) = feeds([section(sensor("shop_queue{$selector}", "shop_queue"))])["shop"]
    assert read_past(client, queue, AT - 7200, AT + 15, 15).values["c"].seconds.tolist() == [
        AT - 30,
        AT - 15,
        AT,
    ]
    (demand,) = feeds([section(RATE)])["shop"]
    assert (
        len(read_past(client, demand, AT - 7200, AT + 15, 15).values["c"].seconds) == 2
    )  # the first point has no rate


def test_numbers_that_are_none_are_missing(client, section):
    (feed,) = feeds([section(sensor("shop_strange{$selector}", "shop_strange"))])["shop"]
    assert read_present(client, feed, AT).values == {"c": (AT, 5.0)}


def test_two_series_of_one_target_are_refused_and_both_named(client, section):
    (feed,) = feeds([section(sensor("shop_zone{$selector}", "shop_zone"))])["shop"]
    past = read_past(client, feed, AT - 600, AT, 15)
    assert isinstance(past.ambiguous["a"], AmbiguousSeriesError)
    assert re.search(r'target a .*zone="x".* and .*zone="y"', str(past.ambiguous["a"]))
    assert "a" not in past.values
    assert "two series" in read_present(client, feed, AT).ambiguous["a"]


def test_a_series_that_goes_on_under_another_label_is_one(client, section):
    (feed,) = feeds([section(sensor("shop_moved{$selector}", "shop_moved"))])["shop"]
    (one,) = read_past(client, feed, AT - 10_800, AT, 60).values.values()
    assert (np.diff(one.seconds) > 0).all()
    assert set(one.values) == {3.0}


def test_a_query_the_server_does_not_parse_is_refused_by_name(client, section):
    (feed,) = feeds([section(sensor("rate(shop_queue{$selector})", "shop_queue"))])["shop"]
    with pytest.raises(QueryRefusedError, match="parse error"):
        read_present(client, feed, AT)


def test_a_day_is_read_as_a_telemetry_frame(section):
    targets = [
        Target(
            name=name, source="prometheus", demand_sensor="request_rate_per_second", sizing=ReplicaSizing()
        )
        for name in "abc"
    ]
    other = Target(name="host", source="host", demand_sensor="cpu_used_cores", sizing=CoreSizing())
    sections = [section(RATE, sensor("shop_queue{$selector}", "shop_queue"))]
    frame = read_prometheus(sections, [*targets, other], NOON - timedelta(hours=2), NOON).frame
    counts = {tuple(row[:2]): row[2] for row in frame.group_by("target", "sensor").len().iter_rows()}
    assert counts["a", "request_rate_per_second"] == counts["a", "request_queue_count"] == 480
    assert set(frame["target"]) == set("abc")
    assert frame["observed_at"].min() >= NOON - timedelta(hours=2)
    assert frame["observed_at"].max() < NOON
    rates = frame.filter(pl.col("target") == "a", pl.col("sensor") == "request_rate_per_second")["value"]
    assert rates.mean() == pytest.approx(2.0, rel=0.02)
    watched = read_prometheus(sections, [targets[0], other], NOON - timedelta(hours=2), NOON).frame
    assert set(watched["target"]) == {"a"}
    assert read_prometheus(sections, targets, NOON, NOON).frame.is_empty()


def test_the_server_we_asked_is_a_prometheus(prometheus):
    said = httpx.get(f"{prometheus.url}/api/v1/status/buildinfo", trust_env=False).json()
    assert said["data"]["version"]
