"""Whose public holidays are observed, as a setting or an option says it: `DE`, `DE-BY`, `DE-BY@Europe/Berlin`.

It crosses from settings and command line to the learning side, so it is checked here, once for all of them. Which dates
are holidays is known by the `holidays` package; it is imported when it is asked, for most processes never ask.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from maximus_assets.contracts.errors import BadInputError

HOLIDAYS_VARIABLE: Final = "MAXIMUS_HOLIDAYS"

_FORM: Final = re.compile(r"([A-Za-z]{2})(?:-([^@\s]+))?(?:@(\S+))?")


@dataclass(frozen=True)
class HolidayCalendar:
    """The public holidays of a country, or of one of its subdivisions.

    Attributes:
        country: ISO 3166-1 alpha-2 code, such as `DE`.
        subdivision: Of the country, as the `holidays` package names it, such as `BY`; None for the whole country.
        timezone: IANA zone in which a day begins and ends.
    """

    country: str
    subdivision: str | None = None
    timezone: str = "UTC"

    def __str__(self) -> str:
        """In the form that `parse` reads."""
        place = self.country if self.subdivision is None else f"{self.country}-{self.subdivision}"
        return f"{place}@{self.timezone}"

    @classmethod
    def parse(cls, text: str, *, source: str) -> "HolidayCalendar":
        """From text: country, then subdivision after `-`, then time zone after `@`.

        Args:
            text: What was typed or set.
            source: The option or setting, for the error.

        Raises:
            BadInputError: It has another form, or names a country, subdivision or time zone that is unknown.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise BadInputError(
                f"{text!r} is not a country such as DE, with subdivision and time zone DE-BY@Europe/Berlin",
                source=source,
            )
        country, subdivision, zone = found[1].upper(), found[2], found[3] or "UTC"
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError) as error:
            raise BadInputError(
                f"{zone!r} in {text!r} is not an IANA time zone such as Europe/Berlin", source=source
            ) from error
        calendar = cls(country, subdivision, zone)
        try:
            calendar.between(date(2000, 1, 1), date(2000, 1, 1))
        except NotImplementedError as error:
            raise BadInputError(
                f"no public holidays are known of {text!r} ({error})", source=source
            ) from error
        return calendar

    def between(self, first: date, last: date) -> list[tuple[date, str]]:
        """Holidays from `first` to `last`, both included, in order, each with its name."""
        from holidays import country_holidays

        years = range(first.year, last.year + 1)
        known = country_holidays(self.country, subdiv=self.subdivision, years=years)
        return sorted((day, name) for day, name in known.items() if first <= day <= last)


def _checked(text: str) -> str:
    try:
        return str(HolidayCalendar.parse(text, source=""))
    except BadInputError as error:
        raise ValueError(str(error).removeprefix(": ")) from error


HolidaysText = Annotated[str, AfterValidator(_checked)]
"""A calendar as text, for settings: refused at the start rather than by the first run that learns."""
