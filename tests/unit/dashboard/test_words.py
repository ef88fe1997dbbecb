"""Figures in words: right to the digits shown, never in the wrong unit, never `-0` or `1e+16`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.dashboard.words import number, quantity, sentence, span

THIN, SPACE = "\u202f", "\u00a0"


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1.2449, "cores", f"1.24{SPACE}cores"),
        (1, "cores", f"1{SPACE}core"),
        (0.6312, "ratio", f"63.1{THIN}%"),
        (1, "ratio", f"100{THIN}%"),
        (118.4, "per_second", f"118{THIN}/s"),
        (12345.6, "per_second", f"12{THIN}346{THIN}/s"),
        (182.4, "ms", f"182{SPACE}ms"),
        (12.5, "seconds", f"12.5{SPACE}s"),
        (61, "celsius", f"61{THIN}\u00b0C"),
        (70, "watts", f"70{SPACE}W"),
        (7, "count", "7"),
        (0, "load", "0"),
        (-0.0001, "load", "\u22120.0001"),
        (0, "bytes", f"0{SPACE}B"),
        (1024**3 * 2.5, "bytes", f"2.5{SPACE}GiB"),
        (1536, "bytes_per_second", f"1.5{SPACE}KiB/s"),
        (None, "cores", "\u2014"),
    ],
)
def test_a_quantity_reads_with_its_unit(value, unit, words):
    assert quantity(value, unit) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0412, "41 ms"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (180_000, "2 d 2 h"),
        (-3, "0 s"),
    ],
)
def test_a_span_reads_in_its_two_largest_units(seconds, words):
    assert span(seconds) == words


@given(st.floats(-1e12, 1e12))
def test_a_number_reads_back_as_itself_to_three_digits(value):
    read = float(number(value).replace(THIN, "").replace("\u2212", "-"))
    assert read == pytest.approx(value, rel=0.005, abs=1e-300)


def test_what_is_no_number_is_called_unknown():
    assert number(float("nan")) == number(float("inf")) == "unknown"


@pytest.mark.parametrize(
    ("reason", "said"),
    [("no change; it fits", "No change; it fits."), ("It fits.", "It fits."), ("", ""), (" \n", "")],
)
def test_a_reason_reads_as_a_sentence(reason, said):
    assert sentence(reason) == said
