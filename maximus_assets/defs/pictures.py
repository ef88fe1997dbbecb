"""Pictures and plain words for Dagster's pages: what a newcomer sees of an asset and of a check.

The pictures are `plots`'; here they become metadata. A picture's key sorts it before the figures it stands for.
"""

from typing import Any

import dagster as dg
import polars as pl

from maximus_assets.contracts.verdict import Verdict
from maximus_assets.models.forecasting.learn import LearntForecaster
from maximus_assets.plots.canvas import as_markdown
from maximus_assets.plots.forecaster import draw_forecasters
from maximus_assets.plots.gates import draw_gate

_TOLD = 3


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
        f"picture of {series}": picture(png, f"forecast, errors, coverage and methods of {series}")
        for series, png in draw_forecasters(learnt, grid).items()
    }


def gate_picture(verdict: Verdict) -> dict[str, dg.MetadataValue[Any]]:
    """Metadata that shows a verdict's figures against their bounds; none when it has no bounds."""
    png = draw_gate(verdict)
    return {} if png is None else {"picture": picture(png, f"figures of {verdict.name} and their bounds")}


def in_words(verdict: Verdict) -> str:
    """A verdict as a sentence: why it failed, or the first figures it passed on."""
    if verdict.reasons:
        return "; ".join(verdict.reasons)
    figures = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in verdict.measured.items()]
    return f"{'Passed' if verdict.passed else 'Not passed'}: {', '.join(figures[:_TOLD]) or 'nothing to object to'}."


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
