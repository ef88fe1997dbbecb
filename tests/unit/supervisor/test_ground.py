import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.supervisor import ground
from serving.supervisor.failures import CannotStartError


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In a short place, for the path of a socket may only be so long, and where other users reach it."""
    with tempfile.TemporaryDirectory(prefix="mx", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_the_data_folder_is_laid_out_and_a_second_time_changes_nothing(tmp_path):
    for _ in range(2):
        ground.lay_out(tmp_path / "data")
    assert {path.name for path in (tmp_path / "data").iterdir()} == set(ground.FOLDERS)
    assert (tmp_path / "data" / "run").stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_is_refused_with_the_variable_to_change(tmp_path):
    too_long = tmp_path / ("d" * 120)
    with pytest.raises(CannotStartError, match=r"bytes too long for the sockets.*MAXIMUS_DATA_DIR"):
        ground.lay_out(too_long)
    assert not too_long.exists()


def test_the_longest_path_that_is_accepted_holds_a_socket(tmp_path):
    name = max(ground._SOCKET_NAMES, key=len)
    room = ground.LONGEST_SOCKET_PATH - len(os.fsencode(tmp_path)) - len("//sock/") - len(name)
    folder = tmp_path / ("d" * room)
    ground.lay_out(folder)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(str(folder / "sock" / name))


def test_a_file_in_the_place_of_the_folder_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in ("file", "file/data"):
        with pytest.raises(
            CannotStartError,
            match=r"a file is in its place or on the way to it: set MAXIMUS_DATA_DIR to a folder",
        ):
            ground.lay_out(tmp_path / folder)


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    """As another user when we are root, for root may write everywhere."""
    (tmp_path / "data").mkdir(mode=0o555)
    script = (
        "import os, sys, pathlib\nfrom serving.supervisor import ground\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try: ground.lay_out(pathlib.Path(sys.argv[1]))\n"
        "except ground.CannotStartError as error: print(error)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "data")], capture_output=True, text=True, check=True
    )
    assert "cannot be written (Permission denied): change its owner, or set MAXIMUS_DATA_DIR" in ended.stdout


def test_a_disk_with_too_little_room_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "NEEDED_BYTES", shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(CannotStartError, match=r"has \d+ MB left and \d+ MB are needed"):
        ground.lay_out(tmp_path)


def test_a_full_disk_is_called_full():
    """/dev/full answers every write as a full disk does."""
    with (
        pytest.raises(CannotStartError, match="The disk under /dev is full"),
        ground._explained(Path("/dev")),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_a_taken_port_is_named_with_its_holder_and_its_variable():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotStartError) as caught:
            ground.check_ports("127.0.0.1", {"MAXIMUS_GATEWAY_PORT": port}, patience_seconds=0.1)
    message = str(caught.value)
    assert message.startswith(f"Port {port} is taken by ")
    assert f"(pid {os.getpid()})" in message
    assert message.endswith("set MAXIMUS_GATEWAY_PORT to another port.")


def test_free_ports_pass_and_stay_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for _ in range(2):
        ground.check_ports("127.0.0.1", {"MAXIMUS_LOOP_PORT": port}, patience_seconds=0.1)


def test_one_port_for_two_servers_is_refused():
    with pytest.raises(CannotStartError, match="MAXIMUS_A and MAXIMUS_B are both 12345"):
        ground.check_ports("127.0.0.1", {"MAXIMUS_A": 12345, "MAXIMUS_B": 12345})


def test_a_port_that_is_given_back_in_a_moment_is_waited_for():
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    holder.listen()
    release = threading.Timer(0.2, holder.close)
    release.start()
    ground.check_ports("127.0.0.1", {"MAXIMUS_GATEWAY_PORT": holder.getsockname()[1]}, patience_seconds=10.0)
    release.join()
