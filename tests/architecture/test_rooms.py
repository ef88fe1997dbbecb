"""The shape of the house is held by a tool, and the tool's rules name every room there is."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def rooms(package: str) -> set[str]:
    return {
        path.stem
        for path in (ROOT / package).iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem != "__init__"
    }


@pytest.mark.parametrize("package", ["maximus_assets", "serving"])
def test_every_room_is_placed_and_every_placed_room_exists(package: str) -> None:
    layers = next(
        contract["layers"]
        for contract in PYPROJECT["tool"]["importlinter"]["contracts"]
        if contract.get("containers") == [package]
    )
    placed = {room.strip() for layer in layers for room in layer.split("|")}
    assert placed == rooms(package)


def test_the_import_contracts_hold() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("package", ["maximus_assets", "serving"])
def test_every_module_opens_by_saying_what_belongs_in_it(package: str) -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in (ROOT / package).rglob("*.py")
        if not path.read_text().lstrip().startswith(('"""', "#!"))
    ]
    assert silent == []


def test_no_module_outgrows_one_idea() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in ("maximus_assets", "serving")
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
