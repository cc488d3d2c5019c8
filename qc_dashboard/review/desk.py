"""Take people's words on frames: what is said, its message for `feedback` and the queue change in one transaction.

The message is sent after it, by `qc_dashboard.review.sending`, until it is acknowledged. It is identified by frame,
time and person, and a repetition has the same bytes, so that sending it twice changes nothing.
"""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, and_, insert, select, update

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import at, columns_of
from qc_dashboard.history.conditions import at as inspected_at
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.tables import feedback, inspections
from qc_dashboard.history.times import from_us, to_us
from qc_dashboard.review.candidates import can_be_judged
from qc_dashboard.review.kinds import LineKinds
from qc_dashboard.review.last_words import newest_us
from qc_dashboard.review.queue import LEASE_S
from qc_dashboard.review.stored_words import feedback_of, last_of_session, said_of
from qc_dashboard.review.tables import queue, words
from qc_dashboard.review.wanted import CannotUndo, LeaseLost, Reviewer, Said, UnknownFrame, Word, WordRefused
from qc_worker.domain.feedback import Feedback, Judgement
from qc_worker.domain.frame import Position
from qc_worker.ports.clock import Clock
from qc_worker.runtime.failpoints import failpoint
from qc_worker.wire.json_types import decode_feedback, encode_feedback

AHEAD_US = 3600 * 1_000_000
"""A word on `feedback` from the future counts as a wrong clock if it is further ahead than this."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What a word is said in: by whom, from which lease on, and which word it takes back."""

    reviewer: Reviewer
    leased_us: int | None = None
    undoes: int | None = None


