"""Pictures and plain words for Dagster's pages: what a newcomer sees of an asset and of a check.

The pictures are drawn in `plots`; here they become metadata.
"""

from typing import Any, Final

import dagster as dg
import polars as pl

from maximus_assets.contracts.verdict import Verdict
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.plots.canvas import as_markdown
from maximus_assets.plots.forecaster import draw_forecasters
from maximus_assets.plots.gates import bounded, draw_gate

_TOLD = 3

PICTURE: Final = "(picture)"
"""Key of a picture; a page that sorts its keys shows it first."""


def picture(png: bytes, alt: str) -> dg.MetadataValue[Any]:
    """A picture as metadata: Markdown with the picture in it.

    Args:
        png: The picture.
        alt: What it shows.
    """
    return dg.MetadataValue.md(as_markdown(png, alt))


def learnt_pictures(learnt: LearntForecaster, grid: pl.DataFrame) -> dict[str, dg.MetadataValue[Any]]:
    """Metadata that shows what was learnt of the first few series.

    Args:
        learnt: What was learnt.
        grid: What it was learnt from, on the grid.
    """
    return {
        f"{PICTURE} {series}": picture(png, f"forecast, errors, coverage and methods of {series}")
        for series, png in draw_forecasters(learnt, grid).items()
    }


def gate_picture(verdict: Verdict) -> dict[str, dg.MetadataValue[Any]]:
    """Metadata that shows a verdict's figures against their bounds; none when it has no bounds."""
    png = draw_gate(verdict)
    return {} if png is None else {PICTURE: picture(png, f"figures of {verdict.name} and their bounds")}


def in_words(verdict: Verdict) -> str:
    """A verdict as a sentence: why it failed, or the figures it passed on with their bounds."""
    if verdict.reasons:
        return "; ".join(verdict.reasons)
    figures = [
        f"{_spoken(each.name)} {_short(each.value)} ({'at most' if each.is_most else 'at least'} {_short(each.bound)})"
        for each in bounded(verdict)
    ] or [f"{_spoken(name)} {_short(value)}" for name, value in list(verdict.measured.items())[:_TOLD]]
    return f"{'Passed' if verdict.passed else 'Not passed'}: {', '.join(figures) or 'nothing to object to'}."


def figures_of(verdict: Verdict) -> dict[str, float | int | str | bool]:
    """A verdict's figures with as many digits as a reader can use."""
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in verdict.measured.items()
    }


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
