import io

from rich.console import Console

from serving.cli.progress import Progress
from serving.supervisor.events import Event


def test_without_a_terminal_each_stage_is_one_line_when_it_ends():
    console = Console(file=io.StringIO(), width=100)
    with Progress(console) as progress:
        progress(Event("started", "MLflow"))
        progress(Event("moved", "MLflow", "making its tables", 1.0))
        progress(Event("finished", "MLflow", "http://127.0.0.1:5000", 7.25))
        progress(Event("skipped", "Valkey", "the server of MAXIMUS_REDIS_URL", 0.0))
        progress(Event("failed", "Dagster", "no page", 3.0))
    lines = console.file.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [["ok", "MLflow"], ["ok", "Valkey"], ["failed", "Dagster"]]
    assert "7.2 s  http://127.0.0.1:5000" in lines[0]


def test_on_a_terminal_every_stage_has_one_line_with_what_it_is_at():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        progress(Event("started", "PostgreSQL"))
        progress(Event("finished", "PostgreSQL", "embedded", 1.0))
        progress(Event("started", "MLflow"))
        progress(Event("moved", "MLflow", "making its tables", 2.0))
    last = console.file.getvalue().rpartition("\x1b[2K")[2]
    assert last.count("PostgreSQL") == 1
    assert "making its tables" in last


def test_on_a_narrow_terminal_names_and_times_stay_whole():
    console = Console(file=io.StringIO(), width=50, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        progress(Event("started", "First decisions"))
        progress(Event("finished", "First decisions", "a text that is longer than the room there is", 12.3))
    last = console.file.getvalue().rpartition("\x1b[2K")[2]
    assert "First decisions" in last
    assert "12.3 s" in last
