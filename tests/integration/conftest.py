from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Services
from tests.support.injected import Commands, Ended
from tests.support.plant import Plant

RunTrainer = Callable[..., list[Ended]]


@pytest.fixture
def plant(services: Services, tmp_path: Path) -> Iterator[Plant]:
    plant = Plant(services, tmp_path)
    plant.open()
    yield plant
    plant.close()


@pytest.fixture(scope="session")
def commands() -> Iterator[Commands]:
    with Commands() as running:
        yield running


@pytest.fixture
def run_trainer(commands: Commands, tmp_path: Path) -> RunTrainer:
    """Run several command lines of `qc-trainer`, one after the other, in the folder of the test."""
    environment = {"QC_STATE_DIR": str(tmp_path), "QC_TORCH_THREADS": "1", "TMPDIR": str(tmp_path)}

    def run(*lines: tuple[str, ...]) -> list[Ended]:
        return [commands.run("qc-trainer", *line, cwd=tmp_path, environment=environment) for line in lines]

    return run
