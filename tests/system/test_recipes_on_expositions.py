"""Recipes of exporters that are not run here, on expositions written as those write them, scraped by a real Prometheus.

The kubelet and cAdvisor give samples an instant of their own, tell of a pod's cgroup besides its containers, and of CPUs
one by one or together; a primary tells a lag of zero. Every counter grows at a known rate. A rate is read before its
window is full, so it shows the same share of all of them: figures are compared with each other.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from maximus_assets.contracts.catalogue import CATALOGUE
from maximus_assets.contracts.prometheus import PrometheusSection
from maximus_assets.prometheus.client import PrometheusClient
from maximus_assets.prometheus.feeds import feeds
from maximus_assets.prometheus.readings import read_present
from maximus_assets.prometheus.recipes import recipe

pytestmark = pytest.mark.prometheus

MIB = 2**20
BEGAN = time.time() - 3600

SCRAPE = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}
scrape_configs:
  - {{job_name: kubelet, metrics_path: /kubelet, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
  - {{job_name: docker, metrics_path: /docker, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
  - {{job_name: state, metrics_path: /state, honor_labels: true, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
  - job_name: primary
    metrics_path: /primary
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{cluster: main, role: primary}}}}]
  - job_name: replica
    metrics_path: /replica
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{cluster: main, role: replica}}}}]
"""


def rows(kind, metric, labelled, *, stamped=True):
    """One metric's lines; a counter's figure is its growth a second."""
    now = time.time()
    lines = [f"# HELP {metric} As its exporter tells it.", f"# TYPE {metric} {kind}"]
    for labels, figure in labelled:
        value = figure * (now - BEGAN) if kind == "counter" else figure
        said = ",".join(f'{name}="{text}"' for name, text in sorted(labels.items()))
        lines.append(f"{metric}{{{said}}} {value!r}" + (f" {int(now * 1000)}" if stamped else ""))
    return "\n".join(lines) + "\n"


def containers(told):
    """What cAdvisor tells of cgroups: (labels, cores, limit in cores, working set, limit of memory, bytes read)."""
    cpus = [(labels | {"cpu": cpu}, cores) for labels, cpu, cores, *_ in told]
    groups = {tuple(sorted(labels.items())): (labels, *rest) for labels, _, _, *rest in told}.values()
    disks = [(labels | {"device": "/dev/sda"}, read) for labels, *_, read in groups]
    limited = [(labels, limit) for labels, limit, *_ in groups if limit]
    return "".join(
        (
            rows("counter", "container_cpu_usage_seconds_total", cpus),
            rows("gauge", "container_spec_cpu_period", [(g[0], 100_000) for g in groups], stamped=False),
            rows("gauge", "container_spec_cpu_quota", [(g, 100_000 * n) for g, n in limited], stamped=False),
            rows("counter", "container_cpu_cfs_periods_total", [(g, 10) for g, _ in limited]),
            rows("counter", "container_cpu_cfs_throttled_periods_total", [(g, 1) for g, _ in limited]),
            rows("gauge", "container_memory_working_set_bytes", [(g[0], g[2] * MIB) for g in groups]),
            rows(
                "gauge",
                "container_spec_memory_limit_bytes",
                [(g[0], g[3] * MIB) for g in groups],
                stamped=False,
            ),
            rows("counter", "container_fs_reads_bytes_total", disks),
            rows("counter", "container_fs_writes_bytes_total", [(g, 2 * n) for g, n in disks]),
        )
    )


def kubelet():
    """Two pods of one application, with a sidecar that has no limit, and the node itself."""
    told, traffic = [], []
    for pod in ("web-1", "web-2"):
        of = {"namespace": "shop", "pod": pod}
        cgroup = f"/kubepods.slice/{pod}"

        def one(container, image, *, of=of, cgroup=cgroup):
            name = f"{of['pod']}-{container or 'pause'}" if image else ""
            return {**of, "container": container, "image": image, "id": f"{cgroup}/{name}", "name": name}

        told += [
            (one("app", "web:1"), "total", 0.5, 1, 200, 400, 1000.0),
            (one("sidecar", "mesh:1"), "total", 0.25, 0, 100, 0, 500.0),
            (one("", "pause:3.9"), "total", 0.001, 0, 1, 0, 0.0),
            (one("", ""), "total", 0.751, 1, 301, 400, 1500.0),
        ]
        traffic += [
            (one("", "") | {"interface": card}, figure) for card, figure in (("eth0", 8e5), ("eth1", 2e5))
        ]
    node = {"namespace": "", "pod": "", "container": "", "image": "", "id": "/", "name": ""}
    told.append((node, "total", 3.0, 0, 4000, 0, 9000.0))
    traffic.append((node | {"interface": "eth0"}, 7e7))
    return (
        containers(told)
        + rows("counter", "container_network_receive_bytes_total", traffic)
        + rows("counter", "container_network_transmit_bytes_total", [(of, n / 4) for of, n in traffic])
    )


