"""The README is true: every setting, route, command and benchmark it ought to name is named, and no other."""

import json
import re
from pathlib import Path

import pytest
from typer.main import get_command

from maximus_assets.contracts.catalogue.document import kinds, table
from maximus_assets.prometheus.push import MEASURES
from serving.cli import app
from serving.gateway.exposition import documented as scraped_metrics
from serving.observability import Instrument
from serving.settings.table import documented


def documented_metrics() -> list[Instrument]:
    pushed = [Instrument(name, "gauge", ("job",), said) for name, said in MEASURES.items()]
    return [*scraped_metrics(), *pushed]


ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ROUTES = json.loads((ROOT / "tests/service/golden/routes.json").read_text())


@pytest.mark.parametrize(("name", "default", "description"), documented())
def test_every_setting_stands_in_the_readme_as_the_code_describes_it(
    name: str, default: str, description: str
) -> None:
    assert f"| `{name}` | {default} | {description} |" in README


@pytest.mark.parametrize("metric", documented_metrics(), ids=lambda metric: metric.name)
def test_every_metric_stands_in_the_readme_as_the_code_describes_it(metric: Instrument) -> None:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    assert f"| `{metric.name}` | {metric.kind} | {labels} | {metric.description} |" in README


def test_the_readme_names_no_metric_that_does_not_exist() -> None:
    known = {metric.name for metric in documented_metrics()}
    assert set(re.findall(r"^\| `(maximus_[a-z_]+)`", README, re.MULTILINE)) == known


def test_the_readme_names_no_setting_that_does_not_exist() -> None:
    known = {name for name, _, _ in documented()} | {"MAXIMUS_TEST_DATA_DIR"}
    assert set(re.findall(r"`(MAXIMUS_[A-Z_]+)`", README)) <= known


@pytest.mark.parametrize(
    "path", sorted({route["path"] for route in ROUTES if route["path"].startswith("/api/")})
)
def test_every_route_stands_in_the_readme(path: str) -> None:
    assert f"`{path}`" in README


@pytest.mark.parametrize("command", sorted(get_command(app).commands))  # type: ignore[attr-defined] # a group has commands
def test_every_command_stands_in_the_readme(command: str) -> None:
    assert f"`maximus {command}" in README


def test_every_sensor_stands_in_the_readme_with_who_reads_it() -> None:
    count = sum(len(names) for names in kinds().values())
    assert f"\n{count} kinds of sensor" in README
    assert f"\n\n{table()}\n\n" in README, (
        "replace the table by the output of contracts.catalogue.document.table"
    )


def test_every_benchmark_stands_in_the_readme() -> None:
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - {"__init__", "report"}
    assert {name for name in modules if f"python -m benchmarks.{name}" not in README} == set()
