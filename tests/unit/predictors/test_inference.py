"""Live windows in, forecasts out: what is asked, how often, and what is said when there is no answer."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from maximus_assets.contracts.prediction import FORECAST_INPUT, FORECAST_OUTPUT
from maximus_assets.contracts.telemetry import Series
from serving.predictors.inference import Forecaster, read_answer, request_frame
from serving.predictors.proving import Loaded

pytestmark = pytest.mark.anyio

END = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SHOP = Series(target="shop", sensor="request_rate_per_second")
HOST = Series(target="host", sensor="cpu_used_cores")
NAN = float("nan")


class Champion:
    """Answers every series with its last value, or as a test wants it."""

    def __init__(self, version="1"):
        self.loaded = Loaded(version, self.predict, 0.0)
        self.calls = 0
        self.gate = None
        self.error = None
        self.entered = threading.Event()

    def predict(self, frame, horizon_steps):
        self.calls += 1
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.error is not None:
            raise self.error
        rows = [
            (target, sensor, step, group["value"].iloc[-1], 0.0, 1e9, "ok", "seasonal_naive")
            for (target, sensor), group in frame.groupby(["target", "sensor"])
            for step in range(1, horizon_steps + 1)
        ]
        return pd.DataFrame(rows, columns=list(FORECAST_OUTPUT))


@pytest.fixture
def champion():
    return Champion()


@pytest.fixture
def forecaster(champion):
    return Forecaster(champion=lambda: champion.loaded, horizon_steps=2, patience_seconds=10)


def ask(forecaster, end_at=END, value=5.0, series=(SHOP,)):
    return forecaster.forecasts(series, lambda: np.full((len(series), 3), value), end_at)


async def test_the_champion_is_asked_once_for_each_closed_bin(forecaster, champion):
    first = await ask(forecaster)
    again = await ask(forecaster)
    assert champion.calls == 1
    assert (first.is_new, again.is_new) == (True, False)
    assert [point.at for point in first.by_target["shop"].points] == [
        END + timedelta(minutes=m) for m in (5, 10)
    ]
    assert first.by_target["shop"].issued_at == END
    later = await ask(forecaster, END + timedelta(minutes=5), 7.0)
    assert champion.calls == 2
    assert later.by_target["shop"].points[0].mean == 7.0


async def test_a_new_champion_is_asked_at_once(forecaster, champion):
    await ask(forecaster)
    champion.loaded = Loaded("2", champion.predict, 0.0)
    assert (await ask(forecaster)).by_target["shop"].model_version == "2"


async def test_without_a_champion_every_target_is_told_so():
    forecaster = Forecaster(champion=lambda: None)
    forecasts = await ask(forecaster, series=(SHOP, HOST))
    assert {one.status for one in forecasts.by_target.values()} == {"no_champion"}
    assert not (await ask(forecaster, series=(SHOP, HOST))).is_new


async def test_a_slow_answer_does_not_hold_up_the_turn_and_is_used_when_it_comes(forecaster, champion):
    await ask(forecaster)
    champion.gate = threading.Event()
    forecaster.patience_seconds = 0.001
    meanwhile = await ask(forecaster, END + timedelta(minutes=5))
    assert meanwhile.by_target["shop"].issued_at == END
    assert not meanwhile.is_new
    champion.gate.set()
    forecaster.patience_seconds = 10
    at_last = await ask(forecaster, END + timedelta(minutes=5))
    assert at_last.by_target["shop"].issued_at == END + timedelta(minutes=5)
    assert at_last.is_new


async def test_before_the_first_answer_a_target_is_cold(forecaster, champion):
    champion.gate = threading.Event()
    forecaster.patience_seconds = 0.001
    forecasts = await ask(forecaster)
    assert forecasts.by_target["shop"].status == "cold"
    assert "still being computed" in forecasts.by_target["shop"].reason
    champion.gate.set()
    await forecaster.aclose()


async def test_a_champion_that_fails_leaves_the_forecasts_before_it_and_is_counted(forecaster, champion):
    await ask(forecaster)
    champion.error = ValueError("broken")
    kept = await ask(forecaster, END + timedelta(minutes=5))
    assert kept.by_target["shop"].issued_at == END
    assert (forecaster.failures, forecaster.failure) == (1, "ValueError: broken")
    champion.error = None
    assert (await ask(forecaster, END + timedelta(minutes=10))).is_new
    assert forecaster.failure == ""


async def test_cancelling_a_turn_does_not_lose_the_answer(forecaster, champion):
    champion.gate = threading.Event()
    turn = asyncio.create_task(ask(forecaster))
    assert await asyncio.to_thread(champion.entered.wait, 10)
    turn.cancel()
    await asyncio.gather(turn, return_exceptions=True)
    champion.gate.set()
    assert (await ask(forecaster)).is_new
    assert champion.calls == 1


FLEET = [Series(target=f"t{k}", sensor="request_rate_per_second") for k in range(250)]


async def test_a_large_fleet_is_asked_in_pieces_once_the_turn_is_over(forecaster, champion):
    waiting = await ask(forecaster, series=FLEET)
    assert (champion.calls, waiting.is_new) == (0, False)
    assert {one.status for one in waiting.by_target.values()} == {"cold"}
    forecaster.proceed()
    answered = await ask(forecaster, series=FLEET)
    assert (champion.calls, answered.is_new) == (3, True)
    assert {one.status for one in answered.by_target.values()} == {"ok"}
    forecaster.proceed()
    assert not (await ask(forecaster, series=FLEET)).is_new
    assert champion.calls == 3


async def test_what_a_large_fleet_is_asked_is_what_was_seen_when_the_turn_ended(forecaster, champion):
    await ask(forecaster, value=5.0, series=FLEET)
    await ask(forecaster, END + timedelta(minutes=5), 7.0, series=FLEET)
    forecaster.proceed()
    answered = await ask(forecaster, END + timedelta(minutes=5), series=FLEET)
    assert {one.points[0].mean for one in answered.by_target.values()} == {7.0}
    assert champion.calls == 3


async def test_a_champion_withdrawn_before_it_was_asked_is_asked_no_more(forecaster, champion):
    await ask(forecaster, series=FLEET)
    champion.loaded = None
    without = await ask(forecaster, series=FLEET)
    forecaster.proceed()
    assert {one.status for one in without.by_target.values()} == {"no_champion"}
    assert not (await ask(forecaster, series=FLEET)).is_new
    assert champion.calls == 0


async def test_an_answer_is_told_of_as_soon_as_it_is_there(forecaster):
    told = asyncio.Event()
    forecaster.answered = lambda _series, _values, end_at, answers: (
        end_at == END and len(answers) == 250 and told.set()
    )
    await ask(forecaster, series=FLEET)
    forecaster.proceed()
    await asyncio.wait_for(told.wait(), 10)  # no turn had to come for it


def test_the_request_is_long_sorted_naive_and_without_empty_bins_before_the_first():
    frame = request_frame([SHOP, HOST], np.array([[NAN, 1.0, NAN], [NAN, NAN, NAN]]), END)
    assert list(frame.columns) == list(FORECAST_INPUT)
    assert frame["target"].tolist() == ["host", "shop", "shop"]
    assert frame["observed_at"].dt.tz is None
    assert frame["observed_at"].max() == pd.Timestamp(END).tz_localize(None)
    assert frame["value"].isna().tolist() == [True, False, True]


def test_an_answer_without_figures_keeps_its_status():
    answer = pd.DataFrame(
        [("shop", "request_rate_per_second", 0, NAN, NAN, NAN, "cold", "sarima")],
        columns=list(FORECAST_OUTPUT),
    )
    forecast = read_answer(answer, END, "4")["shop"]
    assert (forecast.status, forecast.points, forecast.method, forecast.model_version) == (
        "cold",
        (),
        "",
        "4",
    )
    assert forecast.reason


async def test_why_there_is_no_champion_is_said_as_soon_as_it_is_known_not_at_the_next_bin():
    known = [""]
    forecaster = Forecaster(champion=lambda: None, notice=lambda: known[0], horizon_steps=2)
    assert "no forecaster has been promoted" in (await ask(forecaster)).by_target["shop"].reason
    known[0] = "version 3 is champion but not used"
    assert (await ask(forecaster)).by_target["shop"].reason == known[0]
