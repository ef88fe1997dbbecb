"""Where a reader finds what the product has stored: frames, registry, knowledge base.

For notebooks and whoever else reads beside the product. Belongs here: addresses, and a sentence when there are none.
Does not: reading. The running supervisor writes down what it gave its children, and that is what is read, so that a
reader asks the very databases the loop uses.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from maximus_assets.contracts.errors import Permanent
from maximus_assets.contracts.target import Target
from serving.settings import Settings
from serving.supervisor import runfile
from serving.supervisor.children import ENVIRONMENT_FILE


class NotRunningError(Permanent):
    """Nothing of the product runs in the data folder; says which folder, and what to do."""


@dataclass(frozen=True)
class Installed:
    """A running product, as its readers need it.

    Attributes:
        frames: Folder of the Parquet frames.
        registry_url: The model registry.
        read_url: The knowledge base, as the role that may only read.
        is_pooled: Whether a pooler stands before it.
        targets: What is watched.
    """

    frames: Path
    registry_url: str
    read_url: str
    is_pooled: bool
    targets: tuple[Target, ...]


def installed(settings: Settings) -> Installed:
    """Find what runs in the data folder of these settings.

    Args:
        settings: As `settings.load` gives them.

    Raises:
        NotRunningError: Nothing does, or it is only just starting.
    """
    if not (settings.run_dir.exists() and runfile.is_held(settings.run_dir)):
        raise NotRunningError(
            f"Nothing runs in {settings.data_dir}: start it with `make up`, or set MAXIMUS_DATA_DIR to the data folder "
            "of what runs."
        )
    try:
        said = json.loads((settings.run_dir / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise NotRunningError(
            f"What runs in {settings.data_dir} is only just starting: try again."
        ) from error
    return Installed(
        frames=settings.data_dir / "frames",
        registry_url=said["MLFLOW_TRACKING_URI"],
        read_url=said["MAXIMUS_DATABASE_READ_URL"],
        is_pooled=said["MAXIMUS_DATABASE_URL"] != said["MAXIMUS_DATABASE_DIRECT_URL"],
        targets=settings.targets,
    )
