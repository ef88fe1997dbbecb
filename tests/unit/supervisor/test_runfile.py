import subprocess
import sys
from dataclasses import replace

import pytest

from serving import settings
from serving.supervisor import processes, runfile, supervise
from serving.supervisor.failures import StillRunningError
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


def test_the_holder_of_the_lock_is_known_whatever_became_of_the_run_file(tmp_path):
    assert runfile.holder(tmp_path) is None
    with runfile.locked(tmp_path) as is_ours:
        assert is_ours
        runfile.sign(tmp_path, Identity(42, 7))
        (tmp_path / runfile.RUN_FILE).write_text("{")
        assert runfile.is_held(tmp_path)
        assert runfile.holder(tmp_path) == Identity(42, 7)


def test_down_stops_a_supervisor_whose_run_file_is_damaged(tmp_path):
    """A stand-in that holds and signs the lock as a supervisor does, and ends when asked."""
    script = (
        "import os, pathlib, sys, time\nfrom serving.supervisor import processes, runfile\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "with runfile.locked(folder):\n"
        "    runfile.sign(folder, processes.identify(os.getpid()))\n    print(flush=True)\n    time.sleep(60)"
    )
    given = settings.load({"MAXIMUS_DATA_DIR": str(tmp_path)}, tmp_path)
    given.run_dir.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(given.run_dir)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        (given.run_dir / runfile.RUN_FILE).write_text("{")
        assert supervise.take_down(given, lambda _: None, seconds=10.0)
        assert holder.wait(10) != 0
    assert not runfile.is_held(given.run_dir)


def test_down_does_not_say_stopped_while_the_lock_is_held(tmp_path):
    given = settings.load({"MAXIMUS_DATA_DIR": str(tmp_path)}, tmp_path)
    given.run_dir.mkdir()
    with runfile.locked(given.run_dir), pytest.raises(StillRunningError, match=r"supervisor\.lock"):
        supervise.take_down(given, lambda _: None)
