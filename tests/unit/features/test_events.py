import numpy as np
import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.features.events import Event, windows, within


def test_events_that_touch_or_overlap_are_one_stretch():
    found = windows([Event("b", 50, 80), Event("a", 10, 20), Event("c", 60, 70), Event("d", 80, 90)])
    assert found.tolist() == [[10, 20], [50, 90]]


def test_an_instant_is_within_from_the_start_to_before_the_end():
    covered = windows([Event("a", 10, 20)])
    assert within(covered, np.array([9, 10, 19, 20])).tolist() == [0, 1, 1, 0]
    assert within(windows([]), np.array([9, 10])).tolist() == [0, 0]


def test_an_event_that_ends_before_it_begins_is_refused():
    with pytest.raises(BadInputError, match="must end after"):
        Event("sale", 20, 20)
