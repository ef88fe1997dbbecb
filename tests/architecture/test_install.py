"""The install script by itself: its index reader and its refusals. It is a program, so it is loaded by its path."""

import hashlib
import importlib.util
import json
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "bootstrap.py"
WHEEL = b"a wheel"
SHA = hashlib.sha256(WHEEL).hexdigest()


@pytest.fixture
def bootstrap():
    spec = importlib.util.spec_from_file_location("bootstrap", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index on this machine; pip's own settings name it and nothing else."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple")
    (tmp_path / "simple" / "pip").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    yield tmp_path
    server.shutdown()
    thread.join()
    server.server_close()


def publish(index, *names, digest=SHA, extra=""):
    links = ""
    for name in names:
        (index / "files" / name).write_bytes(WHEEL)
        links += f'<a href="/files/{name}#sha256={digest}"{extra}>{name}</a>'
    (index / "simple" / "pip" / "index.html").write_text(f"<html><body>{links}</body></html>")


def test_the_newest_pip_of_the_index_is_taken_and_its_digest_checked(bootstrap, index, tmp_path):
    publish(index, "pip-9.0-py3-none-any.whl", "pip-26.3-py3-none-any.whl", "pip-24.10-py3-none-any.whl")
    wheel = bootstrap.fetch_pip(tmp_path)
    assert wheel.name == "pip-26.3-py3-none-any.whl"
    assert wheel.read_bytes() == WHEEL


def test_a_wheel_that_does_not_match_its_digest_is_refused(bootstrap, index, tmp_path):
    publish(index, "pip-26.3-py3-none-any.whl", digest="0" * 64)
    with pytest.raises(bootstrap.InstallError, match="does not match its sha256"):
        bootstrap.fetch_pip(tmp_path)


def test_withdrawn_wheels_and_those_of_a_later_python_are_passed_over(bootstrap, index, tmp_path):
    publish(index, "pip-26.3-py3-none-any.whl", extra=' data-yanked="broken"')
    with pytest.raises(bootstrap.InstallError, match="lists no pip"):
        bootstrap.fetch_pip(tmp_path)
    publish(index, "pip-26.3-py3-none-any.whl", extra=' data-requires-python="&gt;=3.99"')
    with pytest.raises(bootstrap.InstallError, match="lists no pip"):
        bootstrap.fetch_pip(tmp_path)


def test_an_index_that_cannot_be_reached_is_named_without_its_password(
    bootstrap, index, tmp_path, monkeypatch
):
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:9/simple")
    with pytest.raises(bootstrap.InstallError, match=r"127\.0\.0\.1:9") as caught:
        bootstrap.fetch_pip(tmp_path)
    assert "secret" not in str(caught.value)


def test_a_folder_of_wheels_is_an_index_too(bootstrap, index, tmp_path, monkeypatch):
    publish(index, "pip-26.3-py3-none-any.whl")
    page = index / "simple" / "pip" / "index.html"
    page.write_text(page.read_text().replace("/files/", "../../files/"))
    monkeypatch.setenv("PIP_INDEX_URL", (index / "simple").as_uri())
    assert bootstrap.fetch_pip(tmp_path).read_bytes() == WHEEL


def test_pip_settings_come_from_the_environment_before_the_file(bootstrap, index, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = http://from.file/simple\nextra-index-url = a\n  b\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://from.environment/simple")
    assert bootstrap.PipSettings().indexes() == ["http://from.environment/simple", "a", "b"]
    monkeypatch.delenv("PIP_INDEX_URL")
    assert bootstrap.PipSettings().indexes()[0] == "http://from.file/simple"


def test_the_json_form_of_an_index_is_understood(bootstrap):
    class Settings:
        def open(self, url, accept):
            files = [
                {"filename": "pip-26.3-py3-none-any.whl", "url": "../../f/p.whl", "hashes": {"sha256": SHA}}
            ]
            return json.dumps({"files": files}).encode(), "application/vnd.pypi.simple.v1+json"

    (found,) = bootstrap.listed_wheels(Settings(), "https://index.example/simple/")
    assert found == ((26, 3), "https://index.example/f/p.whl", SHA)


def test_a_wrong_python_is_refused_in_one_sentence(bootstrap, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    with pytest.raises(
        bootstrap.InstallError, match=r"^Python 3\.10 cannot run this project: install Python 3\.11"
    ):
        bootstrap.check_python()


@pytest.fixture
def project(bootstrap, tmp_path, monkeypatch):
    """A project folder whose environment was built and finished."""
    for name in bootstrap.SOURCES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    for name, path in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "STAMP": venv / ".maximus-installed",
        "UNFINISHED": venv / ".maximus-unfinished",
    }.items():
        monkeypatch.setattr(bootstrap, name, path)
    (venv / ".maximus-installed").write_text(bootstrap.wanted_stamp())
    return tmp_path


def test_nothing_is_done_when_nothing_changed(bootstrap, project, capsys, monkeypatch):
    monkeypatch.setattr(bootstrap, "install_project", lambda: pytest.fail("it installed again"))
    assert bootstrap.main() == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", ".ci/bootstrap.py"])
def test_a_change_in_what_decides_the_result_installs_again(bootstrap, project, name):
    (project / name).write_text("something else")
    assert not bootstrap.is_current(bootstrap.wanted_stamp())


def test_an_install_that_was_cut_off_starts_over(bootstrap, project):
    (project / ".venv" / ".maximus-unfinished").touch()
    assert not bootstrap.is_current(bootstrap.wanted_stamp())
    assert not bootstrap.is_healthy()


def test_an_environment_whose_python_is_gone_is_built_anew(bootstrap, project):
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.11")
    assert not bootstrap.is_current(bootstrap.wanted_stamp())
    assert not bootstrap.is_healthy()