def docker():
    """One container of Docker, its CPUs one by one, beside a service that is no container."""
    web = {
        "id": "/docker/4f2a",
        "image": "web:1",
        "name": "web",
        "container_label_com_docker_compose_service": "web",
    }
    service = {"id": "/system.slice/ssh.service", "image": "", "name": ""}
    traffic = [(web | {"interface": "eth0"}, 1e6)]
    return (
        containers(
            [
                (web, "cpu00", 0.3, 2, 200, 400, 1000.0),
                (web, "cpu01", 0.2, 2, 200, 400, 1000.0),
                (service, "cpu00", 0.1, 0, 20, 0, 10.0),
            ]
        )
        + rows("counter", "container_network_receive_bytes_total", traffic)
        + rows("counter", "container_network_transmit_bytes_total", [(of, n / 4) for of, n in traffic])
    )


def state():
    """Deployments, two of them of one name."""
    deployments = [("shop", "web", 3, 2), ("test", "web", 9, 8), ("shop", "basket", 1, 0)]

    def each(place):
        return [({"namespace": one[0], "deployment": one[1]}, one[place]) for one in deployments]

    return rows("gauge", "kube_deployment_spec_replicas", each(2), stamped=False) + rows(
        "gauge", "kube_deployment_status_replicas_ready", each(3), stamped=False
    )


def postgres(lag, is_replica):
    """A server older than 16, as postgres_exporter 0.15 tells it: no label of its own but the database's."""
    names = [({"datid": "5", "datname": "postgres"}, 8), ({"datid": "16384", "datname": "shop"}, 40)]
    return "".join(
        (
            rows("gauge", "pg_stat_database_numbackends", names, stamped=False),
            rows("gauge", "pg_settings_max_connections", [({}, 100)], stamped=False),
            rows("gauge", "pg_settings_superuser_reserved_connections", [({}, 4)], stamped=False),
            rows("gauge", "pg_replication_lag_seconds", [({}, lag)], stamped=False),
            rows("gauge", "pg_replication_is_replica", [({}, is_replica)], stamped=False),
        )
    )


PAGES = {
    "/kubelet": kubelet,
    "/docker": docker,
    "/state": state,
    "/primary": lambda: postgres(0, 0),
    "/replica": lambda: postgres(12.5, 1),
}


