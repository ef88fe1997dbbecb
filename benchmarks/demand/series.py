"""Reading demand series: request counts and CPU, hourly or finer, from a folder of public data sets.

Adapters only read. What a file holds is known from its set's folder and format: the columns of `workloads`, the unit in
the names of `nab/data/real*` and in the folders of `cloud_monitoring`. A file that is something else, or is damaged, is
left out with its reason.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import GRID_SECONDS
from maximus_assets.models.forecasting.backtest import History

Array = NDArray[np.float64]

DAY_SECONDS: Final = 86_400
STEPS: Final = (GRID_SECONDS, 600, 900, 1200, 1800, 3600)
"""Widths of a bin: the product's grid, or the narrowest that holds a coarser file's own step and divides the hour."""

MAX_BINS: Final = 2_000_000
"""A series with one stray instant decades away would otherwise fill the memory."""

_WORDS: Final = {
    "requests": {"request", "requests", "req", "reqs", "rps", "qps", "hits"},
    "cpu": {"cpu"},
}
_OTHER_WORDS: Final = {"latency", "duration", "time", "bytes", "errors", "failed"}
"""Measures that are named after the requests they measure."""


Columns = Iterator[tuple[str, str, Array, Array]]
"""Column, unit, seconds and values of each series of a file."""

Reader = Callable[[Path], Columns]


@dataclass(frozen=True)
class Demand:
    """One demand series on a regular grid.

    Attributes:
        name: Its path below the data folder; with the column behind `:` where a file has several.
        unit: `requests` or `cpu`.
        history: Its bins.
    """

    name: str
    unit: str
    history: History


@dataclass(frozen=True)
class Skipped:
    """A file or column that is not judged, and why."""

    name: str
    reason: str


def find(root: Path) -> Iterator[Demand | Skipped]:
    """Every file of the three sets below `root`, in order of name.

    Args:
        root: A folder laid out like the data folder; sets may be absent.
    """
    for path in _csv_files(root / "workloads", "*"):
        yield from _each(path, root, _workload)
    for path in _csv_files(root / "nab" / "data", "real*/*"):
        yield from _each(path, root, lambda path: _single(path, unit_of(_stem(path)), "timestamp", "value"))
    for path in _csv_files(root / "cloud_monitoring", "*/*"):
        yield from _each(
            path, root, lambda path: _single(path, unit_of(path.parent.name), "TimeStamp", "Value")
        )


def unit_of(name: str) -> str | None:
    """The unit that a name states: `requests`, `cpu`, or None for any other."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    return next((unit for unit, known in _WORDS.items() if words & known and not words & _OTHER_WORDS), None)


def to_history(seconds: Array, values: Array, source: str) -> History:
    """Means on a regular grid.

    Args:
        seconds: Instants in seconds since some midnight, any order, shape (n,).
        values: What was observed; NaN counts as not observed.
        source: Named in errors.

    Raises:
        BadInputError: There are fewer than two instants, they are coarser than hourly, or they span too long.
    """
    seen = np.isfinite(seconds) & np.isfinite(values)
    instants = np.unique(seconds[np.isfinite(seconds)])
    if len(instants) < 2 or not seen.any():
        raise BadInputError("has fewer than two instants with a value", source=source)
    own = float(np.median(np.diff(instants)))
    step = next((step for step in STEPS if step >= own), None)
    if step is None:
        raise BadInputError(f"is sampled every {own:,.0f} s, coarser than hourly", source=source)
    bins = np.floor(seconds[seen] / step).astype(np.int64)
    first, count = int(bins.min()), int(np.ptp(bins)) + 1
    if count > MAX_BINS:
        raise BadInputError(f"spans {count:,} bins of {step} s; is an instant wrong?", source=source)
    number = np.bincount(bins - first, minlength=count)
    total = np.bincount(bins - first, weights=values[seen], minlength=count)
    means = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    floor = 0.0 if float(values[seen].min()) >= 0.0 else -np.inf
    return History(means, first * step, step, floor)


def _csv_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(
        path for suffix in (".csv", ".csv.gz") for path in folder.glob(pattern + suffix) if path.is_file()
    )


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".csv")


def _each(path: Path, root: Path, read: Reader) -> Iterator[Demand | Skipped]:
    """One file's series; damage in it becomes a reason."""
    name = str(path.relative_to(root))
    try:
        for column, unit, seconds, values in read(path):
            full = f"{name}:{column}" if column else name
            try:
                yield Demand(full, unit, to_history(seconds, values, full))
            except BadInputError as error:
                yield Skipped(full, str(error))
    except BadInputError as error:
        yield Skipped(name, str(error))
    except (
        OSError,
        EOFError,
        zlib.error,
        gzip.BadGzipFile,
        UnicodeDecodeError,
        pl.exceptions.PolarsError,
    ) as error:
        yield Skipped(name, f"{name} cannot be read: {error}".splitlines()[0])


