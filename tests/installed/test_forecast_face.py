"""`maximus forecast` on a running product, in a terminal and without one."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

MAXIMUS = str(Path(sys.executable).with_name("maximus"))
HORIZONS = ["15 min", "1 h", "6 h", "24 h"]


def in_a_terminal(installation, columns: int, *arguments: str, **more: str) -> str:
    """What a command writes to a terminal of that many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**installation.environment, "TERM": "xterm-256color", **more}
    process = subprocess.Popen(
        [MAXIMUS, *arguments],
        cwd=installation.root,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 65536):
            said += piece
    except OSError:
        pass  # Linux says so when the last writer has gone
    os.close(ours)
    assert process.wait(60) == 0, said.decode()
    return said.decode()


@pytest.fixture(autouse=True)
def champion_can_be_loaded(installation):
    installation.registry().check_reachable()


def test_a_day_ahead_is_asked_of_the_champion_with_its_method_and_version(installation):
    done = installation.run("forecast", "demo-shop", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert [row["ahead"] for row in said["horizons"]] == HORIZONS
    assert said["note"] == ""
    assert said["method"]
    assert said["latest"]["model_version"] == installation.health()["champion_version"]
    assert all(row["lower"] <= row["mean"] <= row["upper"] for row in said["horizons"])


@pytest.mark.parametrize("columns", [80, 140])
def test_it_fits_the_terminal_and_keeps_to_no_colour(installation, columns):
    said = in_a_terminal(installation, columns, "forecast", "demo-shop", NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said).replace("\r", "").splitlines()
    assert max(map(len, lines)) <= columns
    assert max(map(len, lines)) > columns - 5, "the plot uses the width there is"
    assert not re.search(r"\x1b\[[0-9;]*(3|4|9)[0-9](;[0-9;]*)?m", said), "a colour"
    assert all(any(line.startswith(ahead) for line in lines) for ahead in HORIZONS)


def test_a_series_the_champion_never_learnt_is_said_with_what_to_do(installation):
    done = installation.run("forecast", "host", "--sensor", "memory_used_ratio")
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "the champion never learnt this series" in said
    assert "maximus learn --telemetry" in said
