"""The benchmark end to end on a small folder: the shape of its JSON, its summary from its rows, and what it refuses."""

import gzip
import json
import sys

import numpy as np
import pytest

from benchmarks import forecast
from benchmarks.demand import fleet, m4
from benchmarks.demand import judge as judging
from benchmarks.demand.series import Demand
from maximus_assets.models.forecasting.backtest import History
from maximus_assets.models.forecasting.boosted import Growth

KEYS = [
    "r2_1h_median",
    "r2_1h_min",
    "r2_6h_median",
    "r2_24h_median",
    "skill_1h_min",
    "workloads_mase_ratio_max",
    "workloads_mase_ratio_mean",
    "coverage_90_error_max",
    "m4_hourly_mase",
    "m4_hourly_smape",
    "fit_seconds_median",
    "fit_seconds_max",
]


def waves(count, period, seed):
    rng = np.random.default_rng(seed)
    return 50 + 20 * np.sin(np.arange(count) / period * 2 * np.pi) + rng.normal(0, 2, count)


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    (root / "workloads").mkdir(parents=True)
    (root / "m4_hourly").mkdir()
    rows = [f"{3600 * i},{value:.3f},{2 * value:.3f}" for i, value in enumerate(waves(24 * 14, 24, 1))]
    (root / "workloads" / "a.csv").write_text("timestamp,cpu,requests\n" + "\n".join(rows))
    (root / "workloads" / "short.csv").write_text("timestamp,cpu\n0,1\n3600,2\n7200,2\n")
    (root / "workloads" / "bad.csv").write_text("timestamp,cpu\n0,x\n3600,2\n")
    return root


def put_m4(root, part, series, width):
    header = ",".join(f"V{i + 1}" for i in range(width + 1))
    lines = [
        ",".join([name, *map(str, values), *[""] * (width - len(values))]) for name, values in series.items()
    ]
    path = root / "m4_hourly" / f"Hourly-{part}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress("\n".join([header, *lines]).encode()))


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmarks.forecast", *map(str, arguments)])
    forecast.main()


def test_the_json_has_the_stated_shape_and_a_summary_that_follows_from_its_rows(data, tmp_path, monkeypatch):
    run(monkeypatch, "--data", data, "--quick", "--out", tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert list(document) == ["benchmark", "revision", "date", "machine", "config", "rows", "summary"]
    assert document["config"]["quick"] is True
    assert len(document["config"]["hash"]) == 16
    assert list(document["summary"]) == KEYS
    assert document["summary"] == forecast.summarise(document["rows"])
    kinds = {row["series"]: row["kind"] for row in document["rows"]}
    assert kinds == {
        "workloads/a.csv:cpu": "series",
        "workloads/a.csv:requests": "series",
        "workloads/short.csv:cpu": "failed",
        "workloads/bad.csv": "skipped",
    }
    row = next(row for row in document["rows"] if row["kind"] == "series")
    better = min(row[name]["1h"]["mse"] for name in ("persistence", "seasonal_naive"))
    assert row["skill_1h"] == pytest.approx(1 - row["ours"]["1h"]["mse"] / better)
    assert row["origins"] == round(0.4 * 24 * 14)
    assert "days of history" in next(r for r in document["rows"] if r["kind"] == "failed")["reason"]


def test_a_series_in_another_unit_is_judged_the_same(data):
    found = {one.name: one for one in forecast.find(data) if isinstance(one, Demand)}
    one, twice = (judging.judge(found[f"workloads/a.csv:{name}"]) for name in ("cpu", "requests"))
    assert twice["ours"]["24h"]["r2"] == pytest.approx(one["ours"]["24h"]["r2"], abs=1e-3)
    assert twice["mase_ratio"] == pytest.approx(one["mase_ratio"], rel=1e-2)
    assert twice["ours"]["1h"]["mae"] == pytest.approx(2 * one["ours"]["1h"]["mae"], rel=1e-2)


def test_summary_takes_medians_and_worst_cases_and_leaves_out_what_was_not_measured():
    def row(r2, skill, mase, share):
        return {
            "kind": "series",
            "ours": {h: {"r2": r2} for h in ("1h", "6h", "24h")},
            "skill_1h": skill,
            "mase_ratio": mase,
            "coverage": {"share": share},
            "fit_seconds": mase,
        }

    rows = [row(0.9, 0.5, 0.8, 0.93), row(0.5, 0.1, 1.0, 0.85), row(0.8, 0.2, 0.6, 0.9)]
    found = forecast.summarise([*rows, {"kind": "failed"}, {"kind": "m4", "mase": 0.5, "smape": 10.0}])
    assert found == pytest.approx(
        dict(zip(KEYS, [0.8, 0.5, 0.8, 0.8, 0.1, 1.0, 0.8, 0.05, 0.5, 10.0, 0.8, 1.0], strict=True))
    )
    assert set(forecast.summarise([]).values()) == {None}


def test_a_folder_with_nothing_to_judge_ends_with_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match="holds no demand series"):
        run(monkeypatch, "--data", tmp_path, "--quick")
    with pytest.raises(SystemExit, match="is no folder"):
        run(monkeypatch, "--data", tmp_path / "nowhere", "--quick")


