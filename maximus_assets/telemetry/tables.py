"""A file's bytes as a table of raw columns: gzip, CSV and Parquet, bounded in size.

Nothing is interpreted yet: cells of a CSV stay text. What is hard is that every broken file must say what is broken
and where, while parsers report a byte offset or nothing; so a refused CSV is walked once more to find its row.
"""

import csv
import io
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator
from gzip import GzipFile
from pathlib import Path
from typing import Final, NoReturn

import polars as pl

from maximus_assets.contracts.errors import BadInputError

MAX_BYTES: Final = 256 * 2**20
"""Largest file accepted, uncompressed."""

MAX_CELLS: Final = 20_000_000
"""Most cells accepted (rows times columns)."""

_GZIP: Final = b"\x1f\x8b"
_PARQUET: Final = b"PAR1"
_BOM: Final = b"\xef\xbb\xbf"
_BLOCK: Final = 2**20
_LONGEST_HEADER: Final = 2**20
_DATE: Final = re.compile(r"\s*[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_table(path: Path, *, max_bytes: int = MAX_BYTES, max_cells: int = MAX_CELLS) -> pl.DataFrame:
    """The table in a file, by what its first bytes say it is, whatever it is called.

    Args:
        path: CSV (comma, UTF-8, one header line) or Parquet, either of them gzipped or not.
        max_bytes: Largest size accepted, uncompressed.
        max_cells: Most cells accepted.

    Returns:
        At least one row; every column of a CSV is text, empty cells are null.

    Raises:
        BadInputError: There is no such file, it cannot be read, is too large, broken or empty, or is no table.
    """
    source = str(path)
    data = _read_bytes(path, max_bytes)
    if not data:
        raise BadInputError("the file is empty", source=source)
    if data.startswith(_PARQUET):
        table = _read_parquet(data, source, max_cells)
    else:
        table = _read_csv(data.removeprefix(_BOM), source, max_cells)
    if table.height == 0:
        raise BadInputError("there is a header but no row of data", source=source)
    return table


def _read_bytes(path: Path, max_bytes: int) -> bytes:
    source = str(path)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise BadInputError("this is a directory; name one file", source=source)
        if not stat.S_ISREG(mode):
            raise BadInputError("this is no regular file", source=source)
        with path.open("rb") as raw:
            is_gzip = raw.read(2) == _GZIP
            raw.seek(0)
            if is_gzip:
                with GzipFile(fileobj=raw) as stream:
                    return _read_bounded(stream, max_bytes, source)
            if path.suffix.lower() == ".gz":
                raise BadInputError("the name ends in .gz but this is no gzip file", source=source)
            return _read_bounded(raw, max_bytes, source)
    except FileNotFoundError as error:
        raise BadInputError("there is no such file", source=source) from error
    except EOFError as error:
        raise BadInputError(
            "the gzip file is cut off: it ends before its data does", source=source
        ) from error
    except zlib.error as error:
        raise BadInputError(f"the gzip file is damaged: {error}", source=source) from error
    except OSError as error:  # gzip's BadGzipFile is one too
        raise BadInputError(f"cannot be read: {error.strerror or error}", source=source) from error


def _read_bounded(stream: io.BufferedIOBase, max_bytes: int, source: str) -> bytes:
    """All of a stream, but never more than one block beyond the limit: a small gzip may hold a vast file."""
    blocks = io.BytesIO()
    while block := stream.read(_BLOCK):
        blocks.write(block)
        if blocks.tell() > max_bytes:
            raise BadInputError(
                f"larger than {max_bytes:,} bytes uncompressed; split it, or keep fewer columns",
                source=source,
            )
    return blocks.getvalue()


def _read_parquet(data: bytes, source: str, max_cells: int) -> pl.DataFrame:
    try:
        scan = pl.scan_parquet(io.BytesIO(data))
        width = len(scan.collect_schema())
        # The footer knows the number of rows: a few bytes may stand for a billion of them.
        rows = int(scan.select(pl.len()).collect().item())
        _check_cells(rows, width, source, max_cells)
        return scan.collect()
    except pl.exceptions.PolarsError as error:
        raise BadInputError(f"the Parquet file is damaged: {_first_line(error)}", source=source) from error


def _read_csv(data: bytes, source: str, max_cells: int) -> pl.DataFrame:
    if b"\0" in data:
        hint = " (UTF-16? save it as UTF-8)" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else ""
        raise BadInputError(f"this is binary, neither CSV nor Parquet{hint}", source=source)
    if data[:1] in {b"\r", b"\n"} or data.endswith((b"\n\n", b"\n\r\n")):
        data = data.strip(b"\r\n")  # blank lines around a table are no rows of it
    header = _read_header(data, source)
    _check_cells(data.count(b"\n"), len(header), source, max_cells)
    try:
        table = pl.read_csv(data, infer_schema=False, truncate_ragged_lines=False)
    except pl.exceptions.PolarsError as error:
        _refuse_csv(data, len(header), source, error)
    if table.columns != header:
        raise BadInputError(f"the header cannot be read as columns: {header}", source=source, row=0)
    return table


def _read_header(data: bytes, source: str) -> list[str]:
    line = data[:_LONGEST_HEADER].split(b"\n", 1)[0].rstrip(b"\r")
    try:
        header = next(_rows(line.decode()), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            "this is not a CSV file in UTF-8: its first line is no header", source=source, row=0
        ) from error
    if not any(header):
        raise BadInputError("there is no header line", source=source, row=0)
    if len(header) == 1 and (separator := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise BadInputError(
            f"columns are separated by {separator!r}; a comma is needed", source=source, row=0
        )
    if all(_is_data(name) for name in header if name):
        raise BadInputError(
            f"the first line must name the columns, but holds data: {', '.join(header)}", source=source, row=0
        )
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise BadInputError("two columns have this name", source=source, row=0, column=twice[0])
    return header


def _check_cells(rows: int, columns: int, source: str, max_cells: int) -> None:
    if rows * columns > max_cells:
        raise BadInputError(
            f"{rows:,} rows of {columns} columns are more than {max_cells:,} cells; split the file, "
            "or keep fewer columns",
            source=source,
        )


def _refuse_csv(data: bytes, width: int, source: str, error: Exception) -> NoReturn:
    """Say what the parser could not, having found the row it stumbled over."""
    try:
        text = data.decode()
    except UnicodeDecodeError as broken:
        row = data[: broken.start].count(b"\n")
        raise BadInputError("the text is not UTF-8", source=source, row=row) from error
    row = -1
    try:
        for row, cells in enumerate(_rows(text)):
            if len(cells) > width:
                raise BadInputError(
                    f"{len(cells)} cells where the header names {width} columns", source=source, row=row
                )
    except csv.Error as broken:
        raise BadInputError(f"cannot be read as CSV: {broken}", source=source, row=row + 1) from error
    raise BadInputError(f"cannot be read as CSV: {_first_line(error)}", source=source) from error


def _rows(text: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), strict=True)


def _is_data(text: str) -> bool:
    """Whether a cell is a number or begins like a date: what a column would hardly be called."""
    if _DATE.match(text):
        return True
    try:
        float(text)
    except ValueError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