def read_csv(path: Path, columns: Sequence[str] = ()) -> pl.DataFrame:
    """A CSV file, gzipped or not, every field as text.

    Raises:
        BadInputError: It is empty or lacks a column.
    """
    content = path.read_bytes()
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if not content.strip():
        raise BadInputError("is empty", source=path.name)
    frame = pl.read_csv(content, infer_schema=False)
    for column in columns:
        if column not in frame.columns:
            raise BadInputError("is missing", source=path.name, column=column)
    return frame


def numbers(frame: pl.DataFrame, column: str, source: str) -> Array:
    """A column as numbers, NaN where empty.

    Raises:
        BadInputError: A field is no number; most of it is empty.
    """
    text = frame[column].str.strip_chars()
    found = text.cast(pl.Float64, strict=False)
    wrong = found.is_null() & text.is_not_null() & ~text.str.to_lowercase().is_in(["", "nan", "na", "null"])
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise BadInputError(f"{text[row]!r} is no number", source=source, row=row + 1, column=column)
    return found.fill_null(np.nan).to_numpy().astype(np.float64)


def instants(frame: pl.DataFrame, column: str, source: str) -> Array:
    """A column of instants as seconds: numbers as they are, dates and times since the Unix epoch as if in UTC.

    Raises:
        BadInputError: A field is neither.
    """
    text = frame[column].str.strip_chars()
    if text.cast(pl.Float64, strict=False).is_not_null().all():
        return numbers(frame, column, source)
    plain = text.str.replace("T", " ", literal=True).str.replace(r"Z$", "").str.replace(r"\.\d+$", "")
    moments = plain.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False)
    for form in ("%Y-%m-%d %H:%M", "%Y-%m-%d"):
        moments = moments.fill_null(plain.str.to_datetime(form, strict=False))
    if moments.is_null().any():
        row = int(moments.is_null().arg_max() or 0)
        raise BadInputError(f"{text[row]!r} is no instant", source=source, row=row + 1, column=column)
    return moments.dt.epoch("s").to_numpy().astype(np.float64)


def _single(path: Path, unit: str | None, time: str, value: str) -> Columns:
    """A file of one series whose unit its set states."""
    if unit is None:
        raise BadInputError("is no demand: its unit is neither requests nor CPU", source=path.name)
    frame = read_csv(path, (time, value))
    yield "", unit, instants(frame, time, path.name), numbers(frame, value, path.name)


def _workload(path: Path) -> Columns:
    """A file of `workloads`: instants, or days of rows in order; every column of requests or CPU is a series."""
    frame = read_csv(path)
    units = {column: unit for column in frame.columns if (unit := unit_of(column)) is not None}
    if not units:
        raise BadInputError("is no demand: it has no column of requests or CPU", source=path.name)
    clock = next((column for column in frame.columns if column.lower() in {"timestamp", "time", "ds"}), None)
    if clock is not None:
        seconds = instants(frame, clock, path.name)
    elif "day" in frame.columns:
        seconds = _within_days(numbers(frame, "day", path.name), path.name)
    else:
        raise BadInputError("has neither a column timestamp nor a column day", source=path.name)
    for column, unit in units.items():
        yield column, unit, seconds, numbers(frame, column, path.name)


def _within_days(days: Array, source: str) -> Array:
    """Instants of rows that only say their day: evenly spaced from midnight at the commonest number of rows a day.

    A day with fewer rows ends early, so that its border is a gap; rows beyond a full day share its last bin.

    Raises:
        BadInputError: A day is no whole number.
    """
    if not np.isfinite(days).all() or (days != np.floor(days)).any():
        raise BadInputError("must be whole numbers", source=source, column="day")
    unique, inverse, counts = np.unique(days, return_inverse=True, return_counts=True)
    sizes, how_often = np.unique(counts, return_counts=True)
    rows = max(sizes[how_often == how_often.max()])
    place = np.empty(len(days))
    for index in range(len(unique)):
        place[inverse == index] = np.arange(counts[index])
    spacing = next((step for step in (60, *STEPS) if step >= round(DAY_SECONDS / rows)), DAY_SECONDS)
    return np.asarray(days * DAY_SECONDS + np.minimum(place * spacing, DAY_SECONDS - spacing))
