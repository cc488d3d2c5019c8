"""Versions that share the head of another one, as the model store keeps and fetches them."""

import hashlib
import json
from pathlib import Path

import pytest

from qc_worker.domain.errors import ModelError
from qc_worker.registry.store import FsspecModelStore
from tests.contract.model_stores.stored_files import HEAD, HOSTILE, files, put, remove


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A model folder with nothing but a card, which says that the head is that of v1."""
    return sharing(tmp_path / "shared", "v1")


def sharing(folder: Path, owner: object) -> Path:
    folder.mkdir()
    digest = hashlib.sha256(HEAD).hexdigest()
    (folder / "card.json").write_text(json.dumps({"line": "A", "head_of": owner, "head_sha256": digest}))
    return folder


def test_a_version_that_shares_a_head_is_one_small_file_and_is_fetched_whole(
    store: FsspecModelStore, model: Path, shared: Path, url: str, tmp_path: Path
) -> None:
    store.add(model, line="A", version="v1")
    store.add(shared, line="A", version="v2")
    assert files(url) == ["A/v1/card.json", "A/v1/head.safetensors", "A/v2/card.json"]
    assert store.versions("A") == ["v1", "v2"]
    fetched = store.fetch("A", "v2", into=tmp_path / "cache")
    assert (fetched / "head.safetensors").read_bytes() == HEAD
    assert (fetched / "card.json").read_bytes() == (shared / "card.json").read_bytes()


@pytest.mark.parametrize("kept", ["v1", "v2"])
def test_a_shared_head_that_lies_here_is_not_asked_of_the_store(
    store: FsspecModelStore, model: Path, shared: Path, *, url: str, tmp_path: Path, kept: str
) -> None:
    store.add(model, line="A", version="v1")
    for version in ("v2", "v3"):
        store.add(shared, line="A", version=version)
    cache = tmp_path / "cache"
    (cache / "A" / kept).mkdir(parents=True)
    for source, file in ((model, "head.safetensors"), (shared, "card.json")):
        (cache / "A" / kept / file).write_bytes((source / file).read_bytes())
    put(url, "A/v1/head.safetensors", b"other bytes")
    assert (store.fetch("A", "v3", into=cache) / "head.safetensors").read_bytes() == HEAD


def test_a_spoilt_local_head_is_not_shared(store: FsspecModelStore, model: Path, shared: Path, tmp_path: Path) -> None:
    store.add(model, line="A", version="v1")
    store.add(shared, line="A", version="v2")
    cache = tmp_path / "cache"
    (store.fetch("A", "v2", into=cache) / "head.safetensors").write_bytes(b"bit rot")
    (store.fetch("A", "v1", into=cache) / "head.safetensors").write_bytes(b"bit rot")
    assert (store.fetch("A", "v2", into=cache) / "head.safetensors").read_bytes() == HEAD


def test_a_shared_head_that_has_gone_is_an_error_that_names_its_version(
    store: FsspecModelStore, model: Path, shared: Path, url: str, tmp_path: Path
) -> None:
    store.add(model, line="A", version="v1")
    store.add(shared, line="A", version="v2")
    remove(url, "A/v1")
    with pytest.raises(ModelError, match="A/v2 shares the head of A/v1, which is not in the model store"):
        store.fetch("A", "v2", into=tmp_path / "cache")
    assert list((tmp_path / "cache" / "A").iterdir()) == []


def test_a_head_that_is_not_there_cannot_be_shared(store: FsspecModelStore, shared: Path, url: str) -> None:
    with pytest.raises(ModelError, match="which is not in the model store"):
        store.add(shared, line="A", version="v2")
    assert files(url) == []


@pytest.mark.parametrize("owner", [*HOSTILE, 7, ["v1"], {}, True, "v2"])
def test_a_head_of_a_hostile_name_is_refused(
    store: FsspecModelStore, model: Path, url: str, tmp_path: Path, owner: object
) -> None:
    store.add(model, line="A", version="v1")
    card = sharing(tmp_path / "hostile", owner)
    with pytest.raises(ModelError, match="shares the head of"):
        store.add(card, line="A", version="v2")
    put(url, "A/v2/card.json", (card / "card.json").read_bytes())
    with pytest.raises(ModelError, match="shares the head of"):
        store.fetch("A", "v2", into=tmp_path / "cache")
    assert list((tmp_path / "cache" / "A").iterdir()) == []
