"""Cursors: exact, opaque, and nothing else is taken for one."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.gateway.cursor import Position, decode, encode
from serving.gateway.problems import ProblemError

instants = st.integers(0, 7_000_000_000_000_000).map(
    lambda micros: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)


@given(instants, st.uuids())
def test_a_position_comes_back_to_the_microsecond(at, key):
    word = encode(Position(at, key))
    assert decode(word) == Position(at, key)
    assert word.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=60))
def test_nothing_else_is_taken_for_a_cursor(word):
    position = None
    with suppress(ProblemError):
        position = decode(word)
    assert position is None or encode(position) == word


@pytest.mark.parametrize("word", ["", "x", "AAAA", "MS4y", "é", "====", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk.00"])
def test_a_word_that_is_no_cursor_names_the_input(word):
    with pytest.raises(ProblemError, match="cursor"):
        decode(word)
