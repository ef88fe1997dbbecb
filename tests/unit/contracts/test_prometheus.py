"""What a `[[prometheus]]` table may say."""

import pytest

from maximus_assets.contracts.prometheus import PROMETHEUS, PrometheusSection, check_sections
from maximus_assets.contracts.target import DEFAULT_TARGETS, CoreSizing, Target

NODE = {
    "name": "node",
    "url": "http://prometheus:9090/",
    "recipes": ["node_exporter"],
    "targets": {"web": {"instance": "web:9100"}},
}
WEB = Target(name="web", source="prometheus", demand_sensor="cpu_used_cores", sizing=CoreSizing())


def test_an_address_is_kept_without_what_we_add_ourselves():
    for url in ("http://p:9090/", "http://p:9090", "http://p:9090/api/v1/"):
        assert PrometheusSection(**{**NODE, "url": url}).url == "http://p:9090"
    assert PrometheusSection(**{**NODE, "url": "https://p/prometheus"}).url == "https://p/prometheus"


def test_sections_cross_processes_as_json():
    section = PrometheusSection(**NODE, matchers={"job": 'n"'}, bearer_token_file="/run/token")
    assert PROMETHEUS.validate_json(PROMETHEUS.dump_json((section,))) == (section,)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"url": "prometheus:9090"}, "must be http://HOST:PORT"),
        ({"url": "http://me:hunter2@p:9090"}, "name a file in password_file"),
        ({"url": "http://p:9090/graph?g0.expr=up"}, "without \\? and #"),
        ({"recipes": ["node-exporter"]}, "node_exporter"),
        ({"recipes": []}, "asks for nothing"),
        ({"targets": {}}, "at least 1"),
        ({"targets": {"web": {}}}, "web has no labels"),
        ({"targets": {"web": {"in-stance": "x"}}}, "pattern"),
        ({"targets": {"web": {"instance": ""}}}, "at least 1"),
        (
            {"targets": {"web": {"instance": "x"}, "app": {"pod": "y"}}},
            "app has the labels pod, web has instance",
        ),
        (
            {"targets": {"web": {"instance": "x"}, "app": {"instance": "x"}}},
            "web and app have the same labels",
        ),
        ({"matchers": {"instance": "x"}}, "label instance is in matchers and in targets"),
        ({"window_seconds": 1}, "greater than or equal to 10"),
        ({"username": "me"}, "belong together"),
        ({"username": "me", "password_file": "/p", "bearer_token_file": "/t"}, "exclude each other"),
        ({"bearer_token_file": "token"}, "absolute path"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(change, said):
    with pytest.raises(ValueError, match=said):
        PrometheusSection.model_validate({**NODE, **change})


def test_targets_and_tables_fit_together():
    section = PrometheusSection(**NODE)
    check_sections((section,), (WEB, *DEFAULT_TARGETS))
    with pytest.raises(ValueError, match="target web has no labels"):
        check_sections((), (WEB,))
    with pytest.raises(ValueError, match='no target web with source = "prometheus"'):
        check_sections((section,), DEFAULT_TARGETS)
    with pytest.raises(ValueError, match="node is named twice"):
        check_sections((section, section), (WEB,))
