from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_info

from maximus_assets.contracts.holidays import HolidayCalendar
from maximus_assets.features.holidays import holidays_around
from maximus_assets.models.fleet import Finished
from maximus_assets.models.forecasting import learn as learn_module
from maximus_assets.models.forecasting.learn import REPORT_SCHEMA, WORST_MASE, learn
from maximus_assets.models.forecasting.methods import METHODS
from maximus_assets.pyfuncs.components import Direct
from maximus_assets.pyfuncs.forecasting import SeriesWindow, predict

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = 3600


def frame(series: dict[str, np.ndarray], sensor: str = "demand_count") -> pl.DataFrame:
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "target": [target] * len(values),
                    "sensor": [sensor] * len(values),
                    "observed_at": [START + timedelta(seconds=STEP * i) for i in range(len(values))],
                    "value": values,
                },
                schema_overrides={"observed_at": pl.Datetime("us", "UTC")},
            )
            for target, values in series.items()
        ]
    )


def daily(days: int, seed: int = 1) -> np.ndarray:
    at = np.arange(24 * days)
    return 50.0 + 20.0 * np.sin(2 * np.pi * at / 24) + np.random.default_rng(seed).normal(0, 1.0, len(at))


def test_every_series_has_a_state_and_every_method_a_row_a_horizon():
    told: list[Finished] = []
    learnt = learn(frame({"b": daily(12), "a": daily(12, 2)}), STEP, progress=told.append)
    assert [state.target for state in learnt.states] == ["a", "b"]
    assert [str(done) for done in told] == ["1 of 2: a/demand_count", "2 of 2: b/demand_count"]
    assert learnt.report.schema == REPORT_SCHEMA
    assert learnt.report.height == 2 * (len(METHODS) + 1) * 3
    assert (
        learnt.report.filter("is_chosen").group_by("target", "horizon_hours").len()["len"].to_list()
        == [1] * 6
    )
    assert learnt.fit_seconds > 0


def test_a_method_that_does_clearly_better_is_chosen():
    learnt = learn(frame({"a": daily(20)}), STEP)
    chosen = learnt.report.filter("is_chosen")
    assert chosen["method"].unique().to_list() == ["combination"]
    # Seasonal-naive repeats yesterday's noise, a factor of the square root of two.
    assert chosen["mase"].to_list() == pytest.approx([0.72] * 3, abs=0.1)


def test_a_refused_series_is_named_with_its_reason_and_stops_no_other():
    holed = daily(12)
    holed[24 : 24 * 8] = np.nan
    learnt = learn(
        frame({"good": daily(12), "short": daily(2), "holed": holed, "absent": np.full(100, np.nan)}), STEP
    )
    assert [state.target for state in learnt.states] == ["good"]
    assert learnt.skipped.keys() == {"short/demand_count", "holed/demand_count", "absent/demand_count"}
    assert "at least 3.0 days" in learnt.skipped["short/demand_count"]
    assert "58% of 288 bins are missing" in learnt.skipped["holed/demand_count"]
    assert learnt.skipped["absent/demand_count"] == "every value is missing"


def test_nothing_to_learn_from_is_an_empty_answer():
    learnt = learn(frame({"short": daily(2)}), STEP)
    assert learnt.states == ()
    assert learnt.report.is_empty()
    assert learnt.report.schema == REPORT_SCHEMA


def test_the_floor_is_the_sensors_minimum_or_zero_for_what_was_never_negative():
    signed = daily(12) - 50.0
    learnt = learn(frame({"counted": daily(12), "signed": signed}), STEP)
    assert [state.floor for state in learnt.states] == [0.0, -1e15]
    (rate,) = learn(frame({"rate": daily(12)}, "request_rate_per_second"), STEP).states
    assert rate.floor == 0.0


def test_constant_series_keep_the_baseline():
    learnt = learn(frame({"zero": np.zeros(240), "seven": np.full(240, 7.0)}), STEP)
    assert [state.method for state in learnt.states] == ["seasonal_naive"] * 2
    assert learnt.report["r2"].null_count() == learnt.report.height


