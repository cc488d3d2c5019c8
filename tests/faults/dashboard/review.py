"""The review dies at each step of a judgement, and between sending a word and noting that it was sent."""

import signal
import subprocess
import sys
from collections import Counter

from sqlalchemy import ColumnElement, Table, func, select

from qc_dashboard.history.tables import feedback
from qc_dashboard.review.tables import queue, words
from qc_dashboard.review.wanted import Word
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.inspection import Verdict
from qc_worker.runtime.failpoints import REVIEW_PLACES
from qc_worker.wire.json_types import decode_feedback
from tests.faults.dashboard.fault import CATCHES_UP_S, DEATH_S, DashboardFault, buried
from tests.faults.site import Site
from tests.support.dashboard import DashboardProcess
from tests.support.databases import migrated
from tests.support.reviewing_process import word_on

*JUDGING, SENDING = REVIEW_PLACES
OFFERED = frozenset({Verdict.REJECT, Verdict.REVIEW})
SESSION = "page-1"
SOME = 20


class KilledReview(DashboardFault):
    """A reviewer's process judges what the dashboard offers, and the dashboard sends it; both are killed."""

    def run(self, site: Site) -> None:
        self.open_database(site)
        site.ready_worker()
        site.send()
        killed = self._dashboard(site, QC_FAILPOINTS=f"{SENDING}=3")
        site.until(lambda: "dashboard started" in killed.log())
        site.until(lambda: self._count(queue) >= SOME)
        for place in JUDGING:
            self._review(f"{place}=5", expect=-signal.SIGKILL)
        buried(killed)
        self._dashboard(site)

    def proof(self, site: Site) -> None:
        self.counted(site)
        offered = [one.source for one in site.verdicts.so_far() if one.verdict in OFFERED]
        site.until(lambda: self._count(queue) == len(offered))
        self._review()
        site.until(lambda: self._count(words, words.c.sent_us.is_(None)) == 0, timeout_s=CATCHES_UP_S)
        said, sent = self._said(), Counter(record.content.decode() for record in site.plant.records("feedback"))
        assert set(sent) == set(said), "what was sent is not what was said"
        assert sent.total() == len(said) + 1, "the word that was sent before the death was not sent once more"
        judged = [decode_feedback(document.encode()) for document in sent]
        assert Counter(one.source for one in judged) == Counter(offered)
        assert [_word(one) for one in judged] == [word_on(one.source) for one in judged]
        site.until(lambda: self._count(feedback) == len(said), timeout_s=CATCHES_UP_S)

    def _dashboard(self, site: Site, **environment: str) -> DashboardProcess:
        return self.dashboard(site, QC_REVIEW_PASS_SHARE="0", **environment)

    def _review(self, failpoints: str = "", *, expect: int = 0) -> None:
        """Judge until there is nothing left."""
        command = [sys.executable, "-m", "tests.support.reviewing_process", self.url, SESSION, failpoints]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=DEATH_S, check=False)
        assert done.returncode == expect, done.stderr.decode()[-2000:]

    def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        query = select(func.count()).select_from(table).where(*conditions)
        with migrated(self.url) as database, database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _said(self) -> list[str]:
        with migrated(self.url) as database, database.reading() as connection:
            return list(connection.scalars(select(words.c.document)))


def _word(said: Feedback) -> Word:
    return Word(said.verdict, said.kind, said.boxes)
