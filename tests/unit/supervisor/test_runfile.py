import subprocess
import sys
from dataclasses import replace

import pytest

from serving.supervisor import processes, runfile
from serving.supervisor.processes import Identity
from serving.supervisor.runfile import ChildRecord, RunRecord

CHILDREN = (
    ChildRecord("first", "ready", Identity(100, 7), "http://127.0.0.1:1", since=1.5, restarts=2),
    ChildRecord("second", "waiting", None, "", since=2.5, detail="not yet"),
    ChildRecord("third", "starting", Identity(300, 9), "", since=3.5),
)


@pytest.fixture
def record():
    return RunRecord(processes.boot_id(), Identity(1, 2), 12.5, is_ready=True, children=CHILDREN)


def test_what_is_written_is_read_back(tmp_path, record):
    runfile.write(tmp_path, record)
    assert runfile.read(tmp_path) == record


def test_leaders_are_stopped_in_the_reverse_order_of_their_start(record):
    assert record.leaders() == [Identity(300, 9), Identity(100, 7)]


def test_identities_of_another_boot_of_the_machine_mean_nothing(record):
    assert replace(record, boot="an earlier one").leaders() == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"boot": "x"}', '{"supervisor": {"pid": 1}}', "\0\0"])
def test_a_file_that_is_not_ours_counts_as_none(tmp_path, content):
    (tmp_path / runfile.RUN_FILE).write_text(content)
    assert runfile.read(tmp_path) is None


def test_no_draft_is_left_beside_the_file(tmp_path, record):
    runfile.write(tmp_path, record)
    assert [path.name for path in tmp_path.iterdir()] == [runfile.RUN_FILE]


def test_only_one_holds_the_lock_and_it_goes_with_its_process_however_that_ends(tmp_path):
    script = "import sys, pathlib\nfrom serving.supervisor import runfile\n"
    script += (
        "with runfile.locked(pathlib.Path(sys.argv[1])) as free: print(free, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "True\n"
        assert runfile.is_held(tmp_path)
        with runfile.locked(tmp_path) as is_free:
            assert not is_free
    finally:
        holder.kill()
        holder.communicate()
    assert not runfile.is_held(tmp_path)
    with runfile.locked(tmp_path) as is_free:
        assert is_free


def test_a_child_process_does_not_inherit_the_lock(tmp_path):
    with runfile.locked(tmp_path):
        child = subprocess.Popen(["sleep", "600"], close_fds=False)
    try:
        assert not runfile.is_held(tmp_path)
    finally:
        child.kill()
        child.wait()