@pytest.fixture(scope="module")
def read(servers):
    """Reads a recipe's sensors of some targets once all that are wanted are there."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            text = PAGES[self.path]().encode()
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *said): ...

    exporter = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=exporter.serve_forever)
    thread.start()
    server = servers.prometheus(scrape=SCRAPE.format(port=exporter.server_address[1]))

    def read(name, wanted, targets, **matchers):
        section = PrometheusSection(
            name="it", url=server.url, recipes=(name,), targets=targets, matchers=matchers, window_seconds=10
        )
        deadline = time.monotonic() + 20
        while True:
            found = {target: {} for target in targets}
            now = time.time()
            with PrometheusClient(section) as client:
                for feed in feeds([section])["it"]:
                    present = read_present(client, feed, now)
                    assert present.ambiguous == {}
                    for target, (at, value) in present.values.items():
                        assert CATALOGUE[feed.sensor.sensor].is_plausible(value), (feed.sensor.sensor, value)
                        assert -0.1 < now - at < 10
                        found[target][feed.sensor.sensor] = value
            if all(wanted <= set(said) for said in found.values()):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.2)

    yield read
    exporter.shutdown()
    exporter.server_close()
    thread.join()


CADVISOR = {sensor.sensor for sensor in recipe("cadvisor")}
TRAFFIC = {"network_receive_bytes_per_second", "network_transmit_bytes_per_second"}


def check_use(said, *, cores, limit, memory, memory_limit, limited=(1.0, 1.0), disk):
    """Figures against what was written down; rates all show the same share of it."""
    share = said["disk_read_bytes_per_second"] / disk
    assert 0 < share <= 1.05
    assert said["disk_write_bytes_per_second"] == pytest.approx(2 * disk * share, rel=0.02)
    assert said["cpu_used_cores"] == pytest.approx(cores * share, rel=0.02)
    assert said["cpu_limit_cores"] == limit
    assert said["cpu_used_ratio"] == said["replica_cpu_used_ratio"]
    assert said["cpu_used_ratio"] == pytest.approx(limited[0] * cores * share / limit, rel=0.02)
    assert said["cpu_throttled_ratio"] == pytest.approx(0.1, rel=0.01)
    assert said["memory_used_bytes"] == memory * MIB
    assert said["memory_limit_bytes"] == memory_limit * MIB
    assert said["memory_used_ratio"] == said["replica_memory_used_ratio"]
    assert said["memory_used_ratio"] == pytest.approx(limited[1] * memory / memory_limit)
    return share


def test_the_containers_of_one_name_are_counted_in_all_their_pods(read):
    labels = {"namespace": "shop", "container": "app"}
    said = read("cadvisor", CADVISOR - TRAFFIC, {"web": labels}, job="kubelet")["web"]
    check_use(said, cores=1.0, limit=2, memory=400, memory_limit=800, disk=2000.0)
    assert not TRAFFIC & set(said)  # it is the pod's


def test_a_pod_is_not_counted_twice_and_a_sidecar_without_a_limit_fills_none(read):
    targets = {pod: {"namespace": "shop", "pod": pod} for pod in ("web-1", "web-2")}
    found = read("cadvisor", CADVISOR, targets, job="kubelet")
    for said in found.values():
        share = check_use(
            said,
            cores=0.751,
            limit=1,
            memory=301,
            memory_limit=400,
            limited=(0.5 / 0.751, 200 / 301),
            disk=1500.0,
        )
        assert said["network_receive_bytes_per_second"] == pytest.approx(1e6 * share, rel=0.02)
        assert said["network_transmit_bytes_per_second"] == pytest.approx(2.5e5 * share, rel=0.02)


def test_a_container_of_docker_is_the_sum_of_its_cpus(read):
    said = read("cadvisor", CADVISOR, {"web": {"name": "web"}}, job="docker")["web"]
    share = check_use(said, cores=0.5, limit=2, memory=200, memory_limit=400, disk=1000.0)
    assert said["network_receive_bytes_per_second"] == pytest.approx(1e6 * share, rel=0.02)
    assert said["network_transmit_bytes_per_second"] == pytest.approx(2.5e5 * share, rel=0.02)


def test_deployments_of_one_name_are_told_apart_by_their_namespaces(read):
    targets = {
        f"{namespace}-{deployment}": {"namespace": namespace, "deployment": deployment}
        for namespace, deployment in (("shop", "web"), ("test", "web"), ("shop", "basket"))
    }
    wanted = {sensor.sensor for sensor in recipe("kube_state_metrics")}
    assert read("kube_state_metrics", wanted, targets) == {
        "shop-web": {"ready_replicas_count": 2, "wanted_replicas_count": 3},
        "test-web": {"ready_replicas_count": 8, "wanted_replicas_count": 9},
        "shop-basket": {"ready_replicas_count": 0, "wanted_replicas_count": 1},
    }


def test_a_primary_has_no_lag_of_its_own_and_a_cluster_that_of_its_furthest_replica(read):
    wanted = {"database_connections_limit_count", "database_connections_used_ratio"}
    found = read("postgres_exporter", wanted, {role: {"role": role} for role in ("primary", "replica")})
    assert "database_replication_lag_seconds" not in found["primary"]
    assert found["replica"]["database_replication_lag_seconds"] == 12.5
    for said in found.values():
        assert said["database_connections_limit_count"] == 96  # no reserved_connections before PostgreSQL 16
        assert said["database_connections_used_ratio"] == 0.5
    cluster = read("postgres_exporter", wanted, {"main": {"cluster": "main"}})["main"]
    assert cluster["database_replication_lag_seconds"] == 12.5
