"""The live window: bins, drops, jumps of the clock, and the largest recent value."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from maximus_assets.contracts.telemetry import Sample, Series
from serving.monitor.source import History
from serving.monitor.window import GridWindows

SHOP = Series(target="shop", sensor="request_rate_per_second")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(seconds, value):
    return Sample("shop", "request_rate_per_second", NOON + timedelta(seconds=seconds), value)


def now(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def windows():
    return GridWindows([SHOP], bins=4)


def shown(windows, seconds):
    return [None if np.isnan(value) else value for value in windows.values(now(seconds))[0]]


def test_a_bin_is_shown_once_it_is_over_and_not_before(windows):
    windows.observe([at(0, 1.0), at(15, 3.0)], now(15))
    assert shown(windows, 299.9) == [None] * 4
    assert shown(windows, 300) == [None, None, None, 2.0]


def test_a_late_sample_goes_to_the_bin_of_its_own_instant(windows):
    windows.observe([at(0, 1.0)], now(15))
    windows.observe([at(301, 9.0), at(298, 3.0)], now(302))
    assert shown(windows, 600)[-2:] == [2.0, 9.0]


def test_what_is_older_than_the_window_or_from_the_future_is_dropped_and_counted(windows):
    windows.observe([at(0, 1.0)], now(0))
    windows.observe([at(0.5, 7.0), at(1800, 7.0)], now(1500))
    assert dict(windows.dropped) == {"too_old": 1, "future": 1}
    assert shown(windows, 1500) == [None] * 4


def test_a_frozen_source_does_not_weigh_more_than_once(windows):
    windows.observe([at(0, 1.0)], now(0))
    windows.observe([at(0, 1.0)], now(15))
    windows.observe([at(30, 3.0)], now(30))
    assert windows.dropped["repeated"] == 1
    assert shown(windows, 300)[-1] == 2.0


def test_the_ring_forgets_what_it_has_no_room_for(windows):
    for k in range(10):
        windows.observe([at(300 * k, float(k))], now(300 * k))
    assert shown(windows, 3000) == [6.0, 7.0, 8.0, 9.0]


def test_a_long_silence_leaves_only_gaps(windows):
    windows.observe([at(0, 1.0)], now(0))
    windows.observe([], now(86_400))
    assert shown(windows, 86_400) == [None] * 4


def test_a_clock_set_back_shows_the_bins_of_its_own_time(windows):
    windows.observe([at(0, 1.0), at(300, 2.0), at(600, 3.0)], now(600))
    assert shown(windows, 450) == [None, None, None, 1.0]
    windows.observe([at(455, 4.0)], now(455))
    assert shown(windows, 900) == [None, 1.0, 3.0, 3.0]


def test_the_past_of_a_source_fills_the_window_and_the_live_samples_go_on(windows):
    seconds = NOON.timestamp() + np.arange(0, 615, 15)
    windows.load(SHOP, History(seconds, np.full(len(seconds), 5.0)), now(610))
    windows.observe([at(600, 99.0)], now(610))  # the last one of the past again
    windows.observe([at(615, 7.0)], now(615))
    assert shown(windows, 900)[-3:] == [5.0, 5.0, 6.0]
    assert windows.dropped["repeated"] == 1


def test_of_two_memories_of_a_bin_the_fuller_one_is_believed(windows):
    start = np.array([int(NOON.timestamp())])
    windows.load_bins(SHOP, start, np.array([1.0]), np.array([5]), now(600))
    windows.load_bins(SHOP, start, np.array([2.0]), np.array([20]), now(600))
    windows.load_bins(SHOP, start, np.array([3.0]), np.array([19]), now(600))
    assert shown(windows, 600)[-2:] == [2.0, None]


def test_the_largest_recent_value_looks_back_five_minutes_and_no_further(windows):
    windows.observe([at(0, 50.0), at(100, 9.0), at(200, 3.0)], now(200))
    assert windows.recent_maxima(now(300))[0] == 50.0
    assert windows.recent_maxima(now(310))[0] == 9.0
    assert np.isnan(windows.recent_maxima(now(900))[0])


def test_the_largest_recent_value_survives_a_restart(windows):
    seconds = NOON.timestamp() + np.array([100.0, 200.0])
    windows.load_recent(SHOP, History(seconds, np.array([9.0, 3.0])))
    assert windows.recent_maxima(now(300))[0] == 9.0


def test_a_window_as_a_contract_type_starts_at_its_first_seen_bin(windows):
    windows.observe([at(300, 2.0), at(900, 4.0)], now(900))
    window = windows.window(SHOP, now(1200))
    assert window.values == (2.0, None, 4.0)
    assert window.end_at == now(900)


def test_samples_of_other_series_are_passed_over(windows):
    windows.observe([Sample("shop", "request_p95_ms", NOON, 7.0)], now(0))
    assert shown(windows, 300) == [None] * 4
    assert not windows.dropped
