"""The entry point of the Dagster code location: everything under `defs/`, and nothing else.

What an asset is, when it runs and what it needs is said where the asset is; a new module under `defs/` is found without
being named here.
"""

from pathlib import Path

import dagster as dg


@dg.definitions
def definitions() -> dg.Definitions:
    """The whole graph."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
