"""What a file cannot say about itself: which column is the clock, its zone, where it begins, how far rows lie apart.

Every option is checked here once, under the name its user typed. Nothing is ever guessed from the data instead.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.errors import BadInputError

TIME_COLUMN: Final = "--time-column"
TIMEZONE: Final = "--timezone"
ORIGIN: Final = "--origin"
STEP: Final = "--step"
VALUE_OPTION: Final = "--value"
SENSOR_OPTION: Final = "--sensor"

NO_CLOCK: Final = "none"
"""As time column: there is no clock, or none worth trusting; rows lie `--step` apart from `--origin` on."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhd])+")
_LONGEST_STEP_SECONDS: Final = 366 * 86_400


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How to read a file; see `telemetry.files.read_file` for what each case needs.

    Attributes:
        time_column: Column that holds the clock, or `none` for rows without one. None: the one column with a usual
            name for a clock.
        timezone: IANA zone of local timestamps that carry none.
        origin: Instant at which a relative clock shows 0, or of the first row where there is no clock. A naive one is
            local to `timezone`.
        step_seconds: Spacing of rows without a clock, > 0; of rows with one, a claim to be checked.
        value: Columns to read, one series each.
        sensor: Sensor of the catalogue that the values are, where the file does not name one itself.

    Raises:
        BadInputError: An option makes no sense by itself; names it.
    """

    time_column: str | None = None
    timezone: str | None = None
    origin: datetime | None = None
    step_seconds: int | None = None
    value: tuple[str, ...] = ()
    sensor: str = "demand_count"

    def __post_init__(self) -> None:
        if self.timezone is not None:
            _check_zone(self.timezone)
        if self.step_seconds is not None and not 0 < self.step_seconds <= _LONGEST_STEP_SECONDS:
            raise BadInputError(f"{self.step_seconds} s is not between 1 s and 366 d", source=STEP)
        if self.sensor not in CATALOGUE:
            raise BadInputError(f"{self.sensor} is not in the sensor catalogue", source=SENSOR_OPTION)
        if len(set(self.value)) != len(self.value):
            raise BadInputError("a column is named twice", source=VALUE_OPTION)
        if self.origin is not None:
            _ = self.origin_at

    @classmethod
    def parse(
        cls,
        *,
        time_column: str | None = None,
        timezone: str | None = None,
        origin: str | None = None,
        step: str | None = None,
        value: Sequence[str] = (),
        sensor: str = "demand_count",
    ) -> "FileOptions":
        """From text, as typed on a command line.

        Args:
            time_column: As the attribute.
            timezone: As the attribute.
            origin: An ISO 8601 date or instant.
            step: A duration such as `5m`.
            value: As the attribute.
            sensor: As the attribute.

        Raises:
            BadInputError: An option cannot be understood; names it.
        """
        parsed: datetime | None = None
        if origin is not None:
            try:
                parsed = datetime.fromisoformat(origin.strip())
            except ValueError as error:
                raise BadInputError(
                    f"{origin!r} is not an ISO 8601 instant such as 2018-01-01T00:00Z", source=ORIGIN
                ) from error
        return cls(
            time_column=time_column,
            timezone=timezone,
            origin=parsed,
            step_seconds=None if step is None else parse_duration(step, source=STEP),
            value=tuple(value),
            sensor=sensor,
        )

    @property
    def origin_at(self) -> datetime | None:
        """The origin in UTC.

        Raises:
            BadInputError: It is naive and there is no zone, or the zone skips or repeats it, or contradicts it.
        """
        if self.origin is None:
            return None
        zone = None if self.timezone is None else ZoneInfo(self.timezone)
        if self.origin.tzinfo is not None:
            local = self.origin.replace(tzinfo=None)
            if zone is not None and self.origin.astimezone(zone).replace(tzinfo=None) != local:
                raise BadInputError(
                    f"{self.origin.isoformat()} is not in the zone {self.timezone}", source=ORIGIN
                )
            return self.origin.astimezone(UTC)
        if zone is None:
            raise BadInputError(
                f"{self.origin.isoformat()} has no zone: write {self.origin.isoformat()}Z for UTC, "
                f"or name its zone with {TIMEZONE}",
                source=ORIGIN,
            )
        first, second = (self.origin.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first != second:
            raise BadInputError(
                f"{self.origin.isoformat()} is skipped or happens twice in {self.timezone}: write it in UTC",
                source=ORIGIN,
            )
        return first


def parse_duration(text: str, *, source: str) -> int:
    """Seconds of a duration written with its units: `15s`, `5m`, `1h`, `1h30m`, `1d`.

    Args:
        text: What was typed.
        source: The option or setting, for the error.

    Returns:
        Whole seconds, > 0.

    Raises:
        BadInputError: There is no unit, it is no duration, or it is not a positive whole number of seconds.
    """
    compact = text.strip().lower()
    if _DURATION.fullmatch(compact) is None:
        hint = f"; write {compact}s for seconds" if compact.isascii() and compact.isdecimal() else ""
        raise BadInputError(f"{text!r} is not a duration such as 15s, 5m, 1h or 1h30m{hint}", source=source)
    seconds = sum(float(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"[0-9.]+[smhd]", compact))
    if seconds < 1 or seconds != int(seconds):
        raise BadInputError(f"{text!r} is not a positive whole number of seconds", source=source)
    return int(seconds)


def _check_zone(name: str) -> None:
    try:
        ZoneInfo(name)
        pl.Series([datetime(2000, 1, 1)]).dt.replace_time_zone(name)  # noqa: DTZ001 - a naive instant is the point
    except (KeyError, ValueError, OSError, pl.exceptions.ComputeError) as error:
        raise BadInputError(
            f"{name!r} is not an IANA time zone such as UTC or America/New_York", source=TIMEZONE
        ) from error
