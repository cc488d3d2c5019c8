"""List what was said lately at one page, and if it has been sent."""

from dataclasses import dataclass

from sqlalchemy import select

from qc_dashboard.database.database import Database
from qc_dashboard.review.stored_words import stored
from qc_dashboard.review.tables import words
from qc_dashboard.review.wanted import Reviewer, Said


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, and what became of it."""

    said: Said
    undone: bool
    """True if its author has taken it back."""


class RecentWords:
    """Answers from the table of words. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, reviewer: Reviewer, *, count: int) -> list[SpokenWord]:
        """Return the session's last words, newest first; those that take others back are left out."""
        query = select(words).where(words.c.session == reviewer.session, words.c.undoes.is_(None))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(words.c.id.desc()).limit(count))
            return [SpokenWord(stored(row), row.undone) for row in rows]
