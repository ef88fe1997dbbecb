"""A real Prometheus that scrapes a real node exporter: what the loop sees of a host, also when it goes away."""

import asyncio
import time

import psutil
import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.clock import SystemClock
from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.contracts.target import CoreSizing, Target
from maximus_assets.prometheus.errors import ServerUnavailableError
from maximus_assets.prometheus.recipes import recipe
from serving.settings import Settings
from serving.wiring import build_sources

pytestmark = [pytest.mark.anyio, pytest.mark.prometheus, pytest.mark.node_exporter]

SCRAPE = """
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: node
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


async def seen(source, is_enough, seconds=30.0):
    """Read the source until what it reads is enough."""
    deadline = time.monotonic() + seconds
    while True:
        samples = await source.collect(SystemClock().now())
        if is_enough(samples):
            return samples
        assert time.monotonic() < deadline, sorted(sample.sensor for sample in samples)
        await asyncio.sleep(0.2)


async def test_a_host_is_watched_lost_found_again_and_its_server_with_it(servers, tmp_path):
    node = servers.node_exporter()
    server = servers.prometheus(scrape=SCRAPE.format(port=node.port))
    settings = Settings(
        root=tmp_path,
        data_dir=tmp_path,
        targets=(
            Target(name="web", source="prometheus", demand_sensor="cpu_used_cores", sizing=CoreSizing()),
        ),
        prometheus=(
            PrometheusSection(
                name="node",
                url=server.url,
                recipes=("node_exporter",),
                targets={"web": {"instance": f"127.0.0.1:{node.port}"}},
                matchers={"job": "node"},
                window_seconds=10,
            ),
        ),
    )
    (source,) = build_sources(settings, SystemClock())
    try:
        asked = {sensor.sensor for sensor in recipe("node_exporter")}
        # A file system or a disk of its own, swap and pressure figures are not on every machine.
        certain = {
            sensor
            for sensor in asked
            if not sensor.startswith(("disk_", "swap_", "io_")) and "stalled" not in sensor
        }
        certain -= {
            "cpu_pressure_ratio",
            "memory_pressure_ratio",
            "network_loss_ratio",
            "memory_oom_kills_per_second",
        }
        samples = await seen(source, lambda samples: certain <= {sample.sensor for sample in samples})
        values = {sample.sensor: sample.value for sample in samples}
        assert values["memory_limit_bytes"] == psutil.virtual_memory().total
        assert values["cpu_limit_cores"] == psutil.cpu_count()
        assert 0 < values["cpu_used_cores"] <= values["cpu_limit_cores"]
        now = SystemClock().now()
        for sample in samples:
            assert CATALOGUE[sample.sensor].is_plausible(sample.value), sample
            assert -0.1 < (now - sample.observed_at).total_seconds() < 10

        node.stop()
        assert (
            await seen(source, lambda samples: not samples) == []
        )  # although rates still look back ten seconds
        node.start()
        await seen(
            source, lambda samples: {"load_1m", "cpu_used_cores"} <= {sample.sensor for sample in samples}
        )

        server.stop()
        with pytest.raises(ServerUnavailableError):
            await source.collect(SystemClock().now())
        server.start()
        await seen(source, lambda samples: "load_1m" in {sample.sensor for sample in samples})
    finally:
        await source.aclose()
