"""Every cell of the fault matrix, and a random run that looks for what the cells forgot."""

import time
from pathlib import Path

import pytest

from qc_worker.domain.errors import Reason
from tests.conftest import Services
from tests.faults.cell import DRAINED_WITHIN_S, Cell
from tests.faults.cells import CELLS
from tests.faults.chaos import Chaos
from tests.faults.chaos_faults import BROKER_FAULTS, OTHER_FAULTS
from tests.faults.conftest import Draw
from tests.faults.report import RANDOM, Report, Row
from tests.faults.site import Ending, open_site
from tests.support.apache_kafka.cluster import Cluster

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

SILENCE_OF_CHAOS_S = 180.0
"""Also of the wait for what is left: there may be poison in it, and each such frame kills three workers."""
PAUSE_OF_CAMERAS_S = 5.0


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_the_books_balance_after(
    cell: Cell, cluster: Cluster, cluster_services: Services, tmp_path: Path, report: Report
) -> None:
    with (
        open_site(cluster, cluster_services, tmp_path) as site,
        report.of(cell.name, cell.promise, allowed_silence_s=cell.allowed_silence_s) as row,
    ):
        started_s = time.monotonic()
        cell.run(site)
        ending = site.ended()
        row.measured(ending, lasted_s=time.monotonic() - started_s)
        _holds(ending, row, drained_within_s=DRAINED_WITHIN_S)
        cell.proof(site)


@pytest.mark.timeout(3600)
def test_the_books_balance_after_random_faults(
    cluster: Cluster, cluster_services: Services, tmp_path: Path, report: Report, draw: Draw
) -> None:
    """Random workers suffer random faults for a while; then all is healed, drained and checked."""
    name = f"{RANDOM} {draw.seed}, {draw.duration_s:.0f} s"
    with (
        open_site(cluster, cluster_services, tmp_path) as site,
        report.of(name, "whatever comes together", allowed_silence_s=SILENCE_OF_CHAOS_S) as row,
    ):
        started_s = time.monotonic()
        chaos = Chaos(site, draw.seed, kinds=(BROKER_FAULTS, OTHER_FAULTS))
        try:
            chaos.run(draw.duration_s)
        finally:
            row.promise += f": {chaos.told()}"
        ending = site.ended()
        row.measured(ending, lasted_s=time.monotonic() - started_s)
        _holds(ending, row, drained_within_s=SILENCE_OF_CHAOS_S)
        # Whatever becomes of releases, a line that had a model has one.
        assert {one.reason for one in site.verdicts.so_far()} <= {None, Reason.CRASHED_WORKERS}


def _holds(ending: Ending, row: Row, *, drained_within_s: float) -> None:
    assert ending.books.clean, ending.books.discrepancies
    assert ending.longest_silence_s <= row.allowed_silence_s
    assert ending.drained_s <= drained_within_s
    assert ending.longest_pause_s <= PAUSE_OF_CAMERAS_S, "no frames came for a while"
