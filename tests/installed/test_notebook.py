"""The notebook reads a real installation from top to bottom, and says what is wrong where there is none."""

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:(jupyter_client|zmq|nbclient|traitlets).*"
)


def execute(path: Path, environment: dict[str, str]):
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.execute(env=environment)
    return notebook


def said(notebook) -> str:
    """Everything its cells showed, as text."""
    return "\n".join(
        output.get("text")
        or "\n".join(output.get("data", {}).get(kind, "") for kind in ("text/plain", "text/markdown"))
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )


@pytest.fixture
def quiet_kernels(monkeypatch, tmp_path):
    """Kernels leave nothing in the user's home."""
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    return {name: str(tmp_path / name.lower()) for name in ("IPYTHONDIR", "MPLCONFIGDIR")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_and_keeps_no_output(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        assert cell.outputs == []
        assert cell.execution_count is None
        tree = compile(cell.source, path.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        assert not [node for node in ast.walk(tree) if isinstance(node, kinds)]


def test_what_was_learnt_is_read_from_a_running_installation(installation, quiet_kernels):
    installation.wait(installation.decisions, "a first decision")
    installation.registry().check_reachable()
    data = {"MAXIMUS_DATA_DIR": str(installation.root / ".maximus")}
    shown = execute(NOTEBOOKS[0], {**installation.environment, **quiet_kernels, **data})
    text = said(shown)
    assert "maximus-forecaster version" in text
    assert "# maximus-forecaster" in text, "the card"
    assert "demo-shop" in text
    assert "maximus.gate." in text or "gate" in text
    assert any(
        "image/png" in output.get("data", {}) for cell in shown.cells for output in cell.get("outputs", [])
    )


def test_a_folder_where_nothing_runs_is_said_in_a_sentence(installation, quiet_kernels, tmp_path):
    nowhere = {**installation.environment, **quiet_kernels, "MAXIMUS_DATA_DIR": str(tmp_path / "empty")}
    with pytest.raises(CellExecutionError, match=r"Nothing runs in .*empty: start it with `make up`"):
        execute(NOTEBOOKS[0], nowhere)