@pytest.mark.parametrize("step", [60, 420, 100_000])
def test_a_step_a_day_is_no_multiple_of_is_refused(step: int):
    with pytest.raises(ValueError, match="divide a day"):
        learn(frame({"a": daily(12)}), step)


def test_a_method_that_turned_out_worse_than_the_baseline_is_vetoed():
    # Noise around a daily shape, where averaging wins, until one odd day repeats itself in the judged part.
    noisy = daily(30)
    turned = noisy.copy()
    turned[24 * 21 :] = np.tile(50.0 + 20.0 * np.random.default_rng(9).normal(size=24), 9)
    learnt = learn(frame({"steady": noisy, "turned": turned}), STEP)
    assert [state.method for state in learnt.states] == ["combination", "seasonal_naive"]
    vetoed = learnt.report.filter("is_vetoed")
    assert vetoed.select("target", "method").unique().rows() == [("turned", "combination")]
    assert vetoed["mase"].to_numpy().mean() > WORST_MASE
    assert not vetoed["is_chosen"].any()
    assert learnt.report.filter("is_chosen", target="turned")["mase"].to_list() == [1.0] * 3


def test_a_series_whose_equations_have_no_solution_stops_no_other(monkeypatch):
    learn_series = learn_module.learn_series

    def singular_for_the_flat(history, lesson):
        if np.ptp(history.values) == 0.0:
            raise np.linalg.LinAlgError("Singular matrix")
        return learn_series(history, lesson)

    monkeypatch.setattr(learn_module, "learn_series", singular_for_the_flat)
    learnt = learn(frame({"flat": np.full(24 * 12, 3.0), "good": daily(12)}), STEP)
    assert [state.target for state in learnt.states] == ["good"]
    assert learnt.skipped == {"flat/demand_count": "its coefficients cannot be solved for: Singular matrix"}


def test_linear_algebra_has_one_thread_while_learning(monkeypatch):
    threads: list[int] = []
    learn_series = learn_module.learn_series

    def watched(history, lesson):
        threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return learn_series(history, lesson)

    monkeypatch.setattr(learn_module, "learn_series", watched)
    learn(frame({"a": daily(4)}), STEP)
    assert set(threads) == {1}


def test_a_holiday_is_forecast_from_earlier_ones_also_by_what_ships():
    """Six holidays of a spring, each half as busy; the state knows of the seventh, three months later."""
    start, calendar = datetime(2025, 4, 1, tzinfo=UTC), HolidayCalendar.parse("DE-BY", source="test")
    values = 2.0 * daily(100)
    free = {day for day, _ in calendar.between(start.date(), start.date() + timedelta(days=300))}
    at = [start + timedelta(hours=i) for i in range(len(values))]
    values = np.where([each.date() in free for each in at], 0.5 * values, values)
    seen = frame({"a": values}).with_columns(pl.Series("observed_at", at, dtype=pl.Datetime("us", "UTC")))
    events = holidays_around(seen, calendar)
    plain, informed = (learn(seen, STEP, events=each) for each in ((), events))

    def day_ahead(report: pl.DataFrame) -> float:
        chosen = report.filter((pl.col("method") == "combination") & (pl.col("horizon_hours") == 24))
        return float(chosen["mae"][0])

    assert day_ahead(informed.report) < 0.8 * day_ahead(plain.report)

    holiday = datetime(2025, 10, 3, tzinfo=UTC)
    window = 2.0 * daily(8)
    means = []
    for learnt in (plain, informed):
        (state,) = learnt.states
        asked = SeriesWindow("a", "demand_count", int((holiday - timedelta(hours=1)).timestamp()), window)
        (answer,) = predict({("a", "demand_count"): state}, [asked], 24)
        means.append(float(answer.mean.mean()))
    assert means[0] > 90.0
    assert means[1] < 80.0  # of 100; what a method knows that has no calendar counts too
    (direct,) = (each for each in informed.states[0].components if isinstance(each, Direct))
    assert direct.events[-1] > (at[-1] + timedelta(days=200)).timestamp()
