"""Days of which a server or a target could not be read: stored without it, said with its reason, read again by themselves."""

import json
from datetime import timedelta
from functools import partial

import dagster as dg
import polars as pl
import pytest

from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.errors import Retryable
from maximus_assets.contracts.prometheus import PROMETHEUS, PrometheusSection, PromQLSensor
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS, ReplicaSizing, Target
from maximus_assets.defs import automation
from maximus_assets.defs.automation import look_for_telemetry
from maximus_assets.defs.features import recent_history
from maximus_assets.defs.late import look_at_old_days
from maximus_assets.defs.resources import FramesResource, TelemetrySources
from maximus_assets.prometheus.client import PrometheusClient
from maximus_assets.telemetry import history

pytestmark = pytest.mark.prometheus

(SIMULATED,) = (target for target in DEFAULT_TARGETS if target.source == "simulated")
RATE = "request_rate_per_second"
MIDNIGHT = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = (MIDNIGHT - timedelta(days=1)).date()
KEY = YESTERDAY.isoformat()
NOON = int(MIDNIGHT.timestamp()) - 43_200


def past(*lines: str) -> str:
    return "\n".join(["# TYPE shop_rate gauge", *lines, ""])


def rows(labels: str, first: int, last: int) -> list[str]:
    return [f"shop_rate{{{labels}}} {3 + at % 900 / 900} {at}" for at in range(first, last, 30)]


def section(name: str, url: str, query: str = "shop_rate{$selector}", **targets: str) -> PrometheusSection:
    asked = PromQLSensor(sensor=RATE, query=query, metric="shop_rate", unit="per_second")
    mapped = {target: {"instance": instance} for target, instance in targets.items()}
    return PrometheusSection(name=name, url=url, sensors=(asked,), targets=mapped)


@pytest.fixture(scope="module")
def good(servers):
    """Remembers half a day of `a`, and two series that both look like `twin`."""
    lines = [
        *rows('instance="a"', NOON, NOON + 7200),
        *rows('instance="twin",zone="x"', NOON, NOON + 600),
        *rows('instance="twin",zone="y"', NOON, NOON + 600),
    ]
    return servers.prometheus(past=past(*lines))


@pytest.fixture
def watch(house, monkeypatch):
    monkeypatch.setattr(history, "PrometheusClient", partial(PrometheusClient, sleep=lambda seconds: None))

    def watching(*sections: PrometheusSection, has_own: bool = False) -> None:
        names = [name for one in sections for name in one.targets]
        targets = [
            Target(name=name, source="prometheus", demand_sensor=RATE, sizing=ReplicaSizing())
            for name in names
        ]
        targets += [SIMULATED] if has_own else []
        monkeypatch.setenv("MAXIMUS_TARGETS", TARGETS.dump_json(tuple(targets)).decode())
        monkeypatch.setenv("MAXIMUS_PROMETHEUS", PROMETHEUS.dump_json(sections).decode())

    return watching


@pytest.fixture
def tick(house, clock, monkeypatch):
    """What the sensor asks for a day after yesterday began to be old, all days before yesterday being nobody's affair."""
    start = MIDNIGHT - timedelta(days=1)
    partitions = dg.DailyPartitionsDefinition(start_date=start, timezone="UTC")
    monkeypatch.setattr(automation, "DAILY", partitions)
    clock.jump((MIDNIGHT + timedelta(hours=2) - clock.now()).total_seconds())

    def look() -> dg.SensorResult | dg.SkipReason:
        sources = TelemetrySources(database_read_url="")
        return look_for_telemetry(sources, FramesResource(folder=str(house.store.folder)), clock)

    return look


def asked(found: dg.SensorResult | dg.SkipReason) -> list[str]:
    return [] if isinstance(found, dg.SkipReason) else [request.run_key for request in found.run_requests]


def read(house) -> tuple[bool, dict[str, object]]:
    result = house.run("telemetry", **{"dagster/partition": KEY})
    events = result.get_asset_materialization_events()
    return result.success, {
        name: value.value
        for event in events
        for name, value in event.step_materialization_data.materialization.metadata.items()
    }


