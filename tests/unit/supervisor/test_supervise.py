"""What the supervisor does about its own notes when the disk is full."""

import errno
import os

import pytest

from serving import settings
from serving.supervisor import runfile
from serving.supervisor.supervise import Supervisor


def test_a_full_disk_costs_no_child_its_keeper_and_the_notes_are_made_up_for(tmp_path, monkeypatch):
    told = []
    given = settings.load({"MAXIMUS_DATA_DIR": str(tmp_path)}, tmp_path)
    given.run_dir.mkdir()
    supervisor = Supervisor(given, {}, told.append)
    write = runfile.write

    def full(folder, record):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runfile, "write", full)
    supervisor._product.on_change()
    supervisor._product.on_change()
    assert [event.kind for event in told] == ["notice"], "it is said once"
    assert "is full" in told[0].text
    assert supervisor._is_behind
    monkeypatch.setattr(runfile, "write", write)
    supervisor._product.on_change()
    assert not supervisor._is_behind
    assert runfile.read(given.run_dir) is not None


def test_the_first_note_of_all_must_succeed(tmp_path):
    given = settings.load({"MAXIMUS_DATA_DIR": str(tmp_path)}, tmp_path)
    with pytest.raises(FileNotFoundError):
        Supervisor(given, {}, lambda _: None)._write()
