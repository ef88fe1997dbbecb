"""The pages: answers in, HTML out.

The page is whole without its script. The script fetches the same page again when something happened and puts the new
parts in place of the old, so every word and figure is made here and nowhere else; only the charts are drawn by it, from
the figures in the page.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from maximus_assets.contracts.catalogue import CATALOGUE
from serving.dashboard import words
from serving.gateway.answers import Forecasts, Overview
from serving.gateway.problems import KINDS

HERE: Final = Path(__file__).parent
STATIC: Final = HERE / "static"

_MOST_FILTERS: Final = 12
_SHORTEST_CHART_SECONDS: Final = 3600
_STATE_WORDS: Final[dict[str, str]] = {
    "leading": "leading",
    "standby": "standing by",
    "observing": "taking its first look",
    "suspended": "suspended",
    "starting": "starting",
}


class Pages:
    """Renders the first page and the API reference."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            quantity=words.quantity,
            number=words.number,
            span=words.span,
            plain=words.plain,
            sentence=words.sentence,
            verdict=words.verdict,
            change=words.change,
            instant=words.instant,
            time_of_day=words.time_of_day,
        )
        self._environment.globals.update(static_url=_versions().__getitem__, state_words=_STATE_WORDS)

    def overview(self, overview: Overview, *, target: str | None, kind: str | None, is_first: bool) -> str:
        """The first page.

        Args:
            overview: What it shows.
            target: The target its decisions are filtered by, if any.
            kind: The kind its decisions are filtered by, if any.
            is_first: Whether it shows the newest decisions, not older ones.
        """
        forecasts = {answer.target: answer for answer in overview.forecasts}
        return self._environment.get_template("overview.html").render(
            health=overview.health,
            cards=[
                (state, forecasts.get(state.target), chart(forecasts[state.target]))
                if state.target in forecasts
                else (state, None, None)
                for state in overview.health.targets
            ],
            names=(overview.targets or tuple(state.target for state in overview.health.targets))[
                :_MOST_FILTERS
            ],
            unshown=len(overview.targets) - len(overview.health.targets),
            page=overview.decisions,
            chosen_target=target,
            chosen_kind=kind,
            is_first=is_first,
            catalogue=CATALOGUE,
        )

    def reference(self, document: Mapping[str, Any]) -> str:
        """The API reference, from the OpenAPI document; it loads nothing from elsewhere."""
        return self._environment.get_template("reference.html").render(document=document, kinds=KINDS)


def chart(answer: Forecasts) -> dict[str, Any]:
    """The figures a chart is drawn from: epoch seconds and values of four significant digits.

    It begins where there is something to see, and shows an hour at least: a target's first minutes are no dot at the
    end of an empty night.

    Returns:
        `actual`: [at, value] pairs; `past` and `ahead`: [at, lower, mean, upper] rows; all oldest first.
    """
    latest = answer.latest
    now = int(answer.until.timestamp())
    seen = [point.at for point in answer.actual[:1]] + [row.at for row in answer.past[:1]]
    first = min((int(at.timestamp()) for at in seen), default=now)
    return {
        "unit": answer.unit,
        "step": answer.step_seconds,
        "since": max(int(answer.since.timestamp()), min(first, now - _SHORTEST_CHART_SECONDS)),
        "now": now,
        "actual": [[int(point.at.timestamp()), _short(point.value)] for point in answer.actual],
        "past": [
            [int(row.at.timestamp()), _short(row.lower), _short(row.mean), _short(row.upper)]
            for row in answer.past
        ],
        "ahead": []
        if latest is None
        else [
            [int(row.at.timestamp()), _short(row.lower), _short(row.mean), _short(row.upper)]
            for row in latest.points
        ],
    }


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _versions() -> dict[str, str]:
    """Address of each static file, with a digest of what is in it, so that a new release is never mixed with an old."""
    return {
        path.name: f"/static/{path.name}?v={hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"
        for path in sorted(STATIC.iterdir())
        if path.is_file()
    }
