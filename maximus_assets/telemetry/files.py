"""A user's file as a telemetry frame.

Wide files have one row for each instant and one or several value columns; long files have one row for each
observation, with a `target` column and perhaps a `sensor` column. A file is accepted whole or not at all: the first
thing wrong with it is reported with its place, and nothing of it is kept.

What a file needs:

| its clock | options |
|---|---|
| timestamps with a zone (ISO 8601) | none |
| timestamps without one | `--timezone` |
| seconds from some start (Unix time too) | `--origin` |
| none, or a damaged one: rows in order, evenly spaced | `--origin --step` (`--time-column none` for a damaged one) |
| a clock under an unusual name | `--time-column` |
| several columns that could be the value | `--value`, once for each to be read |
"""

import hashlib
import re
from pathlib import Path
from typing import Final

import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET, VALUE
from maximus_assets.telemetry.frames import is_name, validate
from maximus_assets.telemetry.instants import Clock, count_rows
from maximus_assets.telemetry.options import NO_CLOCK, ORIGIN, STEP, TIME_COLUMN, VALUE_OPTION, FileOptions
from maximus_assets.telemetry.tables import read_table

CLOCK_NAMES: Final = frozenset({"timestamp", "time", "datetime", "date", "observed_at", "ts", "ds"})
"""Column names taken for the clock when `--time-column` is not given, in any case."""

_EXTENSIONS: Final = (".gz", ".csv", ".parquet", ".pq", ".txt")
_LONGEST_NAME: Final = 63


def read_file(path: Path, options: FileOptions) -> pl.DataFrame:
    """All observations in a file.

    Args:
        path: CSV or Parquet, gzipped or not; at most `tables.MAX_BYTES` uncompressed and `tables.MAX_CELLS` cells.
        options: What the file does not say itself. `value` may be left out when only one column besides the clock
            (and, in a long file, `target` and `sensor`) is left.

    Returns:
        A telemetry frame, by series, ascending in time. A wide file's target is the file's name made a slug, followed
        by the column's when several are read; its sensor is `options.sensor`, as in a long file without one.

    Raises:
        BadInputError: Anything is wrong; names the file, the 1-based row, and the column or option.
    """
    source = str(path)
    table = read_table(path)
    clock = _clock_column(table.columns, options, source)
    if TARGET in table.columns and TARGET not in options.value:
        frame = _read_long(table, clock, options, source)
    else:
        frame = _read_wide(table, clock, options, path)
    return validate(frame, source)


def _clock_column(columns: list[str], options: FileOptions, source: str) -> str | None:
    """The clock column, or None when rows are to be counted."""
    if options.time_column == NO_CLOCK:
        return None
    if options.time_column is not None:
        _check_column(options.time_column, columns, TIME_COLUMN, source)
        return options.time_column
    found = [column for column in columns if _is_clock_name(column)]
    if len(found) > 1:
        raise BadInputError(
            f"several columns could be the clock: {', '.join(found)}; choose one",
            source=source,
            column=TIME_COLUMN,
        )
    if not found and (options.origin is None or options.step_seconds is None):
        raise BadInputError(
            f"no column is named like a clock (columns: {', '.join(columns)}); name it with {TIME_COLUMN}, or give "
            f"{ORIGIN} and {STEP} if rows are in order and evenly spaced",
            source=source,
            column=TIME_COLUMN,
        )
    return found[0] if found else None


def _is_clock_name(column: str) -> bool:
    return column.strip().lower() in CLOCK_NAMES


def _value_columns(columns: list[str], taken: set[str], options: FileOptions, source: str) -> tuple[str, ...]:
    for column in options.value:
        _check_column(column, columns, VALUE_OPTION, source)
        if column in taken:
            raise BadInputError(f"column {column} is not a value", source=source, column=VALUE_OPTION)
    if options.value:
        return options.value
    left = [column for column in columns if column not in taken]
    if not left:
        raise BadInputError("no column is left to be the value", source=source, column=VALUE_OPTION)
    if len(left) > 1:
        raise BadInputError(
            f"several columns could be the value: {', '.join(left)}; choose with {VALUE_OPTION}",
            source=source,
            column=VALUE_OPTION,
        )
    return (left[0],)


def _check_column(column: str, columns: list[str], option: str, source: str) -> None:
    if column not in columns:
        raise BadInputError(
            f"there is no column {column}; there are: {', '.join(columns)}", source=source, column=option
        )


def _read_wide(table: pl.DataFrame, clock: str | None, options: FileOptions, path: Path) -> pl.DataFrame:
    source = str(path)
    # A clock that is not to be read is no value either, unless it is asked for.
    unread = {column for column in table.columns if _is_clock_name(column)} - set(options.value)
    values = _value_columns(table.columns, {clock} if clock else unread, options, source)
    targets = [_slug(path, column if len(values) > 1 else None) for column in values]
    if len(set(targets)) != len(targets):
        raise BadInputError(
            "two columns would get the same target name; rename one", source=source, column=VALUE_OPTION
        )
    if clock is None:
        instants = count_rows(table.height, options, source)
    else:
        instants = Clock(options, source, clock).read(table[clock])
    return pl.concat(
        pl.DataFrame(
            {
                TARGET: pl.repeat(target, table.height, dtype=pl.String, eager=True),
                SENSOR: pl.repeat(options.sensor, table.height, dtype=pl.String, eager=True),
                OBSERVED_AT: instants,
                VALUE: _numbers(table[column], source, pl.Series([options.sensor])),
            }
        )
        for target, column in sorted(zip(targets, values, strict=True))
    )


