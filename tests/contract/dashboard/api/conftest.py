"""The API on both databases."""

from pathlib import Path

import pytest

from qc_dashboard.database.database import Database
from tests.support.api import ApiRig


@pytest.fixture
def rig(database: Database, tmp_path: Path) -> ApiRig:
    return ApiRig(database, tmp_path)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
