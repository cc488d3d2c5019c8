"""ModelStore: versions appear whole or not at all, and no name leads out of the store."""

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from qc_worker.domain.errors import ModelError, SettingsError
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.registry import store as store_module
from qc_worker.registry.store import FsspecModelStore
from tests.contract.rigs import release

HEAD = bytes(range(256)) * 100
HOSTILE = ["../../etc", "..", ".", "", "a/b", "/etc", "a\x00b", "a\nb", ".hidden", "x" * 65, "~root", "a\\b"]


@pytest.fixture(params=["folder", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    folder = tmp_path / "store"
    return {"folder": str(folder), "file": folder.as_uri(), "memory": f"memory://{uuid4().hex}"}[request.param]


@pytest.fixture
def store(url: str) -> FsspecModelStore:
    return FsspecModelStore(url)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "trained"
    folder.mkdir()
    (folder / "head.safetensors").write_bytes(HEAD)
    (folder / "card.json").write_text('{"line": "A"}')
    return folder


def files(url: str) -> list[str]:
    """Every file of the store, hidden ones too, relative to it."""
    file_system, root = fsspec.core.url_to_fs(url)
    return sorted(path.removeprefix(root).lstrip("/") for path in file_system.find(root))


def put(url: str, path: str, content: bytes) -> None:
    file_system, root = fsspec.core.url_to_fs(url)
    file_system.makedirs(f"{root}/{path}".rpartition("/")[0], exist_ok=True)
    file_system.pipe_file(f"{root}/{path}", content)


def remove(url: str, folder: str) -> None:
    file_system, root = fsspec.core.url_to_fs(url)
    file_system.rm(f"{root}/{folder}", recursive=True)


def test_empty_store_has_no_lines(store: FsspecModelStore) -> None:
    assert store.lines() == []
    assert store.versions("A") == []
    assert store.releases("A") == []


def test_added_model_is_listed_and_fetched_byte_for_byte(store: FsspecModelStore, model: Path, tmp_path: Path) -> None:
    store.add(model, line="A", version="20260101T000000-aaaaaaaa")
    assert store.lines() == ["A"]
    fetched = store.fetch("A", "20260101T000000-aaaaaaaa", into=tmp_path / "cache")
    assert fetched == tmp_path / "cache" / "A" / "20260101T000000-aaaaaaaa"
    for file in ("head.safetensors", "card.json"):
        assert (fetched / file).read_bytes() == (model / file).read_bytes()
    assert sorted(path.name for path in fetched.parent.iterdir()) == ["20260101T000000-aaaaaaaa"]


def test_versions_are_listed_oldest_first(store: FsspecModelStore, model: Path) -> None:
    for version in ("20260301T000000-c", "20260101T000000-a", "20260201T000000-b"):
        store.add(model, line="A", version=version)
    assert store.versions("A") == ["20260101T000000-a", "20260201T000000-b", "20260301T000000-c"]


def test_adding_leaves_nothing_but_the_two_files(store: FsspecModelStore, model: Path, url: str) -> None:
    (model / "notes.txt").write_text("not part of a model")
    store.add(model, line="A", version="v1")
    assert files(url) == ["A/v1/card.json", "A/v1/head.safetensors"]


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


def test_a_version_never_changes(store: FsspecModelStore, model: Path, tmp_path: Path) -> None:
    store.add(model, line="A", version="v1")
    (model / "card.json").write_text("another")
    with pytest.raises(ModelError, match="never change"):
        store.add(model, line="A", version="v1")
    assert (store.fetch("A", "v1", into=tmp_path / "cache") / "card.json").read_text() == '{"line": "A"}'


def test_a_model_that_lacks_a_file_is_refused_whole(store: FsspecModelStore, model: Path, url: str) -> None:
    (model / "card.json").unlink()
    with pytest.raises(ModelError, match="A/v1"):
        store.add(model, line="A", version="v1")
    assert store.versions("A") == []
    assert files(url) == []


def test_a_version_without_card_does_not_exist(store: FsspecModelStore, url: str, tmp_path: Path) -> None:
    put(url, "A/v1/head.safetensors", b"half")
    assert store.lines() == []
    assert store.versions("A") == []
    with pytest.raises(ModelError, match="not in the model store"):
        store.fetch("A", "v1", into=tmp_path / "cache")


def test_a_half_written_version_can_be_written_again(store: FsspecModelStore, model: Path, url: str) -> None:
    put(url, "A/v1/head.safetensors", b"half")
    store.add(model, line="A", version="v1")
    assert store.versions("A") == ["v1"]


def test_old_leftovers_are_swept_and_young_ones_are_not(tmp_path: Path, model: Path) -> None:
    store = FsspecModelStore(str(tmp_path / "store"))
    for version, age_s in (("old", 7200), ("young", 60)):
        put(str(tmp_path / "store"), f"A/{version}/head.safetensors", b"half")
        at_s = datetime.now(UTC).timestamp() - age_s
        os.utime(tmp_path / "store" / "A" / version / "head.safetensors", (at_s, at_s))
    store.add(model, line="A", version="v1")
    assert sorted(path.name for path in (tmp_path / "store" / "A").iterdir()) == ["v1", "young"]


def test_old_half_fetched_copies_are_swept(store: FsspecModelStore, model: Path, tmp_path: Path) -> None:
    store.add(model, line="A", version="v1")
    leftover = tmp_path / "cache" / "A" / ".incoming-dead"
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))
    store.fetch("A", "v1", into=tmp_path / "cache")
    assert not leftover.exists()


