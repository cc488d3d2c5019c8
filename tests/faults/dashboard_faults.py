"""Faults of the dashboard's projection: it dies at each step of a batch, and at each step of a rebuild."""

import signal
from collections import Counter
from contextlib import closing
from pathlib import Path

from qc_dashboard.database.database import open_database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search
from qc_worker.runtime.failpoints import HISTORY_PLACES, REBUILD_PLACES
from tests.conftest import started
from tests.faults.books import account
from tests.faults.site import Site
from tests.support.dashboard import DashboardProcess, rebuild
from tests.support.databases import new_url
from tests.support.postgresql import PostgreSQL

DEATH_S = 60
CATCHES_UP_S = 60


class KilledProjection:
    """The projecting process is killed at each step, started again each time, and its history is counted in the end."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._url = ""

    def run(self, site: Site) -> None:
        self._url = self._new_url(site)
        site.ready_worker()
        site.send()
        for place in HISTORY_PLACES:
            killed = DashboardProcess(site.plant, self._url, QC_FAILPOINTS=f"{place}=3")
            site.closing.callback(killed.end)
            assert killed.wait(DEATH_S) == -signal.SIGKILL, killed.log()[-2000:]
        survivor = DashboardProcess(site.plant, self._url)
        site.closing.callback(survivor.end)

    def proof(self, site: Site) -> None:
        frames = account(site.plant).frames
        site.until(lambda: self._inspections() == frames, timeout_s=CATCHES_UP_S)
        self._equals_the_books(site)
        for place in REBUILD_PLACES:
            rebuild(site.plant, self._url, expect=-signal.SIGKILL, QC_FAILPOINTS=f"{place}=1")
            self._equals_the_books(site)
        report = rebuild(site.plant, self._url)
        assert (report["inspections"], report["duplicates"], report["kept"]) == (frames, 0, 0)
        self._equals_the_books(site)

    def _new_url(self, site: Site) -> str:
        server = started(PostgreSQL(), site.closing) if self._database == "postgresql" else None
        if server is not None:
            site.closing.callback(server.remove)
        return site.closing.enter_context(new_url(server, Path(site.plant.folder)))

    def _inspections(self) -> int:
        return sum(self._counts().values())

    def _counts(self) -> Counter[tuple[str | None, str]]:
        with closing(open_database(self._url)) as database:
            database.migrate()
            counts = History(database).counts(Search())
        return Counter({(count.line, count.verdict): count.inspections for count in counts})

    def _equals_the_books(self, site: Site) -> None:
        books = account(site.plant)
        with closing(open_database(self._url)) as database:
            assert History(database).duplicates() == 0
        counts = self._counts()
        assert sum(counts.values()) == books.frames
        assert counts == Counter((one.line, one.verdict) for one in site.verdicts.so_far())
