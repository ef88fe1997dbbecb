"""Figures, spans and names as a person reads them. Pure functions of their arguments; English only."""

import math
from datetime import UTC, datetime
from typing import Final

from maximus_assets.contracts.decision import DecisionRecord

_MINUS: Final = "\N{MINUS SIGN}"
_THIN: Final = "\N{NARROW NO-BREAK SPACE}"
_SPACE: Final = "\N{NO-BREAK SPACE}"

_SUFFIX: Final[dict[str, str]] = {
    "cores": "cores",
    "per_second": "/s",
    "ms": "ms",
    "seconds": "s",
    "celsius": "\N{DEGREE SIGN}C",
    "watts": "W",
    "count": "",
    "load": "",
}


def number(value: float, digits: int = 3) -> str:
    """A number with `digits` significant digits, thousands set apart, no exponent below a trillion."""
    if not math.isfinite(value):
        return "unknown"
    if value == 0:
        return "0"
    size = abs(value)
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size < 10**digits else 0
    text = f"{round(size, decimals):,.{decimals}f}".replace(",", _THIN)
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return f"{_MINUS}{text}" if value < 0 and text != "0" else text


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: `1.24 cores`, `63 %`, `118 /s`, `2.5 GiB`; a dash without a value.

    Args:
        value: In `unit`.
        unit: A unit of the sensor catalogue.
    """
    if value is None:
        return "\N{EM DASH}"
    if unit == "ratio":
        return f"{number(100 * value)}{_THIN}%"
    if unit in {"bytes", "bytes_per_second"}:
        return _bytes(value) + ("/s" if unit == "bytes_per_second" else "")
    text, suffix = number(value), _SUFFIX.get(unit, unit)
    if text == "1":
        suffix = suffix.removesuffix("s") if suffix == "cores" else suffix
    space = _SPACE if suffix[:1].isalpha() else _THIN
    return f"{text}{space}{suffix}" if suffix else text


def _bytes(value: float) -> str:
    names = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = min(len(names) - 1, int(math.log(abs(value), 1024))) if abs(value) >= 1 else 0
    return f"{number(value / 1024**power)}{_SPACE}{names[power]}"


def span(seconds: float) -> str:
    """A length of time with its two largest units: `4 s`, `2 min 10 s`, `3 h 5 min`, `6 d 2 h`; under 1 s in ms."""
    if seconds < 0:
        return "0 s"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = int(seconds)
    for (size, name), (small, small_name) in (
        ((86_400, "d"), (3600, "h")),
        ((3600, "h"), (60, "min")),
        ((60, "min"), (1, "s")),
    ):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"


def plain(name: str) -> str:
    """A name of ours as words: `cpu_used_cores` -> `cpu used cores`."""
    return name.replace("_", " ")


def sentence(text: str) -> str:
    """A reason as a sentence: a capital first, one full stop at the end; nothing stays nothing."""
    text = text.strip().rstrip(".")
    return f"{text[0].upper()}{text[1:]}." if text else ""


def verdict(record: DecisionRecord) -> str:
    """What was decided, in two words: `would change`, `change stands` or `keep`."""
    if record.plan is not None:
        return "would change"
    return "change stands" if "standing_change" in record.state else "keep"


def change(record: DecisionRecord) -> str:
    """From what to what, for a change that is proposed or stands: `set replicas 12 \N{RIGHTWARDS ARROW} 9`; else nothing."""
    if record.plan is None:
        return plain(str(record.state.get("standing_change", ""))).replace("->", "\N{RIGHTWARDS ARROW}")
    return ", ".join(
        f"{plain(action.kind)} {number(action.current)} \N{RIGHTWARDS ARROW} {number(action.desired)}"
        for action in record.plan.actions
    )


def instant(at: datetime) -> str:
    """An instant in UTC to the second; the page's script shows the reader's own zone instead."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of_day(at: datetime) -> str:
    """The time of an instant in UTC to the minute."""
    return at.astimezone(UTC).strftime("%H:%M UTC")
