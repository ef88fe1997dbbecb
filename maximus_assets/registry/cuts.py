"""From when on a series' history is worth learning from, once its demand has changed for good.

Four weeks of the old demand and two days of the new teach the old one. So what drifted is cut at the drift, as soon as
what follows is long enough to learn from; until then it is learnt from whole, for a short history is better than none.
The cuts ride on the versions, from champion to candidate: the next nightly run must not learn the old demand again.
"""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from maximus_assets.contracts.naming import (
    CHAMPION,
    DEMOTED_RECIPE,
    TAG_DRIFTED_AT,
    TAG_DRIFTED_SERIES,
    TAG_HISTORY_CUTS,
    challenger,
)
from maximus_assets.contracts.telemetry import OBSERVED_AT, SENSOR, TARGET
from maximus_assets.registry.tracking import Registry, Version

LEAST: Final = timedelta(hours=74)
"""What must follow a cut: the three days without which nothing is learnt, and a margin."""

LONGEST: Final = timedelta(days=28)
"""A cut further back than what is learnt from is over."""


def cuts_of(registry: Registry, name: str) -> dict[str, datetime]:
    """Series (`target/sensor`) -> from when on to learn, as the champion knows it, or the last one when it was demoted."""
    version = registry.named(name, CHAMPION) or registry.named(name, challenger(DEMOTED_RECIPE))
    return {} if version is None else _cuts(version)


def apply(grid: pl.DataFrame, cuts: Mapping[str, datetime]) -> tuple[pl.DataFrame, dict[str, datetime]]:
    """The grid without what lies before a cut, and the cuts that will still count next time.

    Args:
        grid: A telemetry frame.
        cuts: Of `cuts_of`.
    """
    if grid.is_empty() or not cuts:
        return grid, {}
    names = list(cuts)
    known = pl.DataFrame(
        {"series": names, "cut_at": [cuts[name] for name in names]},
        schema={"series": pl.String(), "cut_at": pl.Datetime("us", "UTC")},
    )
    last = pl.col(OBSERVED_AT).max().over(TARGET, SENSOR)
    joined = grid.with_columns(pl.concat_str(TARGET, SENSOR, separator="/").alias("series")).join(
        known, on="series", how="left", maintain_order="left"
    )
    is_old = pl.col("cut_at").is_not_null() & (last - pl.col("cut_at") >= LEAST)
    kept = joined.filter(~(is_old & (pl.col(OBSERVED_AT) < pl.col("cut_at")))).select(grid.columns)
    newest: datetime = grid[OBSERVED_AT].max()  # type: ignore[assignment] # not empty, and its column holds instants
    return kept, {name: at for name, at in cuts.items() if newest - at < LONGEST}


def as_tag(cuts: Mapping[str, datetime]) -> str:
    """The cuts as text; empty for none."""
    return json.dumps({name: at.isoformat() for name, at in sorted(cuts.items())}) if cuts else ""


def _cuts(version: Version) -> dict[str, datetime]:
    said = version.tags.get(TAG_HISTORY_CUTS)
    cuts = {name: datetime.fromisoformat(at) for name, at in json.loads(said).items()} if said else {}
    drifted = version.tags.get(TAG_DRIFTED_SERIES)
    if drifted:
        at = datetime.fromisoformat(version.tags[TAG_DRIFTED_AT])
        cuts |= dict.fromkeys(drifted.split(","), at)
    return cuts
