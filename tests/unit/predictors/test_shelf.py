"""The champion on disk: kept whole, given back unchanged or not at all."""

import json

import pytest

from serving.predictors.shelf import Named, Shelf


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path / "champion")


@pytest.fixture
def model(tmp_path):
    files = tmp_path / "model"
    (files / "artifacts").mkdir(parents=True)
    (files / "MLmodel").write_text("flavors: {}")
    (files / "artifacts" / "state.npz").write_bytes(bytes(range(256)))
    return files


def named(version="3"):
    return Named(version, "models:/m-1", {"maximus.contract_version": "1"})


def test_what_was_kept_is_given_back(shelf, model):
    assert shelf.last() is None
    shelf.keep(named(), model)
    kept = shelf.last()
    assert kept.named == named()
    assert (kept.files / "artifacts" / "state.npz").read_bytes() == bytes(range(256))


def test_only_the_last_version_takes_up_room(shelf, model, tmp_path):
    shelf.keep(named("3"), model)
    shelf.keep(named("4"), model)
    assert shelf.last().named.version == "4"
    assert len(list((tmp_path / "champion").glob("version-*"))) == 1


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_a_version_that_is_not_what_was_kept_is_not_given_back(shelf, model, damage):
    shelf.keep(named(), model)
    state = shelf.last().files / "artifacts" / "state.npz"
    if damage == "change":
        state.write_bytes(b"\x01" + state.read_bytes()[1:])
    elif damage == "remove":
        state.unlink()
    else:
        state.with_name("more").write_text("x")
    assert shelf.last() is None


def test_a_label_that_cannot_be_read_means_nothing_is_kept(shelf, model, tmp_path):
    shelf.keep(named(), model)
    label = tmp_path / "champion" / "champion.json"
    for text in ("", "[]", json.dumps({"folder": "../.."})):
        label.write_text(text)
        assert shelf.last() is None


def test_a_copy_that_fails_leaves_the_one_before_it(shelf, model, tmp_path):
    shelf.keep(named("3"), model)
    with pytest.raises(OSError, match="nowhere"):
        shelf.keep(named("4"), tmp_path / "nowhere")
    assert shelf.last().named.version == "3"
    assert len(list((tmp_path / "champion").glob("version-*"))) == 1


def test_a_cleared_shelf_is_empty(shelf, model):
    shelf.clear()
    shelf.keep(named(), model)
    shelf.clear()
    assert shelf.last() is None
