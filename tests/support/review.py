"""A review on a database that holds inspections, with an outbox that keeps what it is given."""

from dataclasses import dataclass, field

from qc_dashboard.database.database import Database
from qc_dashboard.history.writing import HistoryWriter, Step
from qc_dashboard.review.desk import ReviewDesk
from qc_dashboard.review.expiring import QueueExpiry
from qc_dashboard.review.filling import QueueFiller
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.nearest import GoodSamples
from qc_dashboard.review.queue import ReviewQueue
from qc_dashboard.review.recent import RecentWords
from qc_dashboard.review.review import Review, ReviewParts
from qc_dashboard.review.sending import WordSender
from qc_dashboard.review.statistics import ReviewStatistics
from qc_worker.domain.feedback import Feedback
from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import Inspection
from qc_worker.ports.feeds import PublishedFeedback
from qc_worker.transport.memory.books import MemoryBooks
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.memory.feedback import MemoryFeedbackOutbox
from qc_worker.wire.json_types import decode_feedback, encode_feedback
from tests.support.factories import ManualClock
from tests.support.published import RESULTS, places, published

FEEDBACK = "feedback"
LEASE_S = 60.0


@dataclass(slots=True)
class ReviewRig:
    """Queue, desk, filler and sender on one database, with a clock that stands still."""

    database: Database
    pass_share: float = 0.0
    clock: ManualClock = field(default_factory=ManualClock)
    broker: MemoryBroker = field(default_factory=lambda: MemoryBroker(partitions=1))
    inspected: int = 0
    heard: int = 0

    @property
    def queue(self) -> ReviewQueue:
        return ReviewQueue(self.database, self.clock, lease_s=LEASE_S)

    @property
    def kinds(self) -> LineKinds:
        return LineKinds(self.database, ("scratch", "dent"))

    @property
    def desk(self) -> ReviewDesk:
        return ReviewDesk(self.database, self.clock, self.kinds, lease_s=LEASE_S)

    @property
    def filler(self) -> QueueFiller:
        return QueueFiller(self.database, results_topic=RESULTS, feedback_topic=FEEDBACK, pass_share=self.pass_share)

    @property
    def sender(self) -> WordSender:
        return WordSender(self.database, MemoryFeedbackOutbox(self.broker, topic=FEEDBACK), self.clock)

    @property
    def expiry(self) -> QueueExpiry:
        return QueueExpiry(self.database, self.queue, self.clock, oldest=MemoryBooks(self.broker).oldest)

    @property
    def review(self) -> Review:
        return Review(
            ReviewParts(
                self.queue,
                self.desk,
                self.kinds,
                ReviewStatistics(self.database),
                self.filler,
                self.sender,
                self.expiry,
                GoodSamples(self.database),
                RecentWords(self.database),
            )
        )

    def inspect(self, *inspections: Inspection) -> None:
        """Have these in the history too, and offer what is to be offered of them."""
        batch = [published(one, self.inspected + offset) for offset, one in enumerate(inspections)]
        before = places(self.inspected) if self.inspected else {}
        self.inspected += len(batch)
        HistoryWriter(self.database).add_inspections(batch, Step(before, places(self.inspected)))
        self.fill()

    def fill(self) -> None:
        filler = self.filler
        while filler.step():
            pass

    def sent(self) -> list[Feedback]:
        """Send what waits, and return all that is on the topic."""
        while self.sender.step():
            pass
        return self.topic()

    def topic(self) -> list[Feedback]:
        return [decode_feedback(record.content) for record in self.broker.read_all(Partition(FEEDBACK, 0), 0)]

    def hear(self, *feedback: Feedback) -> None:
        """Have feedback in the history, as the projection of its topic brings it."""
        if not feedback:
            return
        batch = [
            PublishedFeedback(one, Position(FEEDBACK, 0, self.heard + offset), encode_feedback(one))
            for offset, one in enumerate(feedback)
        ]
        partition = Partition(FEEDBACK, 0)
        before = {partition: self.heard} if self.heard else {}
        self.heard += len(batch)
        HistoryWriter(self.database).add_feedback(batch, Step(before, {partition: self.heard}))
