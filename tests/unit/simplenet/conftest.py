"""Fixtures that several tests of models on disk share."""

from pathlib import Path

import pytest

from qc_worker.simplenet.checkpoint import (
    save_model,
)
from tests.unit.simplenet.factories import a_card, a_head


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    head = a_head()
    save_model(tmp_path / "model", head, a_card(head))
    return tmp_path / "model"