def _read_long(table: pl.DataFrame, clock: str | None, options: FileOptions, source: str) -> pl.DataFrame:
    if clock is None:
        raise BadInputError(
            "a long file (it has a column target) needs a clock column of its own",
            source=source,
            column=TIME_COLUMN,
        )
    taken = {clock, TARGET, SENSOR}
    if not options.value and VALUE in table.columns:
        column = VALUE
    else:
        values = _value_columns(table.columns, taken, options, source)
        if len(values) > 1:
            raise BadInputError("a long file has one value column", source=source, column=VALUE_OPTION)
        column = values[0]
    targets = _names(table, TARGET, source)
    _refuse_names(targets, TARGET, [name for name in targets.unique() if not is_name(name)], source)
    if SENSOR in table.columns:
        sensors = _names(table, SENSOR, source)
        _refuse_names(sensors, SENSOR, [name for name in sensors.unique() if name not in CATALOGUE], source)
    else:
        sensors = pl.repeat(options.sensor, table.height, eager=True)
    instants = Clock(options, source, clock, targets + "/" + sensors).read(table[clock])
    return pl.DataFrame(
        {
            TARGET: targets,
            SENSOR: sensors,
            OBSERVED_AT: instants,
            VALUE: _numbers(table[column], source, sensors),
        }
    ).sort(TARGET, SENSOR, OBSERVED_AT)


def _names(table: pl.DataFrame, column: str, source: str) -> pl.Series:
    cells = table[column]
    if cells.dtype != pl.String:
        raise BadInputError(f"the column is of type {cells.dtype}, not text", source=source, column=column)
    if cells.null_count():
        raise BadInputError(
            "the cell is empty", source=source, row=(cells.is_null().arg_max() or 0) + 1, column=column
        )
    return cells.str.strip_chars()


def _refuse_names(cells: pl.Series, column: str, strange: list[str], source: str) -> None:
    if not strange:
        return
    row = cells.is_in(strange).arg_max() or 0
    what = "in the sensor catalogue" if column == SENSOR else "a name (a-z 0-9 . _ -, at most 63 characters)"
    raise BadInputError(f"{cells[row]!r} is not {what}", source=source, row=row + 1, column=column)


def _numbers(cells: pl.Series, source: str, sensors: pl.Series) -> pl.Series:
    """The values of a column: each a finite number within the valid range of its sensor (one for each row, or one)."""
    column = cells.name
    if not (cells.dtype == pl.String or cells.dtype.is_numeric()):
        raise BadInputError(
            f"the column is of type {cells.dtype}, not a number", source=source, column=column
        )
    if cells.dtype == pl.String:
        cells = cells.str.strip_chars()
    values = cells.cast(pl.Float64, strict=False)
    is_bad = ~values.is_finite().fill_null(value=False)
    if is_bad.any():
        row = is_bad.arg_max() or 0
        cell = cells[row]
        if cell is None or cell == "":
            message = "the cell is empty; leave out rows that hold no observation"
        elif values[row] is None:
            message = f"{cell!r} is not a number"
        else:
            message = f"{cell} is not a finite number"
        raise BadInputError(message, source=source, row=row + 1, column=column)
    for sensor in sensors.unique():
        known = CATALOGUE[sensor]
        is_wrong = (sensors == sensor) & ~values.is_between(known.minimum, known.maximum)
        if is_wrong.any():
            row = is_wrong.arg_max() or 0
            raise BadInputError(
                f"{values[row]:g} is no plausible {sensor} ({known.minimum:g} to {known.maximum:g} {known.unit})",
                source=source,
                row=row + 1,
                column=column,
            )
    return values


def _slug(path: Path, column: str | None) -> str:
    """A target name from a file's name, and from a column's when it is one of several."""
    stem = path.name.lower()
    while (suffix := Path(stem).suffix) in _EXTENSIONS:
        stem = stem.removesuffix(suffix)
    text = stem if column is None else f"{stem}.{column.strip().lower()}"
    name = re.sub(r"[^a-z0-9._-]+", "-", text).strip("._-")
    if len(name) > _LONGEST_NAME:
        # Two long names may begin alike: a few digits of the whole keep them apart.
        name = f"{name[: _LONGEST_NAME - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    if not is_name(name):
        raise BadInputError(
            "no target can be named after this (a-z 0-9 . _ - are kept); rename it",
            source=str(path),
            column=column,
        )
    return name


__all__ = ["CLOCK_NAMES", "FileOptions", "read_file"]
