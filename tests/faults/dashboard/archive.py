"""The archive's thread dies at each step of copying evidence, and at each step of removing what is too much."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from qc_dashboard.archive.archive import Evidence
from qc_dashboard.archive.blobs import digest
from qc_dashboard.history.history import History
from qc_dashboard.wiring.dashboard import GIBIBYTE
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection
from qc_worker.runtime.failpoints import ARCHIVE_PLACES, RETENTION_PLACES
from tests.faults.cameras import picture
from tests.faults.dashboard.fault import CATCHES_UP_S, DashboardFault
from tests.faults.leaping_clock import LeapingClock
from tests.faults.site import Site
from tests.support.archives import Plant
from tests.support.databases import migrated

WHILE_FILES_ARE_NEW = "in-blob"
"""Goes first: cameras repeat their pictures, and a file that is there is not written again."""
REDIS_TIMEOUT_MS = "5000"
"""On two busy cores no heatmap may be lost to a slow answer."""
BEYOND_GRACE_S = 3600
"""So long after a blob was written it may be removed, if nothing refers to it."""


class KilledArchive(DashboardFault):
    """The evidence of all frames is archived; then half of its bytes are too much."""

    def run(self, site: Site) -> None:
        self.open_database(site)
        site.ready_worker(QC_REDIS_TIMEOUT_MS=REDIS_TIMEOUT_MS)
        site.send()
        for place in sorted(ARCHIVE_PLACES, key=lambda place: place != WHILE_FILES_ARE_NEW):
            self.killed_dashboard(site, f"{place}=3", **_settings(site))
        self._survivor = self.dashboard(site, **_settings(site))

    def proof(self, site: Site) -> None:
        self.counted(site)
        with self._archive(site) as plant:
            site.until(lambda: self._is_done(site, plant), timeout_s=CATCHES_UP_S)
            _has_all(plant, site.verdicts.so_far())
            self._survivor.end()
            self._half_is_too_much(site, plant)

    def _half_is_too_much(self, site: Site, plant: Plant) -> None:
        max_bytes = plant.retention.size_bytes() // 2
        clock = LeapingClock(site.plant.folder)
        clock.leap(BEYOND_GRACE_S)
        settings = {**_settings(site), **clock.environment, "QC_ARCHIVE_MAX_GIB": repr(max_bytes / GIBIBYTE)}
        for place in RETENTION_PLACES:
            self.killed_dashboard(site, f"{place}=1", **settings)
            plant.check_whole()
        self.dashboard(site, **settings)
        site.until(lambda: plant.files() == plant.known() == plant.needed())
        assert 0 < plant.retention.size_bytes() <= max_bytes
        plant.check_whole()

    @contextmanager
    def _archive(self, site: Site) -> Iterator[Plant]:
        with migrated(self.url) as database:
            yield Plant(database, _settings(site)["QC_ARCHIVE_URL"])

    def _is_done(self, site: Site, plant: Plant) -> bool:
        """Everything that is in the history was looked at."""
        topic = site.plant.topics["results"]
        return plant.archive.places(topic) == History(plant.database).places(topic)


def _settings(site: Site) -> dict[str, str]:
    url = str(site.plant.folder / "evidence")
    return {"QC_ARCHIVE_URL": url, "QC_ARCHIVE_PASS_SHARE": "1", "QC_REDIS_TIMEOUT_MS": REDIS_TIMEOUT_MS}


def _has_all(plant: Plant, inspections: Sequence[Inspection]) -> None:
    """There is evidence of each inspection, once, with the camera's bytes; and no file more or less."""
    found = plant.archive.evidence_of([one.source for one in inspections])
    assert [_bytes_of(one, found) for one in inspections] == [_expected(one) for one in inspections]
    totals = {verdict: total.frames for verdict, total in plant.archive.totals().items()}
    assert totals == Counter(one.verdict for one in inspections)
    plant.check_whole()
    assert plant.files() == plant.known() == plant.needed()


def _bytes_of(one: Inspection, found: Mapping[Position, Evidence]) -> tuple[str, bool]:
    """Return the digest of the archived frame, and True if it has a heatmap."""
    evidence = found[one.source]
    return evidence.frame_sha256, evidence.heatmap_sha256 is not None


def _expected(one: Inspection) -> tuple[str, bool]:
    number = int(cast("str", one.frame_id).removeprefix("frame-"))
    return digest(picture(number)), one.heatmap_key is not None