def test_a_server_that_is_away_and_labels_that_fit_twice_cost_their_own_targets_alone(
    house, good, watch, tick, clock
) -> None:
    away = "http://127.0.0.1:9"
    watch(section("good", good.url, a="a", twin="twin"), section("away", away, b="b"))

    success, said = read(house)

    assert success
    stored = house.store.read("telemetry", KEY)
    assert set(stored["target"]) == {"a"}
    assert said["is_incomplete"] is True
    missing = " ".join(said["missing"])
    assert "b (request_rate_per_second): unanswered, Prometheus away at http://127.0.0.1:9" in missing
    assert "twin (request_rate_per_second): refused" in missing
    assert 'zone="x"' in missing
    assert recent_history(house.store).filter(pl.col("target") != "a").is_empty(), "a gap is no zero"

    quiet = tick()
    assert isinstance(quiet, dg.SkipReason)
    assert "1 wait for a server that does not answer" in quiet.skip_message

    watch(section("good", good.url, query="sum by ($by) (shop_rate{$selector})", a="a", twin="twin"))
    assert asked(tick()) == [f"{KEY}..{KEY}:mapping:{TelemetrySources(database_read_url='').mapping()}"]
    _, said = read(house)
    assert said["is_incomplete"] is False
    assert asked(tick()) == []


def test_a_server_that_comes_back_has_its_day_read_again_once_an_hour_and_nothing_stored_is_lost(
    house, good, watch, tick, servers, clock
) -> None:
    other = servers.prometheus(past=past(*rows('instance="b"', NOON, NOON + 3600)))
    both = (section("good", good.url, a="a"), section("other", other.url, b="b"))
    watch(*both)
    assert read(house)[0]
    whole = house.store.read("telemetry", KEY)
    assert set(whole["target"]) == {"a", "b"}

    other.stop()
    success, said = read(house)
    assert success
    assert house.store.read("telemetry", KEY).equals(whole), "what is stored of a server that is away stays"
    assert said["is_incomplete"] is True
    assert asked(tick()) == []

    other.start()
    first, again = asked(tick()), asked(tick())
    assert first == again
    assert first[0].startswith(f"{KEY}..{KEY}:answers:")
    clock.advance(3600)
    assert asked(tick()) != first
    assert read(house)[1]["is_incomplete"] is False
    assert asked(tick()) == []


def test_a_day_of_which_nothing_at_all_could_be_read_is_not_stored(house, watch) -> None:
    watch(section("away", "http://127.0.0.1:9", b="b"))

    with pytest.raises(Retryable, match="Prometheus away"):
        TelemetrySources(database_read_url="").look(MIDNIGHT - timedelta(days=1), MIDNIGHT)


def test_samples_a_server_gets_late_have_their_day_read_again(house, servers, watch, tick, clock) -> None:
    early = servers.prometheus(past=past(*rows('instance="a"', NOON, NOON + 3600)))
    watch(section("shop", early.url, a="a"))
    read(house)
    before = house.store.read("telemetry", KEY).height
    assert asked(tick()) == []

    # A server that was given more of the same hours since: the same name, another store behind it.
    late = servers.prometheus(past=past(*rows('instance="a"', NOON, NOON + 7200)))
    watch(section("shop", late.url, a="a"))
    found = asked(tick())
    assert len(found) == 1
    assert found[0].startswith(f"{KEY}..{KEY}:grown:")
    clock.advance(5 * 86_400)
    old = look_at_old_days(
        TelemetrySources(database_read_url=""), FramesResource(folder=str(house.store.folder)), clock, None
    )
    assert [request.partition_key for request in old.run_requests] == [KEY]
    clock.jump(-5 * 86_400)

    read(house)
    assert house.store.read("telemetry", KEY).height > before
    assert asked(tick()) == []


def test_today_goes_on_without_the_server_that_is_away_and_says_so(house, good, watch) -> None:
    watch(section("good", good.url, a="a"), section("away", "http://127.0.0.1:9", b="b"), has_own=True)

    result = house.run("telemetry_today")

    assert result.success
    (event,) = result.get_asset_materialization_events()
    said = event.step_materialization_data.materialization.metadata["missing"].value
    assert "unanswered" in json.dumps(said)
