"""Names both sides of the seam must spell alike: registered models, aliases, tags, versions."""

from typing import Final

CONTRACT_VERSION: Final = "1"
"""Raised when a contract type or a model signature changes so that an older reader would misread it."""

FORECASTER: Final = "maximus-forecaster"

CANDIDATE: Final = "candidate"
CHAMPION: Final = "champion"
PREVIOUS: Final = "previous"

TAG_CONTRACT_VERSION: Final = "maximus.contract_version"
TAG_FEATURE_RECIPE: Final = "maximus.feature_recipe"
TAG_CODE_REVISION: Final = "maximus.code_revision"
TAG_DAGSTER_RUN: Final = "maximus.dagster_run_id"
TAG_TRAINED_AT: Final = "maximus.trained_at"
TAG_DATA_VERSION: Final = "maximus.data_version"
TAG_WITHDRAWN_AT: Final = "maximus.withdrawn_at"
"""On a version that was champion and was taken back: it is never promoted again."""
TAG_GATE_PREFIX: Final = "gate."
"""One tag for each Verdict: `gate.<check name>` = `passed` or `failed`."""


def challenger(recipe: str) -> str:
    """Alias of the version of `recipe` that runs in shadow; an alias names one version, so each recipe has its own."""
    return f"challenger-{recipe}"
