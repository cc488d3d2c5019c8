"""The review of one dashboard: queue, desk, kinds and statistics, and the threads that fill, send and clear."""

from dataclasses import dataclass

from qc_dashboard.review.desk import ReviewDesk
from qc_dashboard.review.expiring import QueueExpiry
from qc_dashboard.review.filling import QueueFiller
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.nearest import GoodSamples
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.recent import RecentWords
from qc_dashboard.review.repeating import Repeating
from qc_dashboard.review.sending import WordSender
from qc_dashboard.review.statistics import ReviewStatistics
from qc_dashboard.review.wanted import Reviewer, Said, Word
from qc_worker.domain.frame import Position

EXPIRY_S = 60.0


@dataclass(frozen=True, slots=True)
class ReviewParts:
    """What a review is made of."""

    queue: ReviewQueue
    desk: ReviewDesk
    kinds: LineKinds
    statistics: ReviewStatistics
    filler: QueueFiller
    sender: WordSender
    expiry: QueueExpiry
    samples: GoodSamples
    recent: RecentWords


class Review:
    """What pages and API use. Methods may raise DatabaseAway, then nothing has changed, and ReviewError."""

    def __init__(self, parts: ReviewParts) -> None:
        self.queue = parts.queue
        self.kinds = parts.kinds
        self.statistics = parts.statistics
        self.samples = parts.samples
        self.recent = parts.recent
        self._desk = parts.desk
        self._sender = parts.sender
        self._filling = Repeating("review-queue", parts.filler.step)
        self._sending = Repeating("review-words", parts.sender.step)
        self._expiring = Repeating("review-expiry", parts.expiry.step, idle_s=EXPIRY_S, retry_s=EXPIRY_S)

    def judge(self, reviewer: Reviewer, source: Position, word: Word) -> Said:
        """Say a word on a leased frame, see `ReviewDesk.judge`."""
        return self._sent(self._desk.judge(reviewer, source, word))

    def say(self, reviewer: Reviewer, source: Position, word: Word) -> Said:
        """Say a word on any frame, see `ReviewDesk.say`."""
        return self._sent(self._desk.say(reviewer, source, word))

    def undo(self, reviewer: Reviewer) -> Said:
        """Take back the session's last word, see `ReviewDesk.undo`."""
        return self._sent(self._desk.undo(reviewer))

    def unsent(self) -> int:
        """Count the words that have not reached `feedback` yet."""
        return self._sender.unsent()

    def history_grew(self) -> None:
        """Look for new frames at once; never waits."""
        self._filling.wake()

    def start(self) -> None:
        """Start the threads."""
        self._filling.start()
        self._sending.start()
        self._expiring.start()

    def close(self) -> None:
        """Stop the threads; what is not sent is sent after the next start."""
        self._filling.close()
        self._expiring.close()
        if self._sending.close():
            self._sender.close()

    def _sent(self, said: Said) -> Said:
        self._sending.wake()
        return said