def test_a_series_that_breaks_the_forecaster_is_a_row_with_its_reason():
    history = History(np.full(400, np.nan), 0, 3600)
    row = judging.judge(Demand("hollow", "cpu", history))
    assert row["kind"] == "failed"
    assert "missing" in row["reason"]


def test_training_parts_come_from_the_other_folder_where_the_first_has_none(tmp_path):
    series = {f"H{i}": waves(200, 24, i).round(1) for i in range(1, 4)}
    put_m4(tmp_path / "train", "train", {name: one[:152] for name, one in series.items()}, 160)
    put_m4(tmp_path / "data", "test_some", {"H1": series["H1"][152:], "H3": series["H3"][152:170]}, 48)
    assert m4.read(tmp_path / "data")[0] == {}
    found, skipped = m4.read(tmp_path / "data", tmp_path / "train")
    assert list(found) == ["H1"]
    np.testing.assert_array_equal(found["H1"][0], series["H1"][:152])
    np.testing.assert_array_equal(found["H1"][1], series["H1"][152:])
    assert [one.name for one in skipped] == ["m4_hourly/H3"]


def test_a_damaged_competition_file_is_left_out_with_its_reason(tmp_path):
    put_m4(tmp_path, "train", {"H1": ["1", "many"]}, 2)
    put_m4(tmp_path, "test", {"H1": [1.0] * 48}, 48)
    found, skipped = m4.read(tmp_path)
    assert found == {}
    assert "'many' is no number" in skipped[0].reason
    assert "no training part" in skipped[1].reason


GROWTH = Growth(max_rows=3_000, rounds=20, patience=5, depth=4, learning_rate=0.3)


def test_the_fleets_model_is_judged_on_what_follows_what_it_learnt_from():
    def demand(name, change):
        values = waves(288 * 10, 288, 1)
        values[288 * 6 :] += change
        return Demand(name, "cpu", History(values, 0, 300, 0.0))

    rows = fleet.of_demand([demand("still", 0.0), demand("moved", 40.0)], GROWTH)
    assert [row["series"] for row in rows] == ["still", "moved"]
    assert rows[0]["boosted"]["24h"]["r2"] > 0.9
    assert rows[0]["boosted"]["1h"]["n"] == 96
    hidden = fleet.of_demand([demand("still", 0.0), demand("moved", 1e6)], GROWTH)
    assert hidden[0]["boosted"] == rows[0]["boosted"]


def test_the_fleets_model_learns_from_every_training_part_and_is_judged_where_the_future_is_known():
    series = {f"H{i}": waves(400, 24, i) for i in range(4)}
    series["H9"] = waves(400, 24, 9)[:20]
    training = {name: one[:352] for name, one in series.items()}
    rows = fleet.of_m4(
        {name: (training[name], series[name][352:]) for name in ("H0", "H2")}, training, GROWTH
    )
    assert [row["series"] for row in rows] == ["m4_hourly/H0", "m4_hourly/H2"]
    assert max(row["mase"] for row in rows) < 1.1
    assert (
        fleet.of_m4({"H9": (training["H9"], np.ones(48))}, {"H9": training["H9"]}, GROWTH)[0]["kind"]
        == "failed"
    )
