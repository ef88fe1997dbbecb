"""The gateway under its real server: several workers, a stop that does not wait for open streams, no orphans."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(holds, seconds: float, what: str):
    """Poll a real process: there is nothing to wait on."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if holds():
                return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen within {seconds} s")


def launch(urls, tmp_path, workers=2):
    """The server's process and its port; it answers some seconds later."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAXIMUS_")} | {
        "MAXIMUS_DATA_DIR": str(tmp_path / "data"),
        "MAXIMUS_DATABASE_URL": urls.app,
        "MAXIMUS_DATABASE_READ_URL": urls.read,
        "MAXIMUS_GATEWAY_WORKERS": str(workers),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "OTEL_SDK_DISABLED": "true",
    }
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", "serving.service:Maximus"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--working-dir", str(ROOT)],
            env=environment,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    return process, port


@contextmanager
def served(urls, tmp_path, workers=2):
    process, port = launch(urls, tmp_path, workers)
    family = []
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            wait_until(lambda: client.get("/readyz").status_code == 200, 60, "readiness")
            family = psutil.Process(process.pid).children(recursive=True)
            yield process, client, family
    finally:
        for one in (*family, psutil.Process(process.pid) if process.poll() is None else None):
            with suppress(psutil.NoSuchProcess, AttributeError):
                one.kill()
        process.wait(10)


def test_it_answers_as_in_process_and_the_server_around_it_adds_nothing_of_its_own(database, tmp_path):
    with served(database, tmp_path) as (_, client, _family):
        assert client.get("/api/v1/autonomic/health").json()["status"] == "absent"
        assert "No loop has run yet." in client.get("/").text
        for path in ("/nowhere", "/docs.json", "/assets/x", "/index.html"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
            assert answer.json()["code"] == "route_not_found"
        assert client.post("/api/v1/autonomic/health").json()["code"] == "method_not_allowed"
        for path in ("/", "/livez", "/readyz", "/metrics", "/schema.json"):
            answer = client.get(path, headers={"host": "evil.example"})
            assert answer.status_code == 421, path
        assert client.get("/livez").status_code == 200

        def both_counted():
            client.get("/docs")
            with httpx.Client(base_url=client.base_url) as other:  # another connection, maybe another worker
                return 'route="/docs"' in other.get("/metrics").text

        wait_until(both_counted, 20, "counts of every worker on any")


def test_a_stop_does_not_wait_for_open_streams(database, tmp_path):
    with served(database, tmp_path) as (process, client, family):
        with client.stream("GET", "/api/v1/stream/events") as stream:
            chunks = stream.iter_text()
            assert next(chunks).startswith("retry:")
            process.send_signal(signal.SIGTERM)
            assert "the gateway is closing" in "".join(chunks)
        process.wait(20)
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_a_killed_parent_leaves_no_worker_behind(database, tmp_path):
    with served(database, tmp_path) as (process, _client, family):
        assert len(family) >= 2
        process.kill()
        process.wait(10)
        # The first worker answers while the second may still be importing; it looks for its parent after that.
        _, alive = psutil.wait_procs(family, timeout=60)
        assert not [one for one in alive if one.status() != psutil.STATUS_ZOMBIE]


def test_a_worker_whose_parent_was_killed_before_it_had_imported_anything_ends_too(database, tmp_path):
    process, _port = launch(database, tmp_path)
    server, family = psutil.Process(process.pid), []
    try:
        wait_until(lambda: len(server.children()) >= 2, 60, "two workers")
        family = server.children(recursive=True)
    finally:
        process.kill()
        process.wait(10)
    _, alive = psutil.wait_procs(family, timeout=60)
    for one in alive:
        one.kill()
    assert not alive


def test_it_is_unready_while_the_database_is_away_and_ready_again_after(spare_postgres, tmp_path):
    spare_postgres.migrate()
    with served(spare_postgres.urls, tmp_path, workers=1) as (_, client, family):
        spare_postgres.kill()
        wait_until(lambda: client.get("/readyz").status_code == 503, 15, "unreadiness")
        answer = client.get("/api/v1/governance/decisions")
        assert (answer.status_code, answer.json()["code"]) == (503, "knowledge_unavailable")
        assert client.get("/livez").status_code == 200
        spare_postgres.start()
        wait_until(
            lambda: client.get("/readyz").status_code == 200, 30, "readiness after the database's return"
        )
        assert client.get("/api/v1/governance/decisions").json() == {"decisions": [], "next_cursor": None}
        assert all(one.is_running() for one in family), "the workers needed no restart"
        with client.stream("GET", "/api/v1/stream/events") as stream:
            chunks = stream.iter_text()
            next(chunks)

            def told():
                with psycopg.connect(spare_postgres.urls.app) as connection:
                    connection.execute(
                        "SELECT pg_notify('maximus_events', %s)", (json.dumps({"kind": "heartbeat"}),)
                    )
                return "heartbeat" in next(chunks)

            wait_until(told, 30, "an event after the database's return")
