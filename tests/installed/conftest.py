"""One whole product for the tests that need it: started once by `maximus up`, in a folder and on ports of its own."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from maximus_assets.registry.tracking import Registry
from serving.supervisor import processes, runfile
from serving.supervisor.processes import Identity

MAXIMUS = str(Path(sys.executable).with_name("maximus"))
PERIOD_SECONDS = 3


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Installation:
    """A project folder with a running product, and the questions the tests ask it."""

    root: Path
    gateway_port: int
    environment: dict[str, str]
    first_output: str = ""
    ready_seconds: float = 0.0
    seen: set[Identity] = field(default_factory=set)

    def run(self, *arguments: str, seconds: float = 240.0, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [MAXIMUS, *arguments],
            cwd=self.root,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def up(self) -> None:
        began = time.monotonic()
        done = self.run("up", "--detach")
        self.ready_seconds = time.monotonic() - began
        self.first_output = self.first_output or done.stdout  # of the fresh start; later ones resume
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        self.look()

    def look(self) -> runfile.RunRecord:
        """The run file; remembers every process it names, so that none of them can be lost sight of."""
        record = runfile.read(self.root / ".maximus" / "run")
        assert record is not None
        self.seen |= {record.supervisor, *record.leaders()}
        return record

    def child(self, name: str) -> runfile.ChildRecord:
        return next(child for child in self.look().children if child.name == name)

    def workers(self, name: str) -> list[Identity]:
        """What a child has started: the processes that serve, without the one that watches over them."""
        leader = self.child(name).identity
        assert leader is not None
        return [member for member in processes.family(leader) if member != leader]

    def registry(self) -> Registry:
        """The model registry, once its server answers: it is the last to come back after a start."""
        self.wait(lambda: self.child("mlflow").state == "ready", "the registry answered")
        return Registry(f"http://127.0.0.1:{self.environment['MAXIMUS_MLFLOW_PORT']}")

    def health(self) -> dict:
        answer = httpx.get(
            f"http://127.0.0.1:{self.gateway_port}/api/v1/autonomic/health", timeout=5, trust_env=False
        )
        return answer.json()

    def decisions(self) -> dict[str, int]:
        """Every recorded decision and how often it was taken."""
        done = self.run("decisions", "--json", "--limit", "1000")
        assert done.returncode == 0, done.stderr
        return {record["id"]: record["count"] for record in json.loads(done.stdout)}

    def ours(self) -> set[int]:
        """Every living process that works in this folder or was given it in its environment, the supervisor's included."""
        mark, found = os.fsencode(self.root), set()
        for entry in processes.everyone():
            folder = Path("/proc") / str(entry.identity.pid)
            try:
                is_ours = mark in (folder / "environ").read_bytes() or mark in os.fsencode(
                    (folder / "cwd").readlink()
                )
            except OSError:
                continue
            if is_ours and not entry.is_zombie and entry.identity.pid != os.getpid():
                found.add(entry.identity.pid)
        return found

    def orphans(self) -> set[int]:
        """Those of ours that do not descend from the supervisor."""
        parents = {entry.identity.pid: entry.parent for entry in processes.everyone()}
        supervisor = self.look().supervisor.pid

        def descends(pid: int) -> bool:
            while pid not in (0, 1, supervisor):
                pid = parents.get(pid, 0)
            return pid == supervisor

        return {pid for pid in self.ours() if not descends(pid)}

    def logs(self) -> str:
        """The end of every log, for a test that failed."""
        said = ""
        for log in sorted((self.root / ".maximus" / "log").glob("*.log")):
            said += f"\n--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        return said

    def wait(self, condition, what: str, seconds: float = 90.0) -> None:
        """Poll until a condition holds; an answer that cannot be had yet counts as no."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except (httpx.HTTPError, KeyError, ValueError, AssertionError, StopIteration, TypeError):
                pass
            assert time.monotonic() < deadline, f"{what} within {seconds} s: it did not happen{self.logs()}"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def installation(tmp_path_factory):
    """A product that is up; whatever the tests did to it, nothing of it runs afterwards."""
    root = tmp_path_factory.mktemp("up")
    (root / "maximus.toml").write_text(f"[loop]\nperiod_seconds = {PERIOD_SECONDS}\n")
    gateway, loop, dagster, mlflow = free_ports(4)
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAXIMUS_", "COLUMNS"))
    }
    found = Installation(
        root,
        gateway,
        {
            **inherited,
            "MAXIMUS_GATEWAY_PORT": str(gateway),
            "MAXIMUS_LOOP_PORT": str(loop),
            "MAXIMUS_DAGSTER_PORT": str(dagster),
            "MAXIMUS_MLFLOW_PORT": str(mlflow),
        },
    )
    try:
        found.up()
        yield found
    finally:
        found.run("down")
        processes.kill(found.seen)
        # As root, the cluster of a folder other users cannot enter lives elsewhere.
        home = Path(json.loads((root / ".maximus" / "postgres.json").read_text())["home"])
        if root not in home.parents:
            shutil.rmtree(home.parent)
