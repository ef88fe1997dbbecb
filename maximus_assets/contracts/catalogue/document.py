"""The catalogue as the README shows it: by category and by who reads it. A test compares the two."""

import re
from typing import Final

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.sensors import Category, Origin

_NUMBERED: Final = re.compile(r"(?<=_)\d+(?=_used_ratio$)")


def kinds() -> dict[tuple[Category, tuple[Origin, ...]], tuple[str, ...]]:
    """(category, who reads it) -> sensors; those that differ by a number alone are one, with N for the number."""
    found: dict[tuple[Category, tuple[Origin, ...]], dict[str, None]] = {}
    for sensor in CATALOGUE.values():
        row = found.setdefault((sensor.category, sensor.collected_by), {})
        row[_NUMBERED.sub("N", sensor.name)] = None
    return {key: tuple(row) for key, row in found.items()}


def table() -> str:
    """The catalogue as a table in Markdown, without a line end after the last row."""
    rows = [
        f"| {category} | {', '.join(origins)} | {', '.join(f'`{name}`' for name in names)} |"
        for category in Category
        for (of, origins), names in kinds().items()
        if of == category
    ]
    return "\n".join(["| category | read by | sensors |", "|---|---|---|", *rows])
