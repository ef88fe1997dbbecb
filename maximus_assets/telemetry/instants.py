"""A clock column as instants in UTC.

Four kinds of clock come in files: instants with a zone, local times without one, seconds since some origin, and none
at all. Only the first explains itself. The others are read when an option says what the file does not, and refused
otherwise. Local time is the hard one: one hour a year is skipped and one happens twice.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NoReturn

import polars as pl

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.telemetry.options import NO_CLOCK, ORIGIN, STEP, TIME_COLUMN, TIMEZONE, FileOptions

_UTC: Final = pl.Datetime("us", "UTC")
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)

_ISO: Final = (
    r"^(?<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?<clock>[0-9]{2}:[0-9]{2})(?<second>:[0-9]{2})?(?:[.,](?<part>[0-9]{1,6})[0-9]*)?"
    r"(?: ?(?<zone>Z|[+-][0-9]{2}(?::?[0-9]{2})?))?)?$"
)
_PIECE_ROWS: Final = 250_000
_WIDEST_OFFSET_SECONDS: Final = 18 * 3600


class Clock:
    """Reads one clock column of one file.

    Args:
        options: What the user said.
        source: The file.
        column: The clock column.
        series: Shape (rows,), which series each row belongs to; None when the file holds one.
    """

    def __init__(
        self, options: FileOptions, source: str, column: str, series: pl.Series | None = None
    ) -> None:
        self._options = options
        self._source = source
        self._column = column
        self._series = series

    def read(self, cells: pl.Series) -> pl.Series:
        """The instants of the rows, ascending within each series.

        Args:
            cells: Shape (rows,), of any type.

        Raises:
            BadInputError: A row shows no instant, an instant that the options do not explain, or one out of order.
        """
        if cells.null_count():
            self._refuse(cells.is_null(), "the clock cell is empty")
        if isinstance(cells.dtype, pl.Datetime | pl.Date):
            self._refuse_origin(cells)
        if cells.dtype == pl.String:
            cells = cells.str.strip_chars()
            is_number = cells.head(1).cast(pl.Float64, strict=False).null_count() == 0
            instants = self._relative(cells) if is_number else self._iso(cells)
        elif cells.dtype.is_numeric():
            instants = self._relative(cells)
        elif isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone is not None:
            instants = cells.dt.convert_time_zone("UTC").cast(_UTC)
            self._check_zone(cells.dt.replace_time_zone(None).cast(pl.Datetime("us")), instants)
        elif isinstance(cells.dtype, pl.Datetime | pl.Date):
            instants = self._local(cells.cast(pl.Datetime("us")))
        else:
            raise BadInputError(
                f"the column is of type {cells.dtype}, which is no clock",
                source=self._source,
                column=self._column,
            )
        self._check_bounds(instants)
        self._check_order(instants)
        return instants

    def _relative(self, cells: pl.Series) -> pl.Series:
        seconds = cells.cast(pl.Float64, strict=False)
        if seconds.null_count():
            self._refuse(seconds.is_null(), "not a number of seconds, though the first row is one")
        origin = self._options.origin_at
        if origin is None:
            raise BadInputError(
                f"the clock counts seconds ({cells[0]}) from a start it does not state; state it with {ORIGIN} "
                "(1970-01-01T00:00Z for Unix time)",
                source=self._source,
                row=1,
                column=self._column,
            )
        is_usable = seconds.is_finite() & (seconds.abs() < 1e10)
        if not is_usable.all():
            self._refuse(
                ~is_usable,
                "not a plausible number of seconds; a clock in milliseconds must be divided by 1000",
            )
        elapsed = (seconds * 1e6).round().cast(pl.Int64).cast(pl.Duration("us"))
        return (elapsed + origin).cast(_UTC)

    def _iso(self, cells: pl.Series) -> pl.Series:
        # Taking a timestamp apart costs many times its size, so a long column is taken apart piece by piece.
        pieces = [self._split(cells, first) for first in range(0, cells.len(), _PIECE_ROWS)]
        local, offset = (pl.concat(part) for part in zip(*pieces, strict=True))
        self._refuse_origin(cells)
        if offset.null_count() == offset.len():
            return self._local(local)
        if offset.null_count():
            is_other = offset.is_null() != offset.is_null()[0]
            self._refuse(is_other, "some timestamps carry a zone and some do not")
        instants: pl.Series = (local - (offset * 1_000_000).cast(pl.Duration("us"))).dt.replace_time_zone(
            "UTC"
        )
        self._check_zone(local, instants)
        return instants

    def _refuse_origin(self, cells: pl.Series) -> None:
        if self._options.origin is not None:
            raise BadInputError(
                f"column {self._column} shows dates ({cells[0]}), which need no origin; leave it out, or give "
                f"{TIME_COLUMN} {NO_CLOCK} to count rows instead",
                source=self._source,
                column=ORIGIN,
            )

    def _split(self, cells: pl.Series, first: int) -> tuple[pl.Series, pl.Series]:
        """Wall-clock times of a piece of the column, and their offsets in seconds, null where there is no zone."""
        cells = cells.slice(first, _PIECE_ROWS)
        parts = cells.str.extract_groups(_ISO).struct.unnest()
        text = parts.select(
            pl.concat_str(
                "date",
                pl.lit("T"),
                pl.col("clock").fill_null("00:00"),
                pl.col("second").fill_null(":00"),
                pl.lit("."),
                pl.col("part").fill_null("0"),
            )
        ).to_series()
        local = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
        offsets = {zone: _offset_seconds(zone) for zone in parts["zone"].unique() if zone is not None}
        offset = parts["zone"].replace_strict(offsets, default=None, return_dtype=pl.Int64)
        is_bad = local.is_null() | (offset.is_null() & parts["zone"].is_not_null())
        if is_bad.any():
            row = is_bad.arg_max() or 0
            raise BadInputError(
                f"{cells[row]!r} is not an ISO 8601 timestamp such as 2024-05-01T13:45:00Z",
                source=self._source,
                row=first + row + 1,
                column=self._column,
            )
        return local, offset

    def _check_zone(self, local: pl.Series, instants: pl.Series) -> None:
        """A zone given for timestamps that carry their own must be the same one."""
        zone = self._options.timezone
        if zone is None:
            return
        is_other = instants.dt.convert_time_zone(zone).dt.replace_time_zone(None) != local
        if is_other.any():
            self._refuse(
                is_other, f"the timestamp carries a zone, and it is not {zone}; leave {TIMEZONE} out"
            )

    def _local(self, local: pl.Series) -> pl.Series:
        """Local times to instants, in the zone the options name."""
        zone = self._options.timezone
        if zone is None:
            raise BadInputError(
                f"{local[0]} carries no time zone; name it with {TIMEZONE} (for example {TIMEZONE} UTC)",
                source=self._source,
                row=1,
                column=self._column,
            )
        first = local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        if first.null_count():
            row = first.is_null().arg_max() or 0
            self._refuse(
                first.is_null(),
                f"{local[row]} was skipped in {zone}: clocks went forward; is it another zone?",
            )
        second = local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        first, second = first.dt.convert_time_zone("UTC"), second.dt.convert_time_zone("UTC")
        is_twice = first != second
        if not is_twice.any():
            return first
        return self._unfold(local, first, second, is_twice)

    def _unfold(
        self, local: pl.Series, first: pl.Series, second: pl.Series, is_twice: pl.Series
    ) -> pl.Series:
        """Tell the two passes of a repeated hour apart by the order of the rows.

        The rows of one series go through the hour, step back, and go through it again. When they step back exactly
        once, by what makes the spacing go on evenly, those before are the first pass. Anything else stays ambiguous
        and is refused.
        """
        rows = self._by_series(local).with_columns(first=first, second=second, is_twice=is_twice)
        spacing = pl.col("first").diff().filter(pl.col("first").diff() > timedelta(0)).median().over("series")
        folds = (
            rows.with_columns(spacing=spacing)
            .with_columns(
                previous_local=pl.col("at").shift(1).over("series"),
                previous_first=pl.col("first").shift(1).over("series"),
                previous_twice=pl.col("is_twice").shift(1, fill_value=False).over("series"),
            )
            .filter("is_twice")
            .with_columns(is_back=pl.col("previous_twice") & (pl.col("at") <= pl.col("previous_local")))
            .with_columns(
                is_even=pl.col("second") - pl.col("previous_first") <= 1.5 * pl.col("spacing"),
                day=pl.col("at").dt.date(),
            )
            .with_columns(
                passes=pl.col("is_back").cum_sum().over("series", "day"),
                steps=pl.col("is_back").sum().over("series", "day"),
            )
        )
        bad = folds.filter((pl.col("steps") != 1) | (pl.col("is_back") & ~pl.col("is_even")))
        if bad.height:
            row = int(bad["row"].to_numpy().min())
            raise BadInputError(
                f"{local[row]} happens twice in {self._options.timezone}: clocks went back, and the order of the rows "
                "does not tell which is meant; write timestamps with their offset",
                source=self._source,
                row=row + 1,
                column=self._column,
            )
        later = folds.filter(pl.col("passes") == 1)["row"]
        return first.scatter(later, second.gather(later))

    def _by_series(self, at: pl.Series) -> pl.DataFrame:
        series = pl.repeat("", at.len(), eager=True) if self._series is None else self._series
        return pl.DataFrame({"series": series, "at": at}).with_row_index("row")

    def _check_bounds(self, instants: pl.Series) -> None:
        is_outside = (instants < _EARLIEST) | (instants >= _LATEST)
        if is_outside.any():
            self._refuse(is_outside, f"the year {instants[is_outside.arg_max() or 0].year} is not plausible")

    def _check_order(self, instants: pl.Series) -> None:
        gap = pl.col("at").diff() if self._series is None else pl.col("at").diff().over("series")
        gaps = self._by_series(instants).select("row", "at", gap=gap.dt.total_microseconds())
        wrong = gaps.filter(pl.col("gap") <= 0).head(1)
        if wrong.height:
            row, at, gap = wrong.row(0)
            what = "is there twice" if gap == 0 else "is earlier than the row before it"
            raise BadInputError(
                f"{at.isoformat()} {what}; if rows are evenly spaced and only the clock is damaged, replace it with "
                f"{TIME_COLUMN} {NO_CLOCK} {ORIGIN} INSTANT {STEP} DURATION",
                source=self._source,
                row=row + 1,
                column=self._column,
            )
        step = self._options.step_seconds
        if step is None:
            return
        uneven = gaps.filter(pl.col("gap") % (step * 1_000_000) != 0).head(1)
        if uneven.height:
            row, at, gap = uneven.row(0)
            raise BadInputError(
                f"{at.isoformat()} comes {gap / 1e6:g} s after the row before it, which is no multiple of {STEP} {step}s",
                source=self._source,
                row=row + 1,
                column=self._column,
            )

    def _refuse(self, is_bad: pl.Series, message: str) -> NoReturn:
        row = is_bad.arg_max() or 0
        raise BadInputError(message, source=self._source, row=row + 1, column=self._column)


def count_rows(rows: int, options: FileOptions, source: str) -> pl.Series:
    """Instants of rows without a clock: `--step` apart from `--origin` on.

    Raises:
        BadInputError: One of the two is not given; names it.
    """
    origin = options.origin_at
    for given, name in ((origin, ORIGIN), (options.step_seconds, STEP)):
        if given is None:
            raise BadInputError(
                f"rows without a clock need {ORIGIN} (instant of the first row, such as 2018-01-01T00:00Z) and {STEP} "
                "(their spacing, such as 5m)",
                source=source,
                column=name,
            )
    assert origin is not None
    assert options.step_seconds is not None
    if origin + timedelta(seconds=rows * options.step_seconds) >= _LATEST:
        raise BadInputError(
            f"{rows} rows at this spacing reach beyond the year 2200", source=source, column=STEP
        )
    elapsed = pl.int_range(0, rows, dtype=pl.Int64, eager=True) * (options.step_seconds * 1_000_000)
    return (elapsed.cast(pl.Duration("us")) + origin).cast(_UTC)


def _offset_seconds(zone: str) -> int | None:
    """Seconds east of Greenwich of an ISO 8601 offset; None where there is no such offset."""
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    if int(digits[2:]) > 59 or seconds > _WIDEST_OFFSET_SECONDS:
        return None
    return -seconds if zone[0] == "-" else seconds
