"""Two cells of the fault matrix on one broker; `make test-faults` runs all of them on three."""

from pathlib import Path

import pytest

from tests.conftest import Services
from tests.faults.cell import Cell
from tests.faults.cells import killed, poisonous
from tests.faults.site import open_site
from tests.support.apache_kafka.cluster import Cluster

FRAMES = 600


@pytest.mark.parametrize(
    "cell", [killed("during-commit"), poisonous("in-decode", "segfault")], ids=lambda cell: cell.name
)
def test_the_books_balance_after(cell: Cell, one_broker: Cluster, apache_services: Services, tmp_path: Path) -> None:
    with open_site(one_broker, apache_services, tmp_path, frames=FRAMES) as site:
        cell.run(site)
        ending = site.ended()
        assert ending.books.clean, ending.books.discrepancies
        assert ending.books.dead_letters == (1 if cell.name.startswith("poisonous") else 0)
        cell.proof(site)
