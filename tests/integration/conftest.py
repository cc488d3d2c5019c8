from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.support.plant import Plant


@pytest.fixture
def plant(services: Services, tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(services, tmp_path)
    plant.open()
    yield plant
    plant.close()
