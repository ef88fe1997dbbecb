"""Labels inside PromQL: they neither end the query nor widen it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maximus_assets.contracts.prometheus import PromQLSensor
from maximus_assets.prometheus.promql import dated, fill, quoted, regex_literal, selector, while_fresh

SENSOR = PromQLSensor(
    sensor="request_rate_per_second",
    query='sum by ($by) (rate(r_total{$selector, code=~"2..$"}[$window]))',
    metric="r_total",
    unit="per_second",
)


@given(st.text())
def test_a_quoted_text_has_no_bare_quote_and_no_bare_line_end(text):
    inside = quoted(text)[1:-1]
    assert re.fullmatch(r'(?:[^"\\\n]|\\["\\nrt])*', inside)


@given(st.text(alphabet=st.characters(codec="ascii")), st.text(alphabet=st.characters(codec="ascii")))
def test_an_escaped_text_matches_itself_alone(text, other):
    assert re.fullmatch(regex_literal(text), text)
    assert bool(re.fullmatch(regex_literal(text), other)) == (text == other)


def test_one_target_is_matched_exactly_and_several_by_an_escaped_choice():
    assert selector([{"instance": "a.b:9"}], {"job": "x"}) == 'job="x", instance="a.b:9"'
    both = selector([{"instance": "b+1"}, {"instance": 'a.b"'}], {})
    assert both == r'instance=~"a\\.b\"|b\\+1"'


def test_what_targets_have_in_common_is_matched_once():
    both = selector([{"namespace": "n", "pod": "a"}, {"namespace": "n", "pod": "b"}], {})
    assert both == 'namespace="n", pod=~"a|b"'


def test_placeholders_are_filled_and_a_dollar_of_a_regular_expression_stays():
    said = fill(SENSOR.query, matchers='i="a"', by=("i", "j"), window_seconds=90)
    assert said == 'sum by (i, j) (rate(r_total{i="a", code=~"2..$"}[90s]))'


def test_a_value_is_asked_for_together_with_the_instant_of_its_raw_series():
    said = dated(SENSOR, matchers='i="a"', by=("i",), window_seconds=90)
    assert 'max by (i) (timestamp(r_total{i="a"}))' in said
    assert said.count("maximus_part") == 2
    past = while_fresh(SENSOR, matchers='i="a"', by=("i",), window_seconds=90, limit_seconds=60)
    assert past.endswith('and on (i) (time() - (max by (i) (timestamp(r_total{i="a"}))) <= 60)')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"query": "up"}, "does not say \\$selector"),
        (
            {"query": "x{$selector}[$interval]"},
            r"\$interval is no placeholder; there are \$selector, \$by, \$window",
        ),
        ({"sensor": "cpu_cores"}, "cpu_cores is not in the sensor catalogue"),
        (
            {"unit": "bytes"},
            "unit bytes cannot become request_rate_per_second's; it may be per_minute or per_second",
        ),
        ({"metric": "a-b"}, "metric"),
    ],
)
def test_a_query_that_cannot_be_meant_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        PromQLSensor.model_validate({**SENSOR.model_dump(), **change})


def test_units_are_turned_into_the_sensors_own():
    given_in = {"sensor": "request_p95_ms", "query": "x{$selector}", "metric": "x"}
    assert PromQLSensor(**given_in, unit="seconds").factor == 1000
    assert PromQLSensor(**given_in, unit="ms").factor == 1
