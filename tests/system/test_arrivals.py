"""Live telemetry as the graph reads it: counted, and read by day, from a real metrics table."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from maximus_assets.contracts.errors import Permanent, Retryable
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS
from maximus_assets.defs.resources import TelemetrySources
from maximus_assets.telemetry.arrivals import count_arrivals

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
DAY = (NOON.replace(hour=0), NOON.replace(hour=0) + timedelta(days=1))


@pytest.fixture
def metrics(database) -> Iterator[psycopg.Connection]:
    """Three samples of host demand today, one of another sensor, one of a simulated target."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        rows = [("host", "cpu_used_cores", NOON + timedelta(seconds=15 * i), 0.5) for i in range(3)]
        rows += [("host", "swap_used_ratio", NOON, 0.0), ("demo-shop", "request_rate_per_second", NOON, 9.0)]
        for row in rows:
            connection.execute(
                "insert into knowledge.metrics (target, sensor, observed_at, value) values (%s, %s, %s, %s)",
                row,
            )
        yield connection


def test_only_live_demand_within_the_span_is_counted(metrics: psycopg.Connection, database) -> None:
    spans = [
        DAY,
        (NOON + timedelta(seconds=15), NOON + timedelta(seconds=30)),
        (DAY[1], DAY[1] + timedelta(days=1)),
    ]

    assert count_arrivals(database.read, {"host": "cpu_used_cores"}, spans) == [3, 1, 0]


def test_a_day_is_read_whole_and_what_the_loop_stored_of_a_simulation_does_not_count_twice(
    metrics: psycopg.Connection, database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAXIMUS_TARGETS", TARGETS.dump_json(DEFAULT_TARGETS).decode())
    sources = TelemetrySources(database_read_url=database.read)

    frame = sources.read(*DAY)

    assert sources.arrivals([DAY]) == [3]
    assert sources.count_live(frame) == 3
    shop = frame.filter(target="demo-shop", sensor="request_rate_per_second")
    assert shop.height == 5760
    assert shop["observed_at"].n_unique() == 5760


def test_a_database_that_is_away_is_worth_a_retry_and_a_missing_table_is_not(postgres) -> None:
    with pytest.raises(Retryable):
        count_arrivals("postgresql://127.0.0.1:1/nowhere", {"host": "cpu_used_cores"}, [DAY])
    with pytest.raises(Permanent, match="migrations"):
        count_arrivals(postgres.urls.mlflow.replace("+psycopg2", ""), {"host": "cpu_used_cores"}, [DAY])
