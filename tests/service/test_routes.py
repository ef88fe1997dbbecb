"""The routes as a reviewed list, and that each says what it answers."""

import json
from pathlib import Path

import pytest

from serving.settings import Settings
from serving.wiring import build_gateway

GOLDEN = Path(__file__).parent / "golden" / "routes.json"


@pytest.fixture
def document(tmp_path):
    settings = Settings(root=tmp_path, data_dir=tmp_path, database_url="postgresql://nobody@/nothing")
    return build_gateway(settings).app.openapi()


def routes(document):
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = {
                status: {
                    media: content.get("schema", {}).get("$ref", "").rpartition("/")[2] or "text"
                    for media, content in answer.get("content", {}).items()
                }
                for status, answer in operation["responses"].items()
            }
            inputs = [f"{one['in']}.{one['name']}" for one in operation.get("parameters", [])]
            found.append(
                {
                    "method": method.upper(),
                    "path": path,
                    "inputs": inputs,
                    "answers": dict(sorted(answers.items())),
                }
            )
    return sorted(found, key=lambda route: (route["path"], route["method"]))


def test_the_routes_are_the_reviewed_ones(document):
    """On purpose changed? Then write what this prints to tests/service/golden/routes.json, and review the diff."""
    actual = json.dumps(routes(document), indent=2) + "\n"
    assert actual == GOLDEN.read_text(), actual


def test_every_route_says_what_it_does_and_how_it_fails(document):
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert method == "get", f"{path} is not read only"
            assert 20 < len(operation["summary"]) < 110, path
            assert operation["description"], path
            failures = {int(status) for status in operation["responses"] if status != "200"}
            assert {405, 421, 500} <= failures, path
            for status in failures - {503}:
                content = operation["responses"][str(status)]["content"]
                assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem"), (
                    path,
                    status,
                )
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (path, parameter["name"])


def test_the_document_describes_the_one_shape_of_failure_and_no_other(document):
    schemas = document["components"]["schemas"]
    assert set(schemas["Problem"]["required"]) == {"type", "title", "status", "code", "detail", "instance"}
    assert "HTTPValidationError" not in schemas
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas, reference
