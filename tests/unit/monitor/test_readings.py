"""What stands in for a missing value: the catalogue's policies, carried out."""

from datetime import UTC, datetime, timedelta

import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.telemetry import Sample
from serving.monitor.readings import LatestValues

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def later(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def latest():
    return LatestValues()


def reading(latest, sensor, seconds):
    return latest.readings("host", [sensor], later(seconds))[sensor]


def seen(latest, sensor, value=0.5, seconds=0.0):
    return latest.update([Sample("host", sensor, later(seconds), value)], later(seconds))


@pytest.mark.parametrize("sensor", ["cpu_limit_cores", "cpu_used_ratio", "cpu_used_cores", "load_1m"])
def test_a_fresh_value_is_read_whatever_its_policy(latest, sensor):
    seen(latest, sensor)
    read = reading(latest, sensor, 60)
    assert (read.value, read.is_fresh, read.must_fail_safe) == (0.5, True, False)


def test_held_values_last_for_ever(latest):
    seen(latest, "cpu_limit_cores")
    read = reading(latest, "cpu_limit_cores", 86_400)
    assert (read.value, read.is_fresh) == (0.5, False)


def test_a_last_good_value_lasts_for_its_limit_and_no_longer(latest):
    limit = CATALOGUE["cpu_used_ratio"].missing.limit_seconds
    seen(latest, "cpu_used_ratio")
    assert reading(latest, "cpu_used_ratio", limit).value == 0.5
    assert reading(latest, "cpu_used_ratio", limit + 1).value is None
    assert not reading(latest, "cpu_used_ratio", limit).is_fresh


def test_a_sensor_that_fails_safe_has_no_value_once_it_is_stale(latest):
    seen(latest, "cpu_used_cores")
    read = reading(latest, "cpu_used_cores", 61)
    assert (read.value, read.must_fail_safe, read.observed_at) == (None, True, NOON)


def test_an_excluded_sensor_is_just_absent(latest):
    seen(latest, "load_1m")
    read = reading(latest, "load_1m", 61)
    assert (read.value, read.must_fail_safe) == (None, False)


def test_a_sensor_never_seen_is_absent_and_fails_safe_if_it_must(latest):
    assert reading(latest, "cpu_limit_cores", 0).value is None
    assert reading(latest, "cpu_used_cores", 0).must_fail_safe


def test_a_frozen_value_goes_stale_by_its_own_instant(latest):
    latest.update([Sample("host", "cpu_used_cores", NOON, 0.5)], later(300))
    assert reading(latest, "cpu_used_cores", 300).must_fail_safe


def test_an_older_value_never_replaces_a_newer_one(latest):
    seen(latest, "load_1m", 2.0, seconds=30)
    latest.update([Sample("host", "load_1m", NOON, 1.0)], later(31))
    assert reading(latest, "load_1m", 31).value == 2.0


def test_values_from_before_the_clock_was_set_back_do_not_stand_in_the_way(latest):
    seen(latest, "load_1m", 2.0, seconds=3600)
    seen(latest, "load_1m", 1.0, seconds=0)
    assert reading(latest, "load_1m", 0).value == 1.0


def test_what_cannot_be_believed_is_refused_and_counted(latest):
    kept = latest.update(
        [
            Sample("host", "cpu_used_ratio", NOON, 1.5),
            Sample("host", "cpu_used_ratio", NOON, float("nan")),
            Sample("host", "no_such_sensor", NOON, 1.0),
            Sample("host", "load_1m", later(3600), 1.0),
            Sample("host", "load_1m", NOON, 1.0),
        ],
        NOON,
    )
    assert [sample.sensor for sample in kept] == ["load_1m"]
    assert dict(latest.refused) == {
        ("cpu_used_ratio", "implausible"): 2,
        ("no_such_sensor", "unknown_sensor"): 1,
        ("load_1m", "future"): 1,
    }


def stands_still(latest, sensor, seconds, value=0.5, since=0):
    for at in range(since, since + seconds + 1, 15):
        seen(latest, sensor, value, seconds=at)
    return reading(latest, sensor, since + seconds)


def test_a_value_that_stands_still_for_too_long_is_frozen_and_falls_under_its_policy(latest):
    limit = int(CATALOGUE["cpu_used_cores"].frozen_after_seconds)
    assert stands_still(latest, "cpu_used_cores", limit).is_fresh
    frozen = stands_still(latest, "cpu_used_cores", 15, since=limit)
    assert (frozen.value, frozen.is_fresh, frozen.is_frozen, frozen.must_fail_safe) == (
        None,
        False,
        True,
        True,
    )
    seen(latest, "cpu_used_cores", 0.5001, seconds=limit + 30)
    assert reading(latest, "cpu_used_cores", limit + 30).is_fresh


def test_a_frozen_value_is_used_for_as_long_as_a_missing_one_would_be(latest):
    known = CATALOGUE["cpu_used_ratio"]
    limit = int(known.frozen_after_seconds)
    kept = stands_still(latest, "cpu_used_ratio", limit + 60)
    assert (kept.value, kept.is_frozen) == (0.5, True)
    gone = stands_still(latest, "cpu_used_ratio", 75, since=limit + 60)
    assert (gone.value, gone.is_frozen) == (None, True)


@pytest.mark.parametrize(
    ("sensor", "value"),
    [("memory_limit_bytes", 7.0), ("cpu_used_ratio", 1.0), ("request_rate_per_second", 0.0)],
)
def test_limits_full_processors_and_idle_services_may_stand_still(latest, sensor, value):
    assert stands_still(latest, sensor, 7200, value).is_fresh


def test_the_same_value_after_a_gap_is_no_proof_that_it_stood_still(latest):
    seen(latest, "cpu_used_cores", 0.5, seconds=0)
    seen(latest, "cpu_used_cores", 0.5, seconds=3600)
    assert reading(latest, "cpu_used_cores", 3600).is_fresh
