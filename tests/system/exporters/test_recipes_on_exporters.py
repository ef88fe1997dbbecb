"""Recipes on real exporters: what a sensor must come to is known from the load, or asked of the server itself.

So a wrong unit, a wrong direction or a figure of the wrong target shows.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.clock import SystemClock
from maximus_assets.prometheus.recipes import recipe
from serving.wiring import build_sources

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.haproxy,
    pytest.mark.postgres_exporter,
    pytest.mark.redis_exporter,
]

LEAST, MOST = 0.2, 1.6
"""Of the load, how much a rate must show: its window is longer than the load, so it shows less; a wrong unit shows far less."""


def asked(name: str) -> set[str]:
    return {sensor.sensor for sensor in recipe(name)}


def test_a_postgres_exporter_tells_what_the_server_itself_says(world):
    world.load()
    read = world.until(
        "postgres", lambda read: read["database"].get("database_transactions_per_second", 0) > 0
    )
    said = read["database"]
    assert read["no-database"] == {}
    # A primary without replicas lags behind nobody, and this version tells of no lag at all.
    assert asked("postgres_exporter") - set(said) == {"database_replication_lag_seconds"}
    with psycopg.connect(world.postgres.embedded.admin_url) as connection:
        (limit, size) = connection.execute(
            "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
            " - current_setting('reserved_connections')::int, sum(pg_database_size(oid)) FROM pg_database"
        ).fetchone()
    assert said["database_connections_limit_count"] == limit
    assert said["database_size_bytes"] == pytest.approx(float(size), rel=0.05)
    assert 2 <= said["database_connections_count"] < 30  # ours and the exporter's
    assert said["database_connections_used_ratio"] == pytest.approx(
        said["database_connections_count"] / limit
    )
    assert said["database_idle_in_transaction_count"] == 1
    assert 1 < said["database_oldest_transaction_seconds"] < 120
    # Ours, and those of the exporter, which asks about ten questions a scrape.
    assert 2 * world.rounds_per_second * LEAST < said["database_transactions_per_second"] < 200
    assert 0 < said["database_rollback_ratio"] < 0.5
    assert 0.5 < said["database_cache_hit_ratio"] <= 1
    assert said["database_temporary_bytes_per_second"] > 10_000
    assert said["database_deadlocks_per_second"] == 0


def test_a_redis_exporter_tells_what_was_looked_up_kept_and_thrown_out(world):
    world.load()
    read = world.until("redis", lambda read: set(read["cache"]) == asked("redis_exporter"))
    said = read["cache"]
    assert read["no-cache"] == {}
    rounds = world.rounds_per_second
    assert said["redis_memory_limit_bytes"] == 4 * 2**20
    assert said["redis_memory_used_ratio"] == pytest.approx(
        said["redis_memory_used_bytes"] / said["redis_memory_limit_bytes"]
    )
    assert 0.5 < said["redis_memory_used_ratio"] < 1.2
    assert said["redis_fragmentation_ratio"] > 0.5
    assert said["redis_hit_ratio"] == pytest.approx(0.75, abs=0.05)
    assert 9 * rounds * LEAST < said["redis_operations_per_second"] < 9 * rounds * MOST + 100
    assert said["request_rate_per_second"] == said["redis_operations_per_second"]
    assert 0 < said["redis_evictions_per_second"] < 4 * rounds * MOST
    assert said["redis_refused_connections_per_second"] == 0
    assert 3 <= said["redis_clients_count"] < 10  # ours, the one that waits, the exporter's
    assert said["redis_blocked_clients_count"] == 1
    assert said["redis_keys_count"] == pytest.approx(world.cache.dbsize(), abs=8)
    assert 0 < said["cpu_used_cores"] < 1
    big = 4 * rounds * 100_000
    assert big * LEAST < said["network_receive_bytes_per_second"] < big * MOST
    assert 0 < said["network_transmit_bytes_per_second"] < big


def is_whole_and_at_rest(said, name):
    """The last scrape may have come amidst a request."""
    return set(said) == asked(name) and said["requests_in_flight_count"] == 0


def check_requests(world, said, idle):
    """What both balancers must say of the same load."""
    rate = 4 * world.rounds_per_second
    assert rate * LEAST < said["request_rate_per_second"] < rate * MOST
    assert said["request_error_ratio"] == pytest.approx(0.25, abs=0.05)
    assert said["request_throughput_per_second"] == pytest.approx(
        0.75 * said["request_rate_per_second"], rel=0.15
    )
    # The service receives large requests and sends small answers.
    received = said["network_receive_bytes_per_second"] / said["request_rate_per_second"]
    sent = said["network_transmit_bytes_per_second"] / said["request_rate_per_second"]
    assert world.up_bytes < received < world.up_bytes * 1.5
    assert world.down_bytes < sent < world.down_bytes * 1.5
    assert said["ready_replicas_count"] == 1  # the other one answers no check
    assert said["request_queue_count"] == 0
    assert idle["request_rate_per_second"] == 0
    assert "request_error_ratio" not in idle  # of no requests there is no share


def test_an_haproxy_tells_of_the_backend_that_was_asked_and_not_of_the_idle_one(world):
    world.load()
    read = world.until("haproxy", lambda read: is_whole_and_at_rest(read["balanced"], "haproxy"))
    check_requests(world, read["balanced"], read["balanced-idle"])


def test_an_envoy_tells_of_the_cluster_that_was_asked_and_not_of_the_idle_one(world):
    world.load()
    read = world.until("envoy", lambda read: is_whole_and_at_rest(read["proxied"], "envoy"))
    said = read["proxied"]
    check_requests(world, said, read["proxied-idle"])
    slow = world.slow_seconds * 1000
    assert (
        slow * 0.8 < said["request_p50_ms"] <= said["request_p95_ms"] <= said["request_p99_ms"] < slow * 100
    )
    assert said["request_p50_ms"] < slow * 4


@pytest.mark.parametrize(("name", "target", "front"), [("haproxy", "balanced", 0), ("envoy", "proxied", 1)])
def test_what_waits_for_the_only_connection_is_queued_and_what_has_it_is_in_flight(
    world, name, target, front
):
    world.upstream.release.clear()
    with ThreadPoolExecutor(4) as asking:
        held = [asking.submit(world.http.get, world.fronts[front] + "/held") for _ in range(4)]
        try:
            world.until(
                name,
                lambda read: (
                    read[target]["request_queue_count"] == 3 and read[target]["requests_in_flight_count"] == 1
                ),
            )
        finally:
            world.upstream.release.set()
        assert [answer.result(20).status_code for answer in held] == [200] * 4
    world.until(name, lambda read: read[target]["request_queue_count"] == 0)


@pytest.mark.anyio
async def test_a_whole_configuration_reads_a_postgres_exporter_live(world):
    world.load()
    (source,) = (
        source
        for source in build_sources(world.settings, SystemClock())
        if source.name == "prometheus:postgres"
    )
    seen: set[str] = set()
    try:
        deadline = time.monotonic() + 20
        while seen != set(source.sensors["database"]) - {"database_replication_lag_seconds"}:
            now = SystemClock().now()
            for sample in await source.collect(now):
                assert sample.target == "database"
                assert CATALOGUE[sample.sensor].is_plausible(sample.value), sample
                assert -0.1 < (now - sample.observed_at).total_seconds() < 10
                seen.add(sample.sensor)
            assert time.monotonic() < deadline, seen
    finally:
        await source.aclose()