def test_a_spoilt_local_copy_mends_itself(store: FsspecModelStore, model: Path, tmp_path: Path) -> None:
    store.add(model, line="A", version="v1")
    fetched = store.fetch("A", "v1", into=tmp_path / "cache")
    (fetched / "head.safetensors").write_bytes(b"bit rot")
    assert store.fetch("A", "v1", into=tmp_path / "cache") == fetched
    assert (fetched / "head.safetensors").read_bytes() == (model / "head.safetensors").read_bytes()


def test_an_unchanged_local_copy_is_left_alone(store: FsspecModelStore, model: Path, tmp_path: Path) -> None:
    # Another worker of this machine may be reading it.
    store.add(model, line="A", version="v1")
    fetched = store.fetch("A", "v1", into=tmp_path / "cache")
    before = (fetched / "card.json").stat().st_ino
    store.fetch("A", "v1", into=tmp_path / "cache")
    assert (fetched / "card.json").stat().st_ino == before


def test_a_failed_fetch_leaves_nothing_behind(store: FsspecModelStore, url: str, tmp_path: Path) -> None:
    put(url, "A/v1/card.json", b"{}")
    with pytest.raises(ModelError):
        store.fetch("A", "v1", into=tmp_path / "cache")
    assert list((tmp_path / "cache" / "A").iterdir()) == []


def test_a_file_larger_than_any_model_is_not_read(
    store: FsspecModelStore, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add(model, line="A", version="v1")
    monkeypatch.setitem(store_module.MAX_BYTES, "head.safetensors", 1000)
    with pytest.raises(ModelError, match="at most 1000"):
        store.fetch("A", "v1", into=tmp_path / "cache")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_touch_nothing(store: FsspecModelStore, model: Path, tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ModelError):
        store.add(model, line=name, version="v1")
    with pytest.raises(ModelError):
        store.add(model, line="A", version=name)
    with pytest.raises(ModelError):
        store.fetch(name, "v1", into=tmp_path)
    with pytest.raises(ModelError):
        store.fetch("A", name, into=tmp_path)
    for ask in (store.versions, store.releases):
        with pytest.raises(ModelError):
            ask(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_folders_with_names_that_no_line_has_are_ignored(store: FsspecModelStore, url: str, model: Path) -> None:
    store.add(model, line="A", version="v1")
    put(url, "not a line!/v1/card.json", b"{}")
    put(url, "A/.trash/card.json", b"{}")
    put(url, "stray.txt", b"")
    assert store.lines() == ["A"]
    assert store.versions("A") == ["v1"]


def test_releases_are_kept_oldest_first(store: FsspecModelStore) -> None:
    history = [release("A", "v1"), release("A", "v2"), rolled_back("v1")]
    for each in history:
        store.record_release(each)
    assert store.releases("A") == history
    assert store.releases("B") == []


def test_torn_release_row_is_left_out(store: FsspecModelStore, url: str) -> None:
    store.record_release(release("A", "v1"))
    put(url, "A/releases.jsonl", file_of(url, "A/releases.jsonl") + b'{"line": "A", "versi')
    assert store.releases("A") == [release("A", "v1")]
    store.record_release(release("A", "v2"))
    assert store.releases("A") == [release("A", "v1"), release("A", "v2")]


def test_release_of_a_hostile_name_is_refused(store: FsspecModelStore) -> None:
    with pytest.raises(ModelError):
        store.record_release(release("../A", "v1"))
    with pytest.raises(ModelError):
        store.record_release(release("A", "../v1"))


def test_store_that_cannot_be_written_is_one_line(tmp_path: Path, model: Path) -> None:
    (tmp_path / "store").write_text("a file where a folder should be")
    with pytest.raises(ModelError) as raised:
        FsspecModelStore(str(tmp_path / "store")).add(model, line="A", version="v1")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("address", ["nosuchprotocol://models", "s3://models"])
def test_url_that_nothing_can_open_is_a_settings_error(address: str) -> None:
    with pytest.raises(SettingsError, match="model_store"):
        FsspecModelStore(address)


def rolled_back(version: str) -> Release:
    at = datetime(2026, 6, 1, tzinfo=UTC)
    return Release(
        line="A", version=version, card_sha256="1" * 64, threshold=2.0, released_at=at, action=ReleaseAction.ROLLBACK
    )


def file_of(url: str, path: str) -> bytes:
    file_system, root = fsspec.core.url_to_fs(url)
    return bytes(file_system.cat_file(f"{root}/{path}"))
