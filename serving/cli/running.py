"""`up`, `down` and `status`: the supervisor as people meet it."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from maximus_assets.contracts.errors import MaximusError
from serving.cli import asking, tables
from serving.cli.exits import Exit, explained, leave
from serving.cli.progress import Progress
from serving.settings import Settings
from serving.supervisor import acting, ground, product, runfile, supervise
from serving.supervisor.events import Event
from serving.supervisor.processes import is_alive
from serving.supervisor.product import Product
from serving.supervisor.runfile import ChildRecord

_LIVE_SECONDS = 5.0


def up(*, is_detached: bool) -> None:
    """Start everything; see `maximus up --help`."""
    with explained():
        settings = asking.settings()
        console = tables.console()
        if settings.run_dir.exists() and runfile.is_held(settings.run_dir):
            console.print("Maximus runs already on this data folder.")
            _print_status(console, settings)
            return
        if is_detached:
            _detached(console, settings)
        else:
            _foreground(console, settings)


def _foreground(console: Console, settings: Settings) -> None:
    progress = Progress(console)
    watch: _Watch | None = None

    def listener(event: Event) -> None:
        nonlocal watch
        if watch is not None and event.kind == "notice":
            watch.close()  # it is being stopped: what the line says is over
        progress(event)
        if event.kind == "ready":
            progress.close()
            _print_summary(console, settings, progress)
            console.print("Ctrl-C stops everything and loses nothing.", style="dim")
            watch = _Watch(console)

    def on_tick(product: Product) -> None:
        if watch is not None:
            watch.tick(product)

    with progress:
        try:
            supervise.Supervisor(settings, os.environ, listener, on_tick).run()
        except supervise.AlreadyRunningError:
            console.print("Maximus runs already on this data folder.")
            _print_status(console, settings)
        finally:
            if watch is not None:
                watch.close()
    console.print("stopped")


def _detached(console: Console, settings: Settings) -> None:
    """Hand the work to a process of its own session and draw what it tells through a pipe."""
    ground.lay_out(settings.data_dir)  # before there is a process that could say it only into a log
    reading, writing = os.pipe()
    with (settings.log_dir / "supervisor.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving.supervisor", str(settings.root), str(writing)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(writing,),
            start_new_session=True,
            cwd=settings.root,
        )
    os.close(writing)
    failure = ""
    with Progress(console) as progress, os.fdopen(reading, encoding="utf-8") as events:
        for line in events:
            event = Event.from_line(line)
            if event.kind == "ready":
                progress.close()
                _print_summary(console, settings, progress)
                console.print(
                    "It runs on its own now: `make down` stops it, `maximus status` shows it.", style="dim"
                )
                return
            if event.kind == "failed" and not event.stage:
                failure = event.text
            else:
                progress(event)
    code = process.wait()
    leave(
        failure or f"The supervisor ended with exit code {code}: see {settings.log_dir / 'supervisor.log'}",
        _exit(code),
    )


def _exit(code: int) -> Exit:
    return Exit(code) if code in (Exit.WRONG_INPUT, Exit.INTERRUPTED) else Exit.FAILED


def down() -> None:
    """Stop everything; see `maximus down --help`."""
    with explained():
        console = tables.console()
        found = supervise.take_down(asking.settings(), lambda text: console.print(text, style="dim"))
        console.print("stopped" if found else "nothing is running")


def status(*, as_json: bool) -> None:
    """Show what runs; see `maximus status --help`."""
    with explained():
        settings, console = asking.settings(), tables.console()
        is_running = settings.run_dir.exists() and runfile.is_held(settings.run_dir)
        if as_json:
            sys.stdout.write(json.dumps(_status(settings, is_running=is_running), indent=1) + "\n")
        elif is_running:
            _print_status(console, settings)
        record = runfile.read(settings.run_dir)
        if not is_running:
            left = [found for found in (record.leaders() if record else []) if is_alive(found)]
            hint = (
                f" ({len(left)} processes of a killed supervisor are left: `make down` stops them)"
                if left
                else ""
            )
            leave(f"Maximus is not running{hint}: start it with `make up`.", Exit.NOT_RUNNING)


def _status(settings: Settings, *, is_running: bool) -> dict[str, Any]:
    record = runfile.read(settings.run_dir)
    return {
        "is_running": is_running,
        "is_ready": is_running and record is not None and record.is_ready,
        "data_dir": str(settings.data_dir),
        "supervisor_pid": record.supervisor.pid if record and is_running else None,
        "children": [
            {
                "name": child.name,
                "state": child.state,
                "pid": child.identity.pid if child.identity else None,
                "address": child.address,
                "since": child.since,
                "restarts": child.restarts,
                "detail": child.detail,
            }
            for child in (record.children if record and is_running else ())
        ],
        "health": _health(),
    }


def _health() -> dict[str, Any] | None:
    """What the gateway says of the loop, None while it cannot be asked."""
    try:
        return asking.ask("/api/v1/autonomic/health")
    except MaximusError:
        return None


def _print_status(console: Console, settings: Settings) -> None:
    record = runfile.read(settings.run_dir)
    if record is None:
        console.print("It is only just starting.")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("process", "state", "pid", "for", "restarts", "address"):
        table.add_column(heading, no_wrap=True)
    table.add_row(
        "supervisor",
        tables.state("ready" if record.is_ready else "starting"),
        str(record.supervisor.pid),
        tables.duration(time.time() - record.started_at),
        "",
        str(settings.data_dir),
    )
    for child in record.children:
        table.add_row(*_row(child))
    console.print(table)
    health = _health()
    if health is not None:
        console.print(_loop_line(health))


def _row(child: ChildRecord) -> tuple[str | Text, ...]:
    return (
        child.name,
        tables.state(child.state) + Text(f" ({child.detail})" if child.detail else "", style="dim"),
        str(child.identity.pid) if child.identity else "",
        tables.duration(time.time() - child.since),
        str(child.restarts) if child.restarts else "",
        child.address,
    )


def _loop_line(health: dict[str, Any]) -> Text:
    """The loop in one line."""
    line = Text("loop: ") + tables.state(str(health["status"]))
    line += Text(f" - {health['summary']}")
    champion = health.get("champion_version")
    line += Text(f" Forecaster: version {champion}." if champion else " No forecaster is promoted yet.")
    return line


def _print_summary(console: Console, settings: Settings, progress: Progress) -> None:
    console.print()
    console.print(Text(f"Ready in {progress.elapsed_seconds:.0f} s.", style="bold green"))
    addresses = Table.grid(padding=(0, 2))
    for name, port in (
        ("Maximus", settings.gateway_port),
        ("Dagster", settings.dagster_port),
        ("MLflow", settings.mlflow_port),
    ):
        note = "" if _answers(settings.host, port) else "(still coming up)"
        addresses.add_row(name, f"http://{settings.host}:{port}", Text(note, style="yellow"))
    console.print(addresses)
    health = _health()
    if health is None:
        console.print("The gateway cannot be asked yet: see `maximus status`.", style="yellow")
        return
    console.print()
    console.print(_loop_line(health))
    if not health.get("champion_version"):
        console.print(_without_forecaster(progress.failures), style="bold red")
    console.print()
    record = runfile.read(settings.run_dir)
    decided = acting.decided_since(health, record.started_at if record else 0.0)
    if decided:
        console.print(tables.decisions_table(decided))
    else:
        console.print(
            f"The first decisions of this start are due within {2 * settings.loop_period_seconds:g} s: "
            "`maximus decisions` shows them."
        )


def _without_forecaster(failures: Mapping[str, str]) -> str:
    """What it means that there is no champion in use, and why there is none."""
    why = failures.get(product.LEARNING, "the loop could not load the one the registry names")
    why = why.removeprefix("first-learning ended with exit code 1: ")
    return (
        f"There is no forecaster in use: {why.rstrip('.')}. Until one is, sizes follow what came and nothing is "
        "foreseen; every night, and whenever new telemetry comes in, another is learnt."
    )


def _answers(host: str, port: int) -> bool:
    import socket

    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.5):
        return True
    return False


class _Watch:
    """Live state lines while the product runs in the foreground; on a terminal one line that moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._looked = 0.0
        self._said = ""
        self._live = Live(Text(""), console=console, refresh_per_second=1) if console.is_terminal else None
        if self._live is not None:
            self._live.start()

    def tick(self, product: Product) -> None:
        """Look again, at most every few seconds. It must not wait: the children are kept by the same thread."""
        now = time.monotonic()
        if now - self._looked < _LIVE_SECONDS:
            return
        self._looked = now
        records = product.records()
        unready = [f"{child.name} {child.state}" for child in records if child.state != "ready"]
        line = f"{len(records) - len(unready)} of {len(records)} processes ready"
        line += f": {', '.join(unready)}" if unready else ""
        if self._live is not None:
            self._live.update(Text(f"{time.strftime('%H:%M:%S')}  {line}", style="dim"))
        elif line != self._said:
            self._console.print(f"{time.strftime('%H:%M:%S')}  {line}")
        self._said = line

    def close(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
