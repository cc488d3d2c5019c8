"""What is wrong is blamed on the store, on the folder of copies, or on what is not installed: whichever it is."""

import errno
import sys
from pathlib import Path

import pytest

from qc_worker.domain.errors import ModelError, SettingsError, TransportError
from qc_worker.registry.shared_heads import CARD_FILE, HEAD_FILE
from qc_worker.registry.store import FsspecModelStore

SECRET = "correct-horse"


@pytest.fixture
def store(tmp_path: Path) -> FsspecModelStore:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / CARD_FILE).write_text("{}")
    (tmp_path / "new" / HEAD_FILE).write_bytes(b"head")
    store = FsspecModelStore(str(tmp_path / "models"))
    store.add(tmp_path / "new", line="A", version="v1")
    return store


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_of_copies_that_cannot_be_written_is_not_blamed_on_the_store(
    monkeypatch: pytest.MonkeyPatch, store: FsspecModelStore, tmp_path: Path, number: int
) -> None:
    copies = tmp_path / "copies"

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, "refused", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ModelError, match=r"fetching A/v1: refused \(.*copies.*\); .*QC_STATE_DIR") as told:
        store.fetch("A", "v1", into=copies)
    assert "model store" not in str(told.value)


def test_a_store_that_cannot_be_read_is_named_with_its_path_and_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=r"model store: listing lines: .*file.*; .*QC_MODEL_STORE"):
        FsspecModelStore(str(tmp_path / "file" / "models")).lines()


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("sftp", "paramiko")])
def test_a_package_that_is_not_installed_is_named(scheme: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if, where it is
    with pytest.raises(SettingsError, match=package) as refused:
        FsspecModelStore(f"{scheme}://user:{SECRET}@bucket/models")
    assert SECRET not in str(refused.value)


def test_a_scheme_that_nobody_knows_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match="model_store 'wat://bucket' cannot be used: give a folder"):
        FsspecModelStore(f"wat://user:{SECRET}@bucket")


def test_a_server_that_is_away_is_worth_another_try() -> None:
    with pytest.raises(TransportError, match=r"model_store .ftp://127\.0\.0\.1:1/models") as refused:
        FsspecModelStore(f"ftp://user:{SECRET}@127.0.0.1:1/models")
    assert SECRET not in str(refused.value)
