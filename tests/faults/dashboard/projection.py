"""The projection dies at each step of a batch, and at each step of a rebuild."""

import signal

from qc_worker.runtime.failpoints import HISTORY_PLACES, REBUILD_PLACES
from tests.faults.dashboard.fault import DashboardFault
from tests.faults.site import Site
from tests.support.dashboard import rebuild


class KilledProjection(DashboardFault):
    """The projecting process is killed at each step, and started again each time."""

    def run(self, site: Site) -> None:
        self.open_database(site)
        site.ready_worker()
        site.send()
        for place in HISTORY_PLACES:
            self.killed_dashboard(site, f"{place}=3")
        self.dashboard(site)

    def proof(self, site: Site) -> None:
        frames = self.counted(site)
        for place in REBUILD_PLACES:
            rebuild(site.plant, self.url, expect=-signal.SIGKILL, QC_FAILPOINTS=f"{place}=1")
            self.equals_the_books(site)
        report = rebuild(site.plant, self.url)
        assert (report["inspections"], report["duplicates"], report["kept"]) == (frames, 0, 0)
        self.equals_the_books(site)
