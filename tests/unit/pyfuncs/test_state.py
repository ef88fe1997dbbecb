import io
from dataclasses import replace

import numpy as np
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.pyfuncs.components import Boosted
from maximus_assets.pyfuncs.state import dump, load


def test_states_survive_the_file_to_the_last_bit(make_state):
    states = [
        make_state(),
        make_state(
            target="api",
            season_steps=0,
            day_harmonics=1,
            regression=np.array([0.1, np.pi, -1e300]),
            ar=np.array([1 / 3, -5e-324]),
            ma=np.array([-0.7]),
            floor=0.0,
            lower=-np.arange(12.0),
            upper=np.arange(12.0),
            horizon_steps=12,
        ),
        make_state(target="empty.ünicode", floor=3.5),
    ]
    again = load(dump(states))
    assert [state.target for state in again] == ["shop", "api", "empty.ünicode"]
    assert all(before.equals(after) for before, after in zip(states, again, strict=True))


def boosted(fleet: str) -> Boosted:
    return Boosted(method="boosted", step_seconds=300, minimum_bins=300, horizon_steps=288, fleet=fleet)


def test_a_share_of_the_fleets_model_survives_the_file_beside_another(make_state):
    plain = make_state(target="alone")
    mixed = replace(
        make_state(),
        components=(*make_state().components, boosted("0f" * 32)),
        weights=np.concatenate([np.full(288, 0.25), np.full(288, 0.75)]),
    )
    again = load(dump([plain, mixed]))
    assert again[0].equals(plain)
    assert again[1].equals(mixed)
    assert again[1].components[1].fleet == "0f" * 32
    assert not again[1].components[1].equals(boosted("1f" * 32))


@pytest.mark.parametrize("fleet", ["", "0f" * 31, "0F" * 32, "zz" * 32])
def test_a_share_of_a_model_without_a_digest_cannot_be_made(fleet: str):
    with pytest.raises(BadInputError, match="SHA-256"):
        boosted(fleet)


def test_no_states_are_a_valid_file():
    assert load(dump([])) == ()


def test_the_file_needs_no_pickle(make_state):
    with np.load(io.BytesIO(dump([make_state()])), allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_a_series_that_occurs_twice_is_refused(make_state):
    with pytest.raises(BadInputError, match="twice"):
        dump([make_state(), make_state()])


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_a_damaged_file_is_refused(make_state, cut: int):
    with pytest.raises(BadInputError, match="not a readable NumPy archive"):
        load(dump([make_state()])[:cut])


def test_a_file_of_another_format_is_refused(make_state):
    with np.load(io.BytesIO(dump([make_state()]))) as archive:
        content = {name: archive[name] for name in archive.files}
    content["format_version"] = np.array(99)
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    with pytest.raises(BadInputError, match="format version"):
        load(buffer.getvalue())


def test_a_file_that_lacks_a_field_is_refused(make_state):
    with np.load(io.BytesIO(dump([make_state()]))) as archive:
        content = {name: archive[name] for name in archive.files if name != "recursion_ma_length"}
    buffer = io.BytesIO()
    np.savez(buffer, **content)
    with pytest.raises(BadInputError, match="ma_length"):
        load(buffer.getvalue())


@pytest.mark.parametrize(
    "changes",
    [
        {"ar": np.array([np.nan])},
        {"ma": np.array([np.inf])},
        {"regression": np.zeros(2)},
        {"season_steps": 289},
        {"step_seconds": 0},
        {"lower": np.zeros(3)},
        {"lower": np.full(288, 0.1)},
        {"upper": np.full(288, -0.1)},
        {"lower": np.empty(0), "upper": np.empty(0)},
        {"floor": np.nan},
        {"weights": np.full(288, 0.5)},
        {"weights": np.ones(287)},
        {"sensitivity": np.ones(3)},
        {"sensitivity": np.array([0.5, -0.1, 0.0, 0.0, 6.0])},
        {"today_lower": np.zeros(12), "today_upper": np.ones(12)},
        {"today_lower": np.ones(288), "today_upper": np.zeros(288)},
        {"today_upper": np.ones(288)},
    ],
    ids=str,
)
def test_a_state_that_could_not_forecast_cannot_be_made(make_state, changes):
    with pytest.raises(BadInputError, match=r"state of shop/demand_count|seasonal_naive component"):
        make_state(**changes)


def test_a_state_cannot_be_changed_in_place(make_state):
    with pytest.raises(ValueError, match="read-only"):
        make_state().lower[0] = -5.0
