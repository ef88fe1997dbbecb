"""`maximus up` as a user meets it: everything starts, says so, refuses what it must, and stops without a trace.

All tests of this folder share one product and leave it as they found it: up.
"""

import json
import math
import random
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maximus_assets.contracts.naming import FORECASTER

pytestmark = pytest.mark.slow

CHILDREN = {
    "postgres",
    "valkey",
    "mlflow",
    "dagster-code",
    "dagster-web",
    "dagster-daemon",
    "gateway",
    "loop",
}


def test_a_start_ends_with_addresses_the_loop_and_the_first_decisions(installation):
    said = installation.first_output
    assert f"http://127.0.0.1:{installation.gateway_port}" in said
    assert "loop: live" in said
    for target in ("host", "demo-shop"):
        assert any(
            target in line and any(words in line for words in ("dry run", "nothing to do", "stands:"))
            for line in said.splitlines()
        ), said
    shop = next(line for line in said.splitlines() if " demo-shop " in line)
    assert " v1 " in shop, "the first decisions shown are those taken with the champion"


def test_every_stage_is_told_with_its_time(installation):
    stages = [
        line.split("  ")[0] for line in installation.first_output.splitlines() if line.startswith("  ok")
    ]
    assert len(stages) >= 6


def test_the_first_learning_made_a_champion_and_the_loop_uses_it(installation):
    assert installation.health()["champion_version"] == "1"


def test_status_shows_every_process_and_all_get_ready(installation):
    def states():
        said = json.loads(installation.run("status", "--json").stdout)
        return {child["name"]: child["state"] for child in said["children"]}

    installation.wait(lambda: states().keys() >= CHILDREN, "every child was started")
    installation.wait(lambda: set(states().values()) == {"ready"}, "every child was ready")


def test_a_second_up_says_so_and_changes_nothing(installation):
    before = installation.look()
    done = installation.run("up", "--detach")
    assert done.returncode == 0
    assert done.stdout.startswith("Maximus runs already on this data folder.")
    assert installation.look().supervisor == before.supervisor


def test_no_server_listens_beyond_this_machine(installation):
    import psutil

    listening = {
        connection.laddr.ip
        for pid in installation.ours()
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_no_password_is_in_a_command_line_or_an_environment(installation):
    passwords = [
        line.rpartition(":")[2].encode()
        for line in (installation.root / ".maximus" / "run" / "pgpass").read_text().splitlines()
    ]
    assert passwords
    for pid in installation.ours():
        for name in ("cmdline", "environ"):
            try:
                content = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            assert not any(password in content for password in passwords)


def test_a_host_is_forecast_too_and_decisions_are_told_of_each_target(installation):
    installation.registry().check_reachable()
    assert installation.run("forecast", "host").returncode == 0
    for target in ("host", "demo-shop"):
        records = json.loads(installation.run("decisions", "--json", "--target", target).stdout)
        assert {record["target"] for record in records} == {target}


def test_a_target_nobody_watches_is_refused_by_name(installation):
    done = installation.run("forecast", "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_refused_in_one_sentence(installation, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = installation.run("up", MAXIMUS_DATA_DIR=str(tmp_path), MAXIMUS_LOOP_PORT=port, seconds=30)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Port {port} is taken by ") or "Port" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_unknown_setting_is_refused(installation):
    done = installation.run("up", MAXIMUS_GATEWAY_PROT="1", seconds=30)
    assert done.returncode == 2
    assert "MAXIMUS_GATEWAY_PORT" in done.stderr


def test_an_imported_file_is_in_the_next_version_and_the_loop_asks_it_in_shadow_by_itself(
    installation, tmp_path
):
    registry, before = installation.registry(), int(installation.health()["champion_version"])
    file, chance = tmp_path / "ticket-sales.csv", random.Random(7)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [
        f"{(start + timedelta(minutes=5 * row)).isoformat()},{100 + 60 * math.sin(row * math.tau / 288) + chance.gauss(0, 5)}"
        for row in range(12 * 288)
    ]
    file.write_text("timestamp,sold\n" + "\n".join(rows) + "\n")
    done = installation.run("learn", "--telemetry", str(file), "--ingest")
    assert done.returncode == 0, done.stderr
    assert "ticket-sales/" in done.stdout, "the backtest is shown first"

    def challengers():
        aliases = registry.aliases(FORECASTER).items()
        return {version for alias, version in aliases if alias.startswith("challenger-") and version > before}

    installation.wait(challengers, "the next version was let in beside the champion", 240)
    said = installation.run("models", "--json")
    assert said.returncode == 0, said.stderr
    rows = {row["version"]: row["aliases"] for row in json.loads(said.stdout)}
    assert all(any(alias.startswith("challenger-") for alias in rows[version]) for version in challengers())
    assert int(installation.health()["champion_version"]) == before, "it has shown nothing yet"
