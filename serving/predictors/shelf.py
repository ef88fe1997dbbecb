"""The champion on disk, so that a restart need not wait for the registry to come back.

Only what was champion and has answered is kept, one version at a time, with the tags it carried. It is used while the
registry does not answer and nothing is loaded, and only if every byte is as it was kept; the registry's word replaces
it as soon as there is one.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

_LABEL: Final = "champion.json"


@dataclass(frozen=True)
class Named:
    """What the registry says of the version that has the alias."""

    version: str
    source: str
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Kept:
    """A version on the shelf.

    Attributes:
        named: What the registry said of it.
        files: Folder of the model.
    """

    named: Named
    files: Path


class Shelf:
    """Keeps the last champion.

    Args:
        folder: Where; made when something is kept.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, named: Named, files: Path) -> None:
        """Put a version on the shelf in place of the one before it; the label is written last, in one step.

        Args:
            named: What the registry says of it.
            files: Folder of its model; copied.

        Raises:
            OSError: It could not be written; what was kept before still is.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        place = Path(mkdtemp(prefix=f"version-{named.version}-", dir=self._folder))
        try:
            shutil.copytree(files, place, dirs_exist_ok=True)
            label = {**asdict(named), "folder": place.name, "digest": _digest(place)}
            part = self._folder / f".{_LABEL}.part"
            with part.open("w") as file:
                json.dump(label, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / _LABEL)
        except BaseException:  # whatever stopped it, no half version stays behind
            shutil.rmtree(place, ignore_errors=True)
            raise
        for other in self._folder.glob("version-*"):
            if other != place:
                shutil.rmtree(other, ignore_errors=True)

    def clear(self) -> None:
        """Keep nothing any more."""
        (self._folder / _LABEL).unlink(missing_ok=True)

    def last(self) -> Kept | None:
        """The version kept last, None when there is none or it is not what was kept."""
        try:
            label = json.loads((self._folder / _LABEL).read_text())
            files = self._folder / Path(label["folder"]).name
            if _digest(files) != label["digest"]:
                return None
            return Kept(Named(label["version"], label["source"], dict(label["tags"])), files)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _digest(folder: Path) -> str:
    """SHA-256 over names and bytes of every file below a folder."""
    digest = sha256()
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}:{len(content)};".encode())
        digest.update(content)
    return digest.hexdigest()
