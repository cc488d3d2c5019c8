"""A fault of the dashboard: it follows a site into a database of its own, and in the end its history is counted."""

import signal
from abc import ABC, abstractmethod
from collections import Counter
from contextlib import closing
from pathlib import Path

from qc_dashboard.database.database import open_database
from qc_dashboard.history.history import History
from qc_dashboard.history.search import Search
from tests.conftest import started
from tests.faults.books import account
from tests.faults.site import Site
from tests.support.dashboard import DashboardProcess
from tests.support.databases import new_url
from tests.support.postgresql import PostgreSQL

DEATH_S = 60
CATCHES_UP_S = 60


class DashboardFault(ABC):
    """What `run` and `proof` of a cell need: see `Cell`."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.server: PostgreSQL | None = None
        self.url = ""

    @abstractmethod
    def run(self, site: Site) -> None:
        """Break things while frames flow."""

    @abstractmethod
    def proof(self, site: Site) -> None:
        """Look at what came of it."""

    def open_database(self, site: Site) -> None:
        """Make an empty database that ends with the site."""
        if self.database == "postgresql":
            self.server = started(PostgreSQL(), site.closing)
            site.closing.callback(self.server.remove)
        self.url = site.closing.enter_context(new_url(self.server, Path(site.plant.folder)))

    def dashboard(self, site: Site, **environment: str) -> DashboardProcess:
        """Start a dashboard that ends with the site."""
        process = DashboardProcess(site.plant, self.url, **environment)
        site.closing.callback(process.end)
        return process

    def killed_dashboard(self, site: Site, place: str, **environment: str) -> None:
        """Start a dashboard, and wait until it has died there."""
        buried(self.dashboard(site, QC_FAILPOINTS=place, **environment))

    def counted(self, site: Site) -> int:
        """Wait until the history has as many inspections as the account, compare the two, and return the number."""
        frames = account(site.plant).frames
        site.until(lambda: self._inspections() == frames, timeout_s=CATCHES_UP_S)
        self.equals_the_books(site)
        return frames

    def equals_the_books(self, site: Site) -> None:
        """Compare the history with the account, and with what a reader of `results` has seen."""
        books = account(site.plant)
        with closing(open_database(self.url)) as database:
            assert History(database).duplicates() == 0
        counts = self._counts()
        assert sum(counts.values()) == books.frames
        assert counts == Counter((one.line, one.verdict) for one in site.verdicts.so_far())

    def _inspections(self) -> int:
        return sum(self._counts().values())

    def _counts(self) -> Counter[tuple[str | None, str]]:
        with closing(open_database(self.url)) as database:
            database.migrate()
            counts = History(database).counts(Search())
        return Counter({(count.line, count.verdict): count.inspections for count in counts})


def buried(killed: DashboardProcess) -> None:
    """Wait for the death that a failpoint has in store for it."""
    assert killed.wait(DEATH_S) == -signal.SIGKILL, killed.log()[-2000:]
