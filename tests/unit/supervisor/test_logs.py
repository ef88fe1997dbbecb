import subprocess
import sys

from serving.supervisor import logs
from serving.supervisor.child import last_line


def test_a_log_that_grew_too_large_is_moved_aside_and_the_oldest_is_dropped(tmp_path):
    log = tmp_path / "a.log"
    for generation in range(5):
        log.write_text(f"{generation}" * 100)
        logs.rotate(tmp_path, largest_bytes=50, kept=2)
    assert log.read_text() == ""
    assert (tmp_path / "a.log.1").read_text()[0] == "4"
    assert (tmp_path / "a.log.2").read_text()[0] == "3"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_small_log_is_left_alone(tmp_path):
    (tmp_path / "a.log").write_text("x" * 50)
    logs.rotate(tmp_path, largest_bytes=50)
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]


def test_a_process_that_is_writing_goes_on_in_the_emptied_log(tmp_path):
    code = "import sys\nfor line in sys.stdin: sys.stdout.write(line); sys.stdout.flush(); print('.', end='', file=sys.stderr, flush=True)\n"
    with (tmp_path / "a.log").open("ab") as log:
        writer = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=log, stderr=subprocess.PIPE, text=True
        )
    writer.stdin.write("before" * 20 + "\n")
    writer.stdin.flush()
    writer.stderr.read(1)
    logs.rotate(tmp_path, largest_bytes=50)
    writer.communicate("after\n")
    assert (tmp_path / "a.log").read_bytes() == b"after\n"


def test_the_last_words_are_the_last_line_that_says_something(tmp_path):
    log = tmp_path / "a.log"
    assert last_line(log) == "it wrote no log"
    log.write_text("first\nthe reason\n\n  \n")
    assert last_line(log) == "the reason"
    log.write_text("x" * 100_000)
    assert last_line(log) == "x" * 300
