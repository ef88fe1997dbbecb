"""What an operator may set, and that nothing misspelt passes in silence."""

import json
from pathlib import Path

import pytest

from maximus_assets.contracts.errors import BadInputError
from maximus_assets.contracts.prometheus import PROMETHEUS
from maximus_assets.contracts.target import DEFAULT_TARGETS, TARGETS
from serving.settings import Settings, load
from serving.settings.table import documented

TARGET = '[[targets]]\nname = "web"\nsource = "simulated"\ndemand_sensor = "request_rate_per_second"\n'
SIZING = '[targets.sizing]\nkind = "replicas"\nminimum = 3\n'


def test_a_machine_without_configuration_watches_itself_and_a_simulated_shop(tmp_path):
    settings = load({}, tmp_path)
    assert settings.targets == DEFAULT_TARGETS
    assert settings.data_dir == tmp_path / ".maximus"
    assert (settings.gateway_port, settings.loop_port, settings.dagster_port, settings.mlflow_port) == (
        8000,
        8001,
        3000,
        5000,
    )
    assert settings.mlflow_uri == "http://127.0.0.1:5000"
    assert settings.database_url is None


def test_the_environment_goes_before_the_file_and_the_file_before_the_default(tmp_path):
    (tmp_path / "maximus.toml").write_text("[gateway]\nport = 8100\nworkers = 5\n")
    settings = load({"MAXIMUS_GATEWAY_PORT": "8200"}, tmp_path)
    assert (settings.gateway_port, settings.gateway_workers, settings.loop_port) == (8200, 5, 8001)


def test_targets_come_from_the_file_or_as_json_from_the_environment(tmp_path):
    (tmp_path / "maximus.toml").write_text(TARGET + SIZING)
    from_file = load({}, tmp_path).targets
    assert [target.name for target in from_file] == ["web"]
    handed_over = TARGETS.dump_json(DEFAULT_TARGETS).decode()
    assert load({"MAXIMUS_TARGETS": handed_over}, tmp_path).targets == DEFAULT_TARGETS


def test_an_empty_variable_counts_as_not_set(tmp_path):
    assert load({"MAXIMUS_DATABASE_URL": " ", "MAXIMUS_LOOP_PORT": ""}, tmp_path).loop_port == 8001


def test_the_other_database_urls_follow_the_first(tmp_path):
    settings = load(
        {
            "MAXIMUS_DATABASE_URL": "postgresql://db/maximus",
            "MAXIMUS_DATABASE_READ_URL": "postgresql://replica/maximus",
        },
        tmp_path,
    )
    assert settings.database_direct_url == "postgresql://db/maximus"
    assert settings.database_read_url == "postgresql://replica/maximus"


def test_the_tracking_server_follows_the_mlflow_port(tmp_path):
    assert load({"MAXIMUS_MLFLOW_PORT": "5055"}, tmp_path).mlflow_uri == "http://127.0.0.1:5055"


def test_a_relative_data_folder_is_relative_to_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert load({"MAXIMUS_DATA_DIR": "state"}, tmp_path).data_dir == tmp_path / "state"


def test_an_unknown_key_names_the_file_and_the_key(tmp_path):
    (tmp_path / "maximus.toml").write_text("[gateway]\nprot = 1\n")
    with pytest.raises(
        BadInputError, match=r"maximus\.toml, column gateway\.prot: .*did you mean gateway\.port"
    ):
        load({}, tmp_path)


def test_an_unknown_variable_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(BadInputError, match=r"MAXIMUS_GATEWAY_PROT: .*did you mean MAXIMUS_GATEWAY_PORT"):
        load({"MAXIMUS_GATEWAY_PROT": "1"}, tmp_path)


def test_a_rule_in_the_reserved_policy_table_is_refused_rather_than_ignored(tmp_path):
    (tmp_path / "maximus.toml").write_text("[policy]\nmay_scale = true\n")
    with pytest.raises(BadInputError, match=r"policy\.may_scale"):
        load({}, tmp_path)
    (tmp_path / "maximus.toml").write_text("[policy]\n")
    load({}, tmp_path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MAXIMUS_GATEWAY_PORT", "eighty"),
        ("MAXIMUS_GATEWAY_PORT", "70000"),
        ("MAXIMUS_GATEWAY_WORKERS", "0"),
        ("MAXIMUS_LOOP_PERIOD_SECONDS", "0.5"),
        ("MAXIMUS_LOOP_PERIOD_SECONDS", "nan"),
        ("MAXIMUS_HOST", "0.0.0.0"),
        ("MAXIMUS_HOST", "example.org"),
        ("MAXIMUS_DATABASE_URL", "mysql://db/x"),
        ("MAXIMUS_REDIS_URL", "localhost:6379"),
        ("MAXIMUS_LOG_LEVEL", "LOUD"),
        ("MAXIMUS_TARGETS", "[{]"),
        ("MAXIMUS_TARGETS", "[]"),
        ("MAXIMUS_TARGETS", '[{"name": "Web!"}]'),
    ],
)
def test_a_bad_value_names_its_variable(tmp_path, variable, value):
    with pytest.raises(BadInputError, match=variable):
        load({variable: value}, tmp_path)


def test_a_target_named_twice_is_refused(tmp_path):
    twice = json.loads(TARGETS.dump_json(DEFAULT_TARGETS[:1])) * 2
    with pytest.raises(BadInputError, match="host is named twice"):
        load({"MAXIMUS_TARGETS": json.dumps(twice)}, tmp_path)


