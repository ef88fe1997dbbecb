"""What becomes of a past that a server gives badly: each sensor and target that is missing is named, with what to do next."""

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from maximus_assets.contracts.target import ReplicaSizing, Target
from maximus_assets.prometheus.client import Limits, PrometheusClient
from maximus_assets.telemetry import history
from maximus_assets.telemetry.history import answering, count_samples, read_prometheus

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SPAN = (NOON - timedelta(hours=1), NOON)
TARGETS = [
    Target(name=name, source="prometheus", demand_sensor="request_queue_count", sizing=ReplicaSizing())
    for name in "ab"
]
MANY = ",".join(f'[{NOON.timestamp() - 3600 + 15 * at},"1"]' for at in range(100))
MATRIX = '{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"instance":"a:1"},"values":[%s]}]}}'


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(history, "PrometheusClient", partial(PrometheusClient, sleep=lambda seconds: None))


@pytest.mark.parametrize(
    ("body", "status", "kind", "may_pass"),
    [
        (b"busy", 503, "text/plain", True),
        (b'{"status":"succ', 200, "application/json", True),
        (b"<html>hello</html>", 200, "text/html", True),
        (b'{"status":"success","data":{"resultType":"streams","result":[]}}', 200, "application/json", True),
        (b"no", 401, "text/plain", True),
        (b'{"status":"error","errorType":"bad_data","error":"parse error"}', 400, "application/json", False),
        ((MATRIX % MANY).encode(), 200, "application/json", False),
    ],
    ids=[
        "overloaded",
        "truncated",
        "a-web-page",
        "another-version",
        "no-access",
        "bad-query",
        "too-many-points",
    ],
)
def test_whatever_a_server_answers_both_targets_are_named_with_the_reason(
    server, section_of, body, status, kind, may_pass
):
    server.says(body, status=status, kind=kind)

    past = read_prometheus([section_of(server.url)], TARGETS, *SPAN, limits=Limits(max_points=50))

    assert past.frame.is_empty()
    assert [(one.target, one.sensor) for one in past.unread] == [
        ("a", "request_queue_count"),
        ("b", "request_queue_count"),
    ]
    assert {one.may_pass for one in past.unread} == {may_pass}
    assert all(server.url in str(one.error) for one in past.unread)


def test_a_server_that_is_down_is_not_asked_for_every_sensor(section_of):
    asked = read_prometheus([section_of("http://127.0.0.1:9")], TARGETS, *SPAN)

    assert len(asked.unread) == 2
    assert count_samples([section_of("http://127.0.0.1:9")], TARGETS, [SPAN]) == [{}]
    assert answering([section_of("http://127.0.0.1:9")], TARGETS, {"a"}, NOON) == set()


def test_a_server_that_answers_answers_for_the_targets_it_is_asked_about(server, section_of):
    sections = [section_of(server.url)]

    assert answering(sections, TARGETS, {"a"}, NOON) == {"a", "b"} & {"a"}
    assert count_samples(sections, TARGETS, [SPAN, SPAN]) == [{"a": 0, "b": 0}] * 2
    assert read_prometheus(sections, TARGETS, *SPAN).unread == ()
