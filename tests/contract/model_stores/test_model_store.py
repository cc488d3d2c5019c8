"""ModelStore: versions appear whole or not at all, and no name leads out of the store."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qc_worker.domain.errors import ModelError, SettingsError
from qc_worker.domain.release import Release, ReleaseAction
from qc_worker.registry import store as store_module
from qc_worker.registry.store import FsspecModelStore
from tests.contract.model_stores.stored_files import HOSTILE, file_of, files, put
from tests.contract.rigs import release


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


def test_card_is_read_without_its_head(store: FsspecModelStore, model: Path) -> None:
    store.add(model, line="A", version="v1")
    assert store.read_card("A", "v1") == (model / "card.json").read_bytes()
    for line, version in (("A", "v2"), ("../A", "v1"), ("A", "../v1")):
        with pytest.raises(ModelError):
            store.read_card(line, version)


def test_versions_are_listed_oldest_first(store: FsspecModelStore, model: Path) -> None:
    for version in ("20260301T000000-c", "20260101T000000-a", "20260201T000000-b"):
        store.add(model, line="A", version=version)
    assert store.versions("A") == ["20260101T000000-a", "20260201T000000-b", "20260301T000000-c"]


def test_adding_leaves_nothing_but_the_two_files(store: FsspecModelStore, model: Path, url: str) -> None:
    (model / "notes.txt").write_text("not part of a model")
    store.add(model, line="A", version="v1")
    assert files(url) == ["A/v1/card.json", "A/v1/head.safetensors"]


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
