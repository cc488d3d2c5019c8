"""Send what people said to `feedback`: stored with the word, sent after it, and again after a crash."""

from sqlalchemy import func, select, update

from qc_dashboard.database.database import Database
from qc_dashboard.history.times import to_us
from qc_dashboard.review.stored_words import feedback_of
from qc_dashboard.review.tables import words
from qc_worker.ports.clock import Clock
from qc_worker.ports.feedback import FeedbackOutbox
from qc_worker.runtime.failpoints import failpoint

SENT_AT_ONCE = 100


class WordSender:
    """Sends stored words, oldest first. At least once: a word that is sent twice has the same bytes both times."""

    def __init__(self, database: Database, outbox: FeedbackOutbox, clock: Clock) -> None:
        self._database = database
        self._outbox = outbox
        self._clock = clock

    def step(self) -> bool:
        """Send the next words; False if there were none. Raises TransportError: what was not sent stays stored."""
        query = select(words.c.id, words.c.document).where(words.c.sent_us.is_(None))
        with self._database.reading() as connection:
            waiting = connection.execute(query.order_by(words.c.id).limit(SENT_AT_ONCE)).all()
        for word_id, document in waiting:
            self._outbox.send(feedback_of(document)[0])
            failpoint("after-word-sent")
            with self._database.writing() as connection:
                sent = {"sent_us": to_us(self._clock.now())}
                connection.execute(update(words).where(words.c.id == word_id).values(sent))
        return bool(waiting)

    def unsent(self) -> int:
        """Count the words that are still to be sent."""
        query = select(func.count()).select_from(words).where(words.c.sent_us.is_(None))
        with self._database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def close(self) -> None:
        """Disconnect."""
        self._outbox.close()
