"""Names both sides of the seam must spell alike: registered models, aliases, tags, versions."""

from typing import Final

CONTRACT_VERSION: Final = "3"
"""Goes up whenever the code that serves can no longer load what an older one registered, or would misread it: 2 came with
states that mix several methods, 3 with more kinds of them, states that correct surprises and a model
that a fleet shares. A champion of another contract is not asked, so it
stands in nobody's way."""

FORECASTER: Final = "maximus-forecaster"

CANDIDATE: Final = "candidate"
CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"
CHALLENGER_PREFIX: Final = "challenger-"
MAXIMUM_CHALLENGERS: Final = 3
"""Most versions in shadow at once: each costs the loop a prediction for each bin, and the knowledge base a row."""

NIGHTLY_RECIPE: Final = "nightly"
DRIFT_RECIPE: Final = "drift"
DEMOTED_RECIPE: Final = "demoted"
"""Why a version is in shadow: the night made it, a drift asked for it, or it was champion and did too badly."""

TAG_CONTRACT_VERSION: Final = "maximus.contract_version"
TAG_FEATURE_RECIPE: Final = "maximus.feature_recipe"
TAG_CODE_REVISION: Final = "maximus.code_revision"
TAG_DAGSTER_RUN: Final = "maximus.dagster_run_id"
TAG_TRAINED_AT: Final = "maximus.trained_at"
TAG_DATA_VERSION: Final = "maximus.data_version"
TAG_WITHDRAWN_AT: Final = "maximus.withdrawn_at"
"""On a version that was champion and was taken back: it is never promoted again."""
TAG_WITHDRAWN_WHY: Final = "maximus.withdrawn_why"
TAG_RECIPE: Final = "maximus.recipe"
TAG_PROMOTED_AT: Final = "maximus.promoted_at"
TAG_SHADOWED_AT: Final = "maximus.shadowed_at"
TAG_RETIRED_AT: Final = "maximus.retired_at"
TAG_RETIRED_WHY: Final = "maximus.retired_why"
TAG_DEMOTED_AT: Final = "maximus.demoted_at"
TAG_DEMOTED_WHY: Final = "maximus.demoted_why"
TAG_DRIFTED_AT: Final = "maximus.drifted_at"
"""On a champion: when its input or its error was first seen to be unlike its training."""
TAG_DRIFT_SEEN_AT: Final = "maximus.drift_seen_at"
"""On a champion that has drifted: when that was last still so."""
TAG_DRIFTED_WHY: Final = "maximus.drifted_why"
TAG_DRIFTED_SERIES: Final = "maximus.drifted_series"
"""Which series, comma-separated; of very many the first."""
TAG_HISTORY_CUTS: Final = "maximus.history_cuts"
"""Series -> from when on it is learnt from, JSON."""
TAG_EVIDENCE: Final = "maximus.live_evidence"
"""The last live Verdict on a version, JSON."""
TAG_NOTICE: Final = "maximus.notice"
"""On the registered model: why the champion is not the version one would expect, in words; empty otherwise."""
TAG_GATE_PREFIX: Final = "gate."
"""One tag for each Verdict: `gate.<check name>` = `passed` or `failed`."""


def challenger(recipe: str) -> str:
    """Alias of the version of `recipe` that runs in shadow; an alias names one version, so each recipe has its own."""
    return CHALLENGER_PREFIX + recipe
