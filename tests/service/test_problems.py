"""Every failure has the one shape: whatever went wrong, on whatever route."""

import pytest

from serving.gateway.problems import KINDS, MEDIA_TYPE, Problem
from serving.settings import Settings
from serving.wiring import build_gateway

pytestmark = pytest.mark.anyio
READING = ("/api/v1/governance/decisions", "/api/v1/autonomic/forecasts?target=host")
EVERY = (
    "/",
    "/docs",
    "/metrics",
    "/openapi.json",
    "/static/style.css",
    "/api/v1/autonomic/health",
    "/api/v1/autonomic/metrics",
    "/api/v1/autonomic/forecasts",
    "/api/v1/governance/decisions",
    "/api/v1/governance/decisions/8f14e45f-ceea-467f-a0e6-6f1e6f5b0c55",
    "/api/v1/stream/events",
)


def problem_of(answer, status, code):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    problem = Problem.model_validate(answer.json())
    assert (problem.status, problem.code, problem.title) == (status, code, KINDS[code].title)
    assert problem.instance == answer.request.url.path
    assert answer.headers["x-content-type-options"] == "nosniff"
    return problem


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/api/v1/",
        "/api/v1/autonomic/health/",
        "/static/nothing.js",
        "/static/../app.py",
        "/docs.json",
        "/assets/x",
    ],
)
async def test_an_unknown_address_is_not_found(database, serve, path):
    async with serve(database) as served:
        problem_of(await served.client.get(path), 404, "route_not_found")


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_no_route_writes(database, serve, path, method):
    async with serve(database) as served:
        answer = await served.client.request(method, path)
    problem_of(answer, 405, "method_not_allowed")
    assert "POST" not in answer.headers.get("allow", "")


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/api/v1/autonomic/metrics", "query.target"),
        ("/api/v1/governance/decisions?limit=0", "query.limit"),
        ("/api/v1/governance/decisions?limit=501", "query.limit"),
        ("/api/v1/governance/decisions?kind=other", "query.kind"),
        ("/api/v1/governance/decisions?cursor=abc", "query.cursor"),
        ("/api/v1/governance/decisions?since=2026-03-02T12:00:00Z&until=2026-03-02T12:00:00Z", "query.since"),
        ("/api/v1/governance/decisions/17", "path.decision_id"),
        ("/api/v1/autonomic/forecasts?target=host&lead_steps=0", "query.lead_steps"),
        ("/?kind=other", "query.kind"),
    ],
)
async def test_an_input_at_fault_is_named(database, serve, path, where):
    async with serve(database) as served:
        problem = problem_of(await served.client.get(path), 422, "invalid_request")
    assert where in {error.where for error in problem.errors}


@pytest.mark.parametrize("path", EVERY)
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "[::2]:8000"]
)
async def test_a_host_name_that_is_not_ours_is_refused_everywhere(database, serve, path, host):
    async with serve(database) as served:
        problem_of(await served.client.get(path, headers={"host": host}), 421, "host_not_allowed")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:1", "localhost.", "[::1]:8000"])
async def test_loopback_names_are_ours(database, serve, host):
    async with serve(database) as served:
        assert (await served.client.get("/docs", headers={"host": host})).status_code == 200


async def test_an_error_nobody_foresaw_is_told_in_the_one_shape_without_its_text(
    database, serve, settings, monkeypatch
):
    gateway = build_gateway(settings(database))

    async def broken(**_):
        raise RuntimeError("the secret inside")

    monkeypatch.setattr(gateway.reading, "decisions", broken)
    async with serve(database, gateway=gateway) as served:
        answer = await served.client.get("/api/v1/governance/decisions")
    problem_of(answer, 500, "internal")
    assert "secret" not in answer.text


@pytest.fixture
def nowhere(tmp_path):
    """A database that is not there."""
    url = f"postgresql://maximus_read@/maximus?host={tmp_path}"
    return Settings(root=tmp_path, data_dir=tmp_path, database_url=url)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("serving.gateway.reading.PATIENCE_SECONDS", 0.3)


@pytest.mark.parametrize("path", READING)
async def test_without_the_database_a_reading_route_says_so_and_when_to_come_back(
    serve, nowhere, impatient, path
):
    async with serve(None, gateway=build_gateway(nowhere)) as served:
        answer = await served.client.get(path)
    problem_of(answer, 503, "knowledge_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_without_the_database_health_page_and_metrics_still_answer(serve, nowhere, impatient):
    async with serve(None, gateway=build_gateway(nowhere)) as served:
        health = await served.client.get("/api/v1/autonomic/health")
        page = await served.client.get("/")
        metrics = await served.client.get("/metrics")
        document = await served.client.get("/openapi.json")
    assert (health.status_code, health.json()["status"]) == (503, "unknown")
    assert health.json()["knowledge_is_reachable"] is False
    assert page.status_code == 503
    assert "The knowledge base cannot be reached." in page.text
    assert metrics.status_code == 200
    assert "maximus_knowledge_up 0.0" in metrics.text
    assert document.status_code == 200


async def test_without_the_database_nothing_is_claimed_of_any_target(serve, nowhere, impatient):
    async with serve(None, gateway=build_gateway(nowhere)) as served:
        health = (await served.client.get("/api/v1/autonomic/health")).json()
        page = (await served.client.get("/")).text
    assert {target["forecast"] for target in health["targets"]} == {"unknown"}
    assert "No telemetry" not in page
    assert "Waiting for the loop" not in page
    assert "No decision yet" not in page
