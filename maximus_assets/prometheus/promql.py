"""Putting labels into PromQL: quoting, matchers, and the queries a sensor is read by.

It is hard because label values come from people and machines alike: a quote, a backslash or a dot must neither end the
query nor widen it. A value that is matched by a regular expression is escaped for RE2, then quoted for PromQL.

Source: Prometheus manual, "Querying basics" (string literals, matchers), "Operators" (set operators), "Functions"
(`timestamp`, `label_replace`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from maximus_assets.contracts.prometheus import PromQLSensor

PART: Final = "maximus_part"
"""Label that tells values from their instants in one answer."""

_RE2_SPECIAL: Final = re.compile(r"([\\.+*?()|\[\]{}^$])")
_OPEN: Final = re.compile(r"\$(selector|by|window)\b")
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quoted(text: str) -> str:
    """A PromQL string literal that stands for exactly `text`."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'


def regex_literal(text: str) -> str:
    """A regular expression (RE2) that matches exactly `text`."""
    return _RE2_SPECIAL.sub(r"\\\1", text)


def selector(targets: Iterable[Mapping[str, str]], matchers: Mapping[str, str]) -> str:
    """Matchers, without braces, for the series of some targets.

    With several labels it may also match a mixture of two targets' labels; the mapping sorts those out.

    Args:
        targets: The labels of each target; all have the same names, at least one target.
        matchers: Labels every series has.
    """
    given = list(targets)
    parts = [f"{name}={quoted(value)}" for name, value in sorted(matchers.items())]
    for name in sorted(given[0]):
        values = sorted({labels[name] for labels in given})
        if len(values) == 1:
            parts.append(f"{name}={quoted(values[0])}")
        else:
            parts.append(f"{name}=~{quoted('|'.join(map(regex_literal, values)))}")
    return ", ".join(parts)


def fill(query: str, *, matchers: str, by: Sequence[str], window_seconds: int) -> str:
    """The query with its placeholders filled in.

    Args:
        query: As `PromQLSensor.query`.
        matchers: For `$selector`.
        by: For `$by`.
        window_seconds: For `$window`.
    """
    filling = {"selector": matchers, "by": ", ".join(by), "window": f"{window_seconds}s"}
    return _OPEN.sub(lambda found: filling[found.group(1)], query)


def dated(sensor: PromQLSensor, *, matchers: str, by: Sequence[str], window_seconds: int) -> str:
    """One instant query that answers the value of each target and, beside it, the instant of its newest raw sample.

    A query over a window answers with the instant it was evaluated at, also minutes after its series stopped; so the raw
    series is asked for its own timestamp in the same breath. The two parts are told apart by the label `PART`.
    """
    value = fill(sensor.query, matchers=matchers, by=by, window_seconds=window_seconds)
    newest = _newest(sensor, matchers, by)
    return f'label_replace(({value}), "{PART}", "value", "", "") or label_replace(({newest}), "{PART}", "at", "", "")'


def while_fresh(
    sensor: PromQLSensor, *, matchers: str, by: Sequence[str], window_seconds: int, limit_seconds: float
) -> str:
    """A query for ranges: the value of each target where its newest raw sample is no older than `limit_seconds`."""
    value = fill(sensor.query, matchers=matchers, by=by, window_seconds=window_seconds)
    labels = ", ".join(by)
    return f"({value}) and on ({labels}) (time() - ({_newest(sensor, matchers, by)}) <= {limit_seconds:g})"


def counted(sensor: PromQLSensor, *, matchers: str, by: Sequence[str], seconds: float) -> str:
    """A query for how many raw samples of each target there are in the `seconds` before the instant it is asked for."""
    return f"sum by ({', '.join(by)}) (count_over_time({sensor.metric}{{{matchers}}}[{round(seconds * 1000)}ms]))"


def _newest(sensor: PromQLSensor, matchers: str, by: Sequence[str]) -> str:
    return f"max by ({', '.join(by)}) (timestamp({sensor.metric}{{{matchers}}}))"