class ReviewDesk:
    """Takes words. Every method may raise DatabaseAway, and then nothing was said."""

    def __init__(self, database: Database, clock: Clock, kinds: LineKinds, *, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._clock = clock
        self._kinds = kinds
        self._lease_us = round(lease_s * 1_000_000)

    def judge(self, reviewer: Reviewer, source: Position, word: Word) -> Said:
        """Say a word on a frame that is leased to the session. Raises LeaseLost, WordRefused.

        A repeated call, as after a lost answer, returns what was said the first time.
        """
        with self._database.writing() as connection:
            row = _queued(connection, source)
            if row is None or row.session != reviewer.session:
                return _said_before(connection, reviewer, source, word)
            said = self._say(connection, source, word, _Context(reviewer, leased_us=row.leased_us))
            failpoint("in-judgement")
        failpoint("after-judgement")
        return said

    def say(self, reviewer: Reviewer, source: Position, word: Word) -> Said:
        """Say a word on any frame of the history, leased or not. Raises UnknownFrame, WordRefused."""
        with self._database.writing() as connection:
            _queued(connection, source)
            return self._say(connection, source, word, _Context(reviewer))

    def undo(self, reviewer: Reviewer) -> Said:
        """Take back the session's last word, lease the frame to it again, and return what is said instead.

        That is the word which counted before, now in this person's name, or `unsure`, which withdraws the frame.
        Repeated calls go further back. Raises CannotUndo.
        """
        now_us = to_us(self._clock.now())
        with self._database.writing() as connection:
            last = last_of_session(connection, reviewer.session)
            if last is None:
                raise CannotUndo("there is nothing to undo in this session")
            row = _queued(connection, last.source)
            if newest_us(connection, last.source) != _counts_as(connection, last, reviewer.session):
                raise CannotUndo(f"somebody else has judged {last.source} since")
            if row is not None and row.session not in {None, reviewer.session} and row.leased_until_us > now_us:
                raise CannotUndo(f"somebody else has {last.source} at the moment")
            earlier = _before(connection, last)
            said = self._say(
                connection, last.source, earlier or Word(Judgement.UNSURE), _Context(reviewer, undoes=last.id)
            )
            connection.execute(update(words).where(words.c.id == last.id).values(undone=True))
            lease = {"session": reviewer.session, "leased_us": now_us, "leased_until_us": now_us + self._lease_us}
            state = {**lease, "said": None if earlier is None else earlier.verdict.value}
            connection.execute(update(queue).where(at(queue, last.source)).values(state))
        return said

    def _say(self, connection: Connection, source: Position, word: Word, context: _Context) -> Said:
        """Store the word and its message, and take the frame out of the queue."""
        said = self._feedback(connection, source, word, context.reviewer)
        accepted_us = to_us(said.accepted_at)
        row = {
            **columns_of(source),
            "line": said.line,
            "session": context.reviewer.session,
            "accepted_us": accepted_us,
            "accepted_by": said.accepted_by,
            "verdict": said.verdict.value,
            "document": encode_feedback(said).decode(),
            "looked_us": None if context.leased_us is None else max(0, accepted_us - context.leased_us),
            "undoes": context.undoes,
            "undone": False,
        }
        new_id = connection.execute(insert(words).values(row).returning(words.c.id)).scalar_one()
        state = {"said": said.verdict.value, "said_us": accepted_us}
        ended = {"session": None, "leased_us": None, "leased_until_us": None}
        connection.execute(update(queue).where(at(queue, source)).values({**state, **ended}))
        return said_of(new_id, said, sent=False)

    def _feedback(self, connection: Connection, source: Position, word: Word, reviewer: Reviewer) -> Feedback:
        """Make the message, later than every word on the frame. Raises UnknownFrame, WordRefused."""
        row = connection.execute(select(inspections).where(inspected_at(source))).one_or_none()
        if row is None or not can_be_judged(row.line, row.frame_id):
            raise UnknownFrame(f"the history has no frame {str(source)[:300]} that could be judged")
        now_us, newest = to_us(self._clock.now()), newest_us(connection, source)
        accepted_us = max(now_us, newest + 1) if newest < now_us + AHEAD_US else now_us
        said = Feedback(
            line=row.line,
            frame_id=row.frame_id,
            source=source,
            verdict=word.verdict,
            accepted_by=reviewer.person,
            accepted_at=from_us(accepted_us),
            model_version=row.model_version,
            kind=word.kind,
            boxes=word.boxes,
        )
        return self._checked(connection, said)

    def _checked(self, connection: Connection, said: Feedback) -> Feedback:
        try:
            checked = decode_feedback(encode_feedback(said))
        except ValueError:
            # A version that no name can be is of a foreign worker; the word counts without it.
            try:
                checked = decode_feedback(encode_feedback(replace(said, model_version=None)))
            except ValueError as error:
                raise WordRefused(str(error)) from None
        self._kinds.check(connection, checked.line, checked.kind)
        return checked


def _queued(connection: Connection, source: Position) -> Row[Any] | None:
    """Return the frame's row of the queue, which nobody changes until this transaction ends; None: not offered."""
    if not can_be_stored(source):
        return None
    return connection.execute(select(queue).where(at(queue, source)).with_for_update()).one_or_none()


def _said_before(connection: Connection, reviewer: Reviewer, source: Position, word: Word) -> Said:
    last = last_of_session(connection, reviewer.session)
    if last is not None and (last.source, last.word) == (source, word):
        return last
    raise LeaseLost(f"{str(source)[:300]} is not leased to this session any more")


def _counts_as(connection: Connection, said: Said, session: str) -> int:
    """Return the time of the session's newest word that repeats this one: itself, or one that took back a later one."""
    later = (at(words, said.source), words.c.id > said.id, words.c.session == session)
    times: list[int] = list(connection.scalars(select(words.c.accepted_us).where(*later)))
    return max([said.accepted_us, *times])


def _before(connection: Connection, said: Said) -> Word | None:
    """Return the word that counted before this one; None if there was none."""
    ours = select(words.c.accepted_us, words.c.document).where(
        at(words, said.source), words.c.id < said.id, words.c.undoes.is_(None), words.c.undone.is_(False)
    )
    from_here = and_(
        at(words, said.source),
        words.c.accepted_us == feedback.c.accepted_us,
        words.c.accepted_by == feedback.c.accepted_by,
    )
    others = select(feedback.c.accepted_us, feedback.c.document).where(
        at(feedback, said.source),
        feedback.c.accepted_us < said.accepted_us,
        ~select(words.c.id).where(from_here).correlate(feedback).exists(),
    )
    found = [*connection.execute(ours), *connection.execute(others)]
    if not found:
        return None
    document: str = max(found, key=lambda row: row.accepted_us).document
    return feedback_of(document)[1]
