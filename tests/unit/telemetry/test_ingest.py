"""What the product itself observed comes back as frames, from the simulation and from a real metrics table."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import psycopg
import pytest
from psycopg import sql

from maximus_assets.contracts.errors import BadInputError, Permanent, Retryable
from maximus_assets.contracts.target import DEFAULT_TARGETS, CoreSizing, Target
from maximus_assets.contracts.telemetry import Sample
from maximus_assets.plant.world import Plant
from maximus_assets.telemetry import ingest
from maximus_assets.telemetry.frames import SCHEMA, from_samples
from maximus_assets.telemetry.ingest import read_metrics, read_plant

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
END = START + timedelta(minutes=10)


def test_the_history_of_simulated_targets_is_the_plants_own():
    frame = read_plant(DEFAULT_TARGETS, START, END)
    assert frame.equals(Plant(7).samples("demo-shop", START, END, 15))


def test_every_simulated_target_is_read_and_no_other():
    more = Target(
        name="shop-2",
        source="simulated",
        demand_sensor="request_rate_per_second",
        sizing=CoreSizing(),
        seed=8,
    )
    assert set(read_plant([*DEFAULT_TARGETS, more], START, END)["target"]) == {"demo-shop", "shop-2"}
    nothing = read_plant(DEFAULT_TARGETS[:1], START, END)
    assert (nothing.height, nothing.schema) == (0, SCHEMA)


@pytest.fixture
def metrics(database) -> pl.DataFrame:
    """An hour of metrics in the table, stored as the loop stores them."""
    frame = Plant(7).samples("demo-shop", START - timedelta(minutes=30), START + timedelta(minutes=30), 15)
    # Values whose shortest text is long, and an instant between seconds: neither may lose a bit on the way.
    odd = from_samples([Sample("web", "demand_count", START + timedelta(microseconds=1), 0.1 + 0.2)])
    frame = pl.concat([frame, odd])
    with psycopg.connect(database.app) as connection:
        connection.execute("SELECT knowledge.ensure_partitions(%s, %s)", [START.date()] * 2)
        with connection.cursor().copy(
            "COPY knowledge.metrics (target, sensor, observed_at, value) FROM STDIN"
        ) as copy:
            for row in frame.iter_rows():
                copy.write_row(row)
    return frame


def test_stored_metrics_come_back_bit_for_bit_within_the_span(database, metrics):
    expected = metrics.filter(pl.col("observed_at").is_between(START, END, closed="left"))
    found = read_metrics(database.read, START, END)
    order = ["observed_at", "target", "sensor"]
    assert found.height == 8 * 40 + 1
    assert found.equals(expected.sort(order))


def test_a_span_without_metrics_is_an_empty_frame(database, metrics):
    found = read_metrics(database.read, END + timedelta(days=1), END + timedelta(days=2))
    assert (found.height, found.schema) == (0, SCHEMA)


def test_a_day_is_turned_into_columns_block_by_block(database, metrics, monkeypatch):
    whole = read_metrics(database.read, START, END)
    monkeypatch.setattr(ingest, "_BLOCK_BYTES", 1000)
    assert read_metrics(database.read, START, END).equals(whole)


def test_spans_may_be_given_in_any_zone_but_not_without_one(database, metrics):
    tokyo = [at.astimezone(timezone(timedelta(hours=9))) for at in (START, END)]
    assert read_metrics(database.read, *tokyo).equals(read_metrics(database.read, START, END))
    with pytest.raises(BadInputError, match="column end: the instant has no zone"):
        read_metrics(database.read, START, END.replace(tzinfo=None))


def test_not_even_a_role_that_may_write_can_write_through_the_reader(database, metrics, monkeypatch):
    insert = sql.SQL(
        "COPY (INSERT INTO knowledge.metrics SELECT 'intruder', sensor, {start}::timestamptz + ({end} - {start}), value"
        " FROM knowledge.metrics LIMIT 1 RETURNING target, sensor, 0::bigint, value) TO STDOUT (FORMAT csv)"
    )
    monkeypatch.setattr(ingest, "_COPY", insert)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        read_metrics(database.app, START, START + timedelta(minutes=1))


def test_a_server_that_is_not_there_may_be_back_later():
    with pytest.raises(Retryable, match="cannot be read") as caught:
        read_metrics("postgresql://nobody@127.0.0.1:1/none", START, END)
    assert caught.value.delay_seconds > 0


def test_a_database_without_the_table_says_so(postgres):
    with pytest.raises(Permanent, match=r"knowledge\.metrics does not exist"):
        read_metrics(postgres.embedded.admin_url, START, END)
