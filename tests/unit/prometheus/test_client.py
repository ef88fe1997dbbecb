"""Asking a server that may be down, slow, somebody else, or lying: each has one declared outcome, within bounds."""

import itertools
import json
from base64 import b64encode

import pytest

from maximus_assets.contracts.errors import Permanent, Retryable
from maximus_assets.prometheus.client import SERVER_MAX_STEPS, Limits, PrometheusClient
from maximus_assets.prometheus.errors import (
    AccessRefusedError,
    NotPrometheusError,
    QueryRefusedError,
    ServerUnavailableError,
    TooMuchDataError,
)

ONCE = Limits(tries=1, timeout_seconds=5)


def matrix(points, **labels):
    series = [{"metric": labels, "values": points}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": series}}).encode()


@pytest.fixture
def ask(server, section_of):
    def ask(**limits):
        with PrometheusClient(
            section_of(server.url), Limits(**{"tries": 1, "timeout_seconds": 5, **limits})
        ) as one:
            return one.instant("up", 1000.0)

    return ask


def test_a_server_that_is_down_is_worth_another_try(section_of, server):
    server.says(b"")
    with (
        PrometheusClient(section_of("http://127.0.0.1:9"), ONCE) as client,
        pytest.raises(ServerUnavailableError, match=r"Prometheus shop at http://127\.0\.0\.1:9"),
    ):
        client.instant("up", 1000.0)
    assert issubclass(ServerUnavailableError, Retryable)


def test_a_server_that_never_answers_costs_its_timeout(server, ask):
    server.answer = lambda handler: server.released.wait(20)
    with pytest.raises(ServerUnavailableError):
        ask(timeout_seconds=0.1)


def test_a_server_that_drips_bytes_is_given_up_at_the_deadline(server, ask):
    def drip(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.end_headers()
        while not server.released.wait(0.02):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    server.answer = drip
    with pytest.raises(ServerUnavailableError, match=r"no whole answer within 0\.2 s"):
        ask(timeout_seconds=0.2)


def test_an_answer_that_breaks_off_is_worth_another_try(server, ask):
    def break_off(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"status":"success"')
        handler.wfile.flush()
        handler.close_connection = True

    server.answer = break_off
    with pytest.raises(ServerUnavailableError):
        ask()


def test_json_that_was_cut_by_a_proxy_is_worth_another_try(server, ask):
    server.says(b'{"status":"success","data":{"resultType":"vec')
    with pytest.raises(ServerUnavailableError, match="no whole JSON document"):
        ask()


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [
        (200, "text/html", b"<html>Grafana</html>"),
        (404, "text/plain", b"404 page not found"),
        (405, "text/plain", b"method not allowed"),
        (302, "text/html", b""),
        (200, "application/json", b"[]"),
        (200, "application/json", b'{"version": "1.0"}'),
        (200, "application/json", b'{"status":"success","data":{"resultType":"streams","result":[]}}'),
        (
            200,
            "application/json",
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
        ),
        (
            200,
            "application/json",
            b'{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"many"]}]}}',
        ),
        (
            200,
            "application/json",
            b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[2,"1"],[1,"1"]]}]}}',
        ),
    ],
)
def test_what_is_no_prometheus_is_told_so_and_not_asked_again(server, ask, status, kind, body):
    server.says(body, status=status, kind=kind)
    with pytest.raises(NotPrometheusError):
        ask(tries=3)
    assert len(server.asked) == 1


def test_native_histograms_are_refused_with_what_to_do(server, ask):
    series = [{"metric": {}, "histogram": [1, {"count": "1"}]}]
    server.says(
        json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()
    )
    with pytest.raises(NotPrometheusError, match="histogram_quantile"):
        ask()


def test_ten_million_points_are_refused_before_they_are_read(server, section_of):
    points = [[at, "1"] for at in range(1000, 1101)]
    server.says(matrix(points))
    with (
        PrometheusClient(section_of(server.url), Limits(tries=1, max_points=100)) as client,
        pytest.raises(TooMuchDataError, match="101 points, more than 100"),
    ):
        client.range("q", 1000, 1101, 1)
    assert Limits().max_points < 10_000_000
    assert issubclass(TooMuchDataError, Permanent)


def test_a_body_is_not_read_beyond_its_bound(server, ask):
    server.says(b" " * 200_000)
    with pytest.raises(TooMuchDataError, match="more than 100,000 bytes"):
        ask(max_bytes=100_000)


