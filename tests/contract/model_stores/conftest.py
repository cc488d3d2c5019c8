"""Stores on every kind of URL, and a model to put into them."""

from pathlib import Path
from uuid import uuid4

import pytest

from qc_worker.registry.store import FsspecModelStore
from tests.contract.model_stores.stored_files import HEAD


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
