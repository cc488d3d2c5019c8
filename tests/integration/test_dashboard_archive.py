"""`qc-dashboard run` archives what a real worker has judged, also if it is killed."""

from collections.abc import Sequence
from contextlib import closing

import pytest

from qc_dashboard.archive.archive import Archive, Evidence
from qc_dashboard.archive.blobs import BlobStore
from qc_dashboard.database.database import Database, open_database
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection
from qc_worker.runtime.clock import SystemClock
from tests.conftest import eventually
from tests.support.dashboard import DashboardProcess
from tests.support.factories import jpeg
from tests.support.plant import Plant

pytestmark = pytest.mark.apache_only

FRAMES = 40


def archive_of(plant: Plant, database: Database) -> Archive:
    database.migrate()
    return Archive(database, BlobStore(str(plant.folder / "evidence")), clock=SystemClock())


def dashboard(plant: Plant, database_url: str) -> DashboardProcess:
    places = {"QC_ARCHIVE_URL": str(plant.folder / "evidence"), "QC_ARCHIVE_PASS_SHARE": "1"}
    return DashboardProcess(plant, database_url, **places)


def judged(plant: Plant, first: int) -> list[Inspection]:
    """Send frames, and return all inspections so far."""
    with plant.worker():
        plant.push(FRAMES, lines="A", first=first)
        return plant.settled_inspections(first + FRAMES)


def archived(archive: Archive, inspections: Sequence[Inspection]) -> dict[Position, Evidence]:
    wanted = [one.source for one in inspections]

    def all_of_them() -> dict[Position, Evidence] | None:
        found = archive.evidence_of(wanted)
        return found if len(found) == len(wanted) else None

    return eventually(all_of_them)


def test_evidence_has_the_bytes_that_the_camera_sent_and_the_heatmaps_also_after_a_kill(
    plant: Plant, database_url: str
) -> None:
    plant.train("A", "v1")
    with closing(open_database(database_url)) as database:
        archive = archive_of(plant, database)
        running = dashboard(plant, database_url)
        try:
            archived(archive, judged(plant, 0))
        finally:
            running.end()
        inspections = judged(plant, FRAMES)
        running = dashboard(plant, database_url)
        try:
            found = archived(archive, inspections)
            assert running.stop() == 0
        finally:
            running.end()
        sent = {f"frame-{number}": jpeg(number) for number in range(2 * FRAMES)}
        for one in inspections:
            evidence = found[one.source]
            assert archive.read(evidence.frame_sha256) == sent[str(one.frame_id)]
            assert (evidence.heatmap_sha256 is None) == (one.heatmap_key is None)
        assert any(evidence.heatmap_sha256 for evidence in found.values())