def test_a_target_cannot_have_the_name_the_product_observes_itself_by(tmp_path):
    own = json.loads(TARGETS.dump_json(DEFAULT_TARGETS[:1]))
    own[0]["name"] = "maximus"
    with pytest.raises(BadInputError, match="maximus is the product itself"):
        load({"MAXIMUS_TARGETS": json.dumps(own)}, tmp_path)


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path):
    (tmp_path / "maximus.toml").write_text("[gateway\n")
    with pytest.raises(BadInputError, match=r"maximus\.toml: cannot be read"):
        load({}, tmp_path)


def test_neither_errors_nor_the_settings_print_a_password(tmp_path):
    secret = "postgresql://me:hunter2@db/maximus"
    assert "hunter2" not in repr(load({"MAXIMUS_DATABASE_URL": secret}, tmp_path))
    with pytest.raises(BadInputError) as caught:
        load({"MAXIMUS_DATABASE_URL": "x" + secret}, tmp_path)
    assert "hunter2" not in str(caught.value)


def test_every_field_that_can_be_set_is_documented():
    settable = set(Settings.model_fields) - {"root"}
    described = documented()
    assert len(described) == len(settable)
    assert all(setting.description.endswith(".") and setting.default for setting in described)
    assert Path(load({}, Path("/")).root) == Path("/")


SCRAPED = """
[[targets]]
name = "web"
source = "prometheus"
demand_sensor = "{demand}"
sizing = {{ kind = "cores" }}

[[prometheus]]
name = "node"
url = "http://127.0.0.1:9090"
{key} = ["node_exporter"]

[prometheus.targets]
web = {{ instance = "web-1:9100" }}

[[prometheus.sensors]]
sensor = "request_p95_ms"
unit = "seconds"
metric = "latency_seconds_bucket"
{query} = 'histogram_quantile(0.95, sum by (le, $by) (rate(latency_seconds_bucket{{$selector}}[$window])))'
"""


def scraped(demand="cpu_used_cores", key="recipes", query="query"):
    return SCRAPED.format(demand=demand, key=key, query=query)


def test_a_prometheus_server_is_described_in_the_file_or_as_json(tmp_path):
    (tmp_path / "maximus.toml").write_text(scraped())
    settings = load({}, tmp_path)
    (section,) = settings.prometheus
    assert section.targets == {"web": {"instance": "web-1:9100"}}
    assert section.sensors[0].factor == 1000
    handed_over = {
        "MAXIMUS_TARGETS": TARGETS.dump_json(settings.targets).decode(),
        "MAXIMUS_PROMETHEUS": PROMETHEUS.dump_json(settings.prometheus).decode(),
    }
    assert load(handed_over, tmp_path / "elsewhere").prometheus == settings.prometheus


def test_a_misspelt_key_of_a_table_is_refused_with_the_nearest_one(tmp_path):
    (tmp_path / "maximus.toml").write_text(scraped(key="recipies"))
    with pytest.raises(BadInputError, match=r"prometheus\.0\.recipies: .*did you mean recipes"):
        load({}, tmp_path)
    (tmp_path / "maximus.toml").write_text(scraped(query="qurey"))
    with pytest.raises(BadInputError, match=r"prometheus\.0\.sensors\.0\.qurey: .*did you mean query"):
        load({}, tmp_path)
    (tmp_path / "maximus.toml").write_text(TARGET.replace("name", "nmae") + SIZING)
    with pytest.raises(BadInputError, match=r"targets\.0\.nmae: .*did you mean name"):
        load({}, tmp_path)


def test_a_target_whose_demand_nobody_asks_for_is_refused(tmp_path):
    (tmp_path / "maximus.toml").write_text(scraped(demand="request_rate_per_second"))
    with pytest.raises(BadInputError, match="nothing asks for request_rate_per_second, which target web"):
        load({}, tmp_path)
    (tmp_path / "maximus.toml").write_text(scraped().split("[[prometheus]]", maxsplit=1)[0])
    with pytest.raises(BadInputError, match="target web has no labels in any"):
        load({}, tmp_path)


def test_a_pushgateway_is_an_address(tmp_path):
    assert load({"MAXIMUS_PUSHGATEWAY_URL": "http://h:9091"}, tmp_path).pushgateway_url == "http://h:9091"
    with pytest.raises(BadInputError, match="MAXIMUS_PUSHGATEWAY_URL: must start with http://"):
        load({"MAXIMUS_PUSHGATEWAY_URL": "h:9091"}, tmp_path)


def test_one_machine_is_one_host(tmp_path):
    host = '[[targets]]\nname = "{}"\nsource = "host"\ndemand_sensor = "cpu_used_cores"\nsizing = {{ kind = "cores" }}\n'
    (tmp_path / "maximus.toml").write_text(host.format("here"))
    assert load({}, tmp_path).targets[0].name == "here"

    (tmp_path / "maximus.toml").write_text(host.format("here") + host.format("there"))
    with pytest.raises(BadInputError, match=r'targets here, there all have source = "host".*node_exporter'):
        load({}, tmp_path)


def test_a_calendar_of_holidays_is_checked_at_the_start(tmp_path):
    assert load({}, tmp_path).holidays is None
    assert load({"MAXIMUS_HOLIDAYS": "DE-BY@Europe/Berlin"}, tmp_path).holidays == "DE-BY@Europe/Berlin"
    with pytest.raises(BadInputError, match="MAXIMUS_HOLIDAYS: no public holidays are known of 'XX'"):
        load({"MAXIMUS_HOLIDAYS": "XX"}, tmp_path)
    (tmp_path / "maximus.toml").write_text('[learning]\nholidays = "FR"\n')
    assert load({}, tmp_path).holidays == "FR@UTC"
