"""What a newcomer sees in the Dagster UI, in a real browser: pictures that really render, checks in plain words."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import httpx
import pytest

from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS
from maximus_assets.definitions import definitions
from maximus_assets.defs.automation import QUIET

pytestmark = pytest.mark.chromium

ROOT = Path(__file__).parents[2]
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
SHOWN = "[...document.images].filter(i => i.src.startsWith('data:image/png')).map(i => i.naturalWidth)"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Dagster web server over two days of telemetry that were read, and a day that was looked at."""
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(
        "telemetry:\n  enabled: false\nnux:\n  enabled: false\n", encoding="utf-8"
    )
    simulated = tuple(target for target in DEFAULT_TARGETS if target.source == "simulated")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        patch.setenv("MAXIMUS_DATA_DIR", str(home / "data"))
        patch.setenv("MAXIMUS_TARGETS", TARGETS.dump_json(simulated).decode())
        patch.setenv("MAXIMUS_DATABASE_READ_URL", "postgresql://127.0.0.1:1/nowhere")
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
        patch.setenv("PYTHONPATH", str(ROOT))
        _materialize()
        log = (home / "web.log").open("wb")
        program = str(Path(sys.executable).with_name("dagster-webserver"))
        command = [program, "-h", "127.0.0.1", "-p", str(port), "-w", str(ROOT / "workspace.yaml")]
        server = subprocess.Popen(command, cwd=home, stdout=log, stderr=log, start_new_session=True)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, server, home / "web.log")
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(5)
        log.close()


def _materialize() -> None:
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    tags = {
        "dagster/asset_partition_range_start": (yesterday - timedelta(days=1)).isoformat(),
        "dagster/asset_partition_range_end": yesterday.isoformat(),
    }
    job = definitions().resolve_implicit_global_asset_job_def()
    assets = [dg.AssetKey("telemetry"), dg.AssetKey("feature_table")]
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            asset_selection=assets, instance=instance, tags=tags, run_config=QUIET
        )
        assert result.success


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            if httpx.get(f"{address}/server_info", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(log.read_text(encoding="utf-8"))


def test_pictures_of_what_is_learnt_from_and_words_of_the_checks_show_in_a_browser(pages: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)

        page.goto(f"{pages}/assets/feature_table")
        page.get_by_text("the day that is not over is not in it").first.wait_for()
        row = page.locator("tr", has_text="(picture)")
        row.get_by_text("[Show Markdown]").click()
        page.locator("img[src^='data:image/png']").wait_for()
        assert page.evaluate(SHOWN) == [800]

        page.goto(f"{pages}/assets/telemetry?view=checks")
        page.get_by_text("telemetry_units_hold").first.click()
        page.get_by_text("Demand is in the unit it was in before").first.wait_for()
        assert page.get_by_text("blocking").first.is_visible()
        assert page.get_by_text("Passed:").first.is_visible()
        browser.close()