def test_the_servers_reason_for_refusing_a_query_is_passed_on(server, ask):
    server.says(b'{"status":"error","errorType":"bad_data","error":"parse error: x"}', status=400)
    with pytest.raises(QueryRefusedError, match="parse error: x"):
        ask(tries=3)
    assert len(server.asked) == 1


def test_a_query_that_timed_out_on_the_server_is_worth_another_try(server, ask):
    server.says(b'{"status":"error","errorType":"timeout","error":"query timed out"}', status=422)
    with pytest.raises(ServerUnavailableError, match="query timed out"):
        ask()


def test_a_busy_server_is_asked_again_after_the_delay_it_names(server, section_of):
    delays = []

    def recover(seconds):
        delays.append(seconds)
        if len(delays) == 2:
            server.says(
                b'{"status":"success","warnings":["a store is away"],"data":{"resultType":"scalar","result":[7,"3.5"]}}'
            )

    server.says(b"busy", status=503, kind="text/plain", Retry_After="7")
    with PrometheusClient(section_of(server.url), Limits(tries=3), sleep=recover) as client:
        answer = client.instant("x", 7.0)
    assert delays == [7.0, 7.0]
    assert [one.values.tolist() for one in answer.series] == [[3.5]]
    assert answer.warnings == ("a store is away",)


def test_tries_come_to_an_end(server, section_of):
    delays = []
    server.says(b"", status=500)
    with (
        PrometheusClient(section_of(server.url), Limits(tries=3), sleep=delays.append) as client,
        pytest.raises(ServerUnavailableError, match="HTTP 500"),
    ):
        client.instant("x", 7.0)
    assert len(server.asked) == 3
    assert len(delays) == 2


def test_a_long_range_is_asked_for_in_pages_that_the_server_takes(server, section_of):
    with PrometheusClient(section_of(server.url), ONCE) as client:
        client.range("q", 7, 15 * 25_000, 15)
    asked = [(float(form["start"][0]), float(form["end"][0])) for _, form, _ in server.asked]
    assert asked[0][0] == 15
    assert asked[-1][1] == 15 * 24_999
    assert all(after[0] == before[1] + 15 for before, after in itertools.pairwise(asked))
    assert all((end - start) / 15 < SERVER_MAX_STEPS for start, end in asked)
    assert len(asked) == 3


def test_pages_of_many_series_are_shorter(server, section_of):
    limits = Limits(tries=1, page_points=10_000)
    with PrometheusClient(section_of(server.url), limits) as client:
        client.range("q", 0, 1000, 1, series=100)
    assert len(server.asked) == 10


def test_an_empty_range_asks_nothing(server, section_of):
    with PrometheusClient(section_of(server.url), ONCE) as client:
        assert client.range("q", 1, 14, 15).series == ()
    assert server.asked == []


def test_a_token_is_read_anew_for_each_request_and_never_shown(server, section_of, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    with PrometheusClient(section_of(server.url, bearer_token_file=file), ONCE) as client:
        client.instant("x", 7.0)
        file.write_text("second\n")
        client.instant("x", 7.0)
        server.says(b"no", status=401, kind="text/plain")
        with pytest.raises(AccessRefusedError, match="HTTP 401") as caught:
            client.instant("x", 7.0)
    sent = [headers["Authorization"] for _, _, headers in server.asked]
    assert sent == ["Bearer first", "Bearer second", "Bearer second"]
    assert "second" not in str(caught.value)


def test_a_password_comes_from_its_file(server, section_of, tmp_path):
    file = tmp_path / "password"
    file.write_text("hunter2")
    with PrometheusClient(section_of(server.url, username="me", password_file=file), ONCE) as client:
        client.instant("x", 7.0)
    assert server.asked[0][2]["Authorization"] == "Basic " + b64encode(b"me:hunter2").decode()


@pytest.mark.parametrize("content", [None, b"", b"one\ntwo", b"\xff\xfe"])
def test_a_credential_that_cannot_be_read_is_named_by_its_file_alone(server, section_of, tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with (
        PrometheusClient(section_of(server.url, bearer_token_file=file), ONCE) as client,
        pytest.raises(AccessRefusedError, match="token") as caught,
    ):
        client.instant("x", 7.0)
    assert "two" not in str(caught.value)
    assert server.asked == []


def test_a_file_without_certificates_is_refused(section_of, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(AccessRefusedError, match=r"ca\.pem"):
        PrometheusClient(section_of("https://127.0.0.1:9", ca_file=file))
