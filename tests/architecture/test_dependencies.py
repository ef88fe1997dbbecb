"""What is installed is what was declared, and what was declared can be installed anywhere."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DIRECT = [Requirement(text) for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]
PINS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
CONSTRAINTS = {
    canonicalize_name(pin.name): next(iter(pin.specifier)).version
    for pin in PINS
    if pin.marker is None or pin.marker.evaluate()
}


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_a_direct_dependency_has_a_lower_bound_and_the_installed_version_meets_it(requirement):
    assert any(part.operator in (">=", "==", "~=") for part in requirement.specifier), "no lower bound"
    assert version(requirement.name) in requirement.specifier


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_a_direct_dependency_is_pinned_within_its_bounds(requirement):
    assert CONSTRAINTS[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_installed_versions_are_the_pinned_ones():
    wrong = {}
    for name, pinned in CONSTRAINTS.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            installed = "missing"
        # A local tag (+cpu) says how it was built, not which version it is.
        if installed == "missing" or Version(installed).public != pinned:
            wrong[name] = (pinned, installed)
    assert wrong == {}


def test_every_installed_package_is_pinned():
    """But the tools of the environment itself, ours, and the libraries torch brings for the machine it is on."""
    left_out = re.compile(r"pip|setuptools|wheel|maximus|nvidia-.*|cuda-.*|triton")
    installed = {canonicalize_name(found.metadata["Name"]) for found in distributions()}
    assert {name for name in installed - CONSTRAINTS.keys() if not left_out.fullmatch(name)} == set()


def test_constraints_hold_on_every_index_and_machine():
    for name, pinned in CONSTRAINTS.items():
        assert str(Version(pinned)) == pinned or Version(pinned).public == pinned, f"{name}: {pinned}"
        assert Version(pinned).local is None, f"{name} is pinned to a local build: {pinned}"
        # The binding to the driver is plain Python; the driver itself is the machine's.
        is_plain = name == "nvidia-ml-py"
        assert is_plain or not name.startswith(("nvidia-", "triton")), (
            f"{name} belongs to one kind of machine"
        )
    assert CONSTRAINTS["torch"] == "2.13.0"


def test_installed_packages_agree_with_each_other():
    checked = subprocess.run(
        [sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False, timeout=120
    )
    assert checked.returncode == 0, checked.stdout


def test_the_install_script_allows_exactly_the_pythons_the_project_declares():
    script = (ROOT / ".ci" / "bootstrap.py").read_text()
    allowed = re.search(r"^ALLOWED = (.*)$", script, re.MULTILINE)
    assert allowed is not None
    declared = SpecifierSet(PROJECT["requires-python"])
    minors = {minor for minor in range(20) if f"3.{minor}" in declared}
    assert {minor for _, minor in eval(allowed.group(1))} == minors
