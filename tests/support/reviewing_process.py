"""A process that judges what it can claim: `python -m tests.support.reviewing_process URL SESSION [FAILPOINTS]`.

It prints the offset of each frame that it was given, after a line `ready`, and starts when its stdin is closed.
"""

import sys
from contextlib import closing

from qc_dashboard.database.database import open_database
from qc_dashboard.review.desk import ReviewDesk
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.wanted import Reviewer, Wanted, Word
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.runtime.clock import SystemClock
from qc_worker.runtime.failpoints import arm

WORDS = (Word(Judgement.GOOD), Word(Judgement.DEFECT, "dent"), Word(Judgement.UNSURE))


def main(url: str, session: str, failpoints: str = "") -> None:
    arm(failpoints)
    clock, reviewer = SystemClock(), Reviewer(session, session)
    with closing(open_database(url)) as database:
        queue, desk = ReviewQueue(database, clock), ReviewDesk(database, clock, LineKinds(database, ("dent",)))
        print("ready", flush=True)  # noqa: T201
        sys.stdin.read()
        while claimed := queue.claim(reviewer, Wanted(), count=2):
            for leased in claimed:
                print(leased.source.offset, flush=True)  # noqa: T201
            desk.judge(reviewer, claimed[0].source, word_on(claimed[0].source))


def word_on(source: Position) -> Word:
    """Return what this process says about that frame."""
    return WORDS[source.offset % len(WORDS)]


if __name__ == "__main__":
    main(*sys.argv[1:])
