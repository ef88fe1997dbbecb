"""Following the champion: a real registry, real packaged forecasters, and registries that misbehave."""

import socket
import threading

import numpy as np
import pytest

from maximus_assets.contracts.naming import CHAMPION, FORECASTER, TAG_CONTRACT_VERSION
from maximus_assets.registry.packaging import log_forecaster
from maximus_assets.registry.tracking import Registry
from serving.predictors import catalogue as module
from serving.predictors.catalogue import Catalogue
from serving.predictors.proving import unknown_series
from serving.predictors.shelf import Shelf

pytestmark = pytest.mark.anyio


@pytest.fixture
def registry(registry_uri):
    return Registry(registry_uri)


@pytest.fixture
def publish(registry, learnt_shop):
    """Registers a version and makes it champion."""

    def register():
        version = log_forecaster(registry, learnt_shop.learnt, learnt_shop.grid, learnt_shop.origin)
        point(registry, version.number)
        return version

    return register


def point(registry, number):
    registry.client.set_registered_model_alias(FORECASTER, CHAMPION, str(number))


async def test_an_empty_registry_means_no_champion_and_says_so(registry_uri):
    catalogue = Catalogue(registry_uri)
    assert not await catalogue.refresh()
    assert catalogue.champion is None
    assert catalogue.status == "there is no champion"


async def test_the_champion_is_loaded_answers_and_is_swapped_when_the_alias_moves(
    registry, registry_uri, publish
):
    catalogue = Catalogue(registry_uri)
    publish()
    assert await catalogue.refresh()
    first = catalogue.champion
    assert first.version == "1"
    assert first.predict(unknown_series(), 1)["status"].tolist() == ["unknown_series"]
    assert not await catalogue.refresh()
    assert catalogue.champion is first

    publish()
    assert await catalogue.refresh()
    assert (catalogue.champion.version, catalogue.swaps) == ("2", 2)
    # Whoever still holds the old one can go on using it: a turn in flight is not disturbed.
    assert first.predict(unknown_series(), 1)["status"].tolist() == ["unknown_series"]


async def test_a_version_for_another_contract_is_refused_and_the_old_one_stays(
    registry, registry_uri, publish
):
    catalogue = Catalogue(registry_uri)
    publish()
    await catalogue.refresh()
    newer = publish()
    registry.client.set_model_version_tag(FORECASTER, str(newer.number), TAG_CONTRACT_VERSION, "999")
    assert not await catalogue.refresh()
    assert catalogue.champion.version == "1"
    assert "version 2 is champion but not used: it was built for contract version 999" in catalogue.status


async def test_a_champion_left_by_an_upgrade_is_a_caveat_until_one_that_can_be_used_is_promoted(
    registry, registry_uri, publish, tmp_path, nowhere
):
    shelf = Shelf(tmp_path / "champion")
    old = publish()
    await Catalogue(registry_uri, shelf=shelf).refresh()  # kept on disk by the version before
    registry.client.set_model_version_tag(FORECASTER, str(old.number), TAG_CONTRACT_VERSION, "1")
    catalogue = Catalogue(registry_uri, shelf=shelf)
    assert not await catalogue.refresh()
    assert "version 1 is champion but not used: it was built for contract version 1" in catalogue.caveat
    assert catalogue.champion is None
    publish()
    assert await catalogue.refresh()
    assert (catalogue.champion.version, catalogue.caveat) == ("2", "")
    restarted = Catalogue(nowhere, shelf=shelf)
    await restarted.refresh()
    assert restarted.champion.version == "2"


async def test_a_version_that_fails_on_the_live_windows_is_refused(registry_uri, publish):
    publish()
    catalogue = Catalogue(registry_uri)
    twice = unknown_series()
    twice["observed_at"] = np.datetime64("2026-01-01T00:00:00", "us")
    twice["target"], twice["sensor"] = "demo-shop", "request_rate_per_second"
    assert not await catalogue.refresh(twice)
    assert catalogue.champion is None
    assert "it fails on live windows" in catalogue.status


async def test_a_registry_that_goes_away_leaves_what_is_loaded(registry_uri, publish):
    publish()
    catalogue = Catalogue(registry_uri)
    await catalogue.refresh()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        catalogue._uri = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert not await catalogue.refresh()
    assert catalogue.champion.version == "1"
    assert "does not answer" in catalogue.status


@pytest.fixture
def nowhere():
    """The address of a registry that is not there."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


async def test_a_restart_without_a_registry_goes_on_with_the_champion_last_seen_and_says_so(
    registry, registry_uri, publish, tmp_path, nowhere
):
    shelf = Shelf(tmp_path / "champion")
    publish()
    await Catalogue(registry_uri, shelf=shelf).refresh()

    restarted = Catalogue(nowhere, shelf=shelf)
    assert await restarted.refresh()
    assert restarted.champion.version == "1"
    assert restarted.champion.predict(unknown_series(), 1)["status"].tolist() == ["unknown_series"]
    assert "version 1 was champion when last seen" in restarted.status

    # The registry's word counts as soon as there is one.
    restarted._uri = registry_uri
    registry.client.delete_registered_model_alias(FORECASTER, CHAMPION)
    assert await restarted.refresh()
    assert restarted.champion is None
    assert not await Catalogue(nowhere, shelf=shelf).refresh()


async def test_a_kept_version_for_another_contract_is_not_restored(
    registry_uri, publish, tmp_path, nowhere, monkeypatch
):
    shelf = Shelf(tmp_path / "champion")
    publish()
    await Catalogue(registry_uri, shelf=shelf).refresh()
    monkeypatch.setattr(module.naming, "CONTRACT_VERSION", "999")
    restarted = Catalogue(nowhere, shelf=shelf)
    assert not await restarted.refresh()
    assert restarted.champion is None


async def test_a_withdrawn_alias_leaves_no_champion(registry, registry_uri, publish):
    publish()
    catalogue = Catalogue(registry_uri)
    await catalogue.refresh()
    registry.client.delete_registered_model_alias(FORECASTER, CHAMPION)
    assert await catalogue.refresh()
    assert catalogue.champion is None


async def test_a_refused_version_is_tried_again_after_a_while(registry_uri, publish, monkeypatch):
    publish()
    catalogue = Catalogue(registry_uri)
    loads = []

    def failing(self, named, probe):
        loads.append(named.version)
        raise module.VersionRefusedError("the disk was full")

    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "_load", failing)
        for _ in range(module._LOOKS_REFUSED):
            await catalogue.refresh()
    assert loads == ["1"]
    assert await catalogue.refresh()
    assert catalogue.champion.version == "1"


async def test_loading_runs_beside_the_event_loop(registry_uri, publish, monkeypatch):
    """The loop turns while a version loads: looking happens in another thread."""
    publish()
    seen = []
    look = Catalogue._look
    monkeypatch.setattr(
        Catalogue, "_look", lambda self, *given: seen.append(threading.current_thread()) or look(self, *given)
    )
    await Catalogue(registry_uri).refresh()
    assert seen
    assert seen[0] is not threading.main_thread()
