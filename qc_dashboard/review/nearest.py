"""Find the good frames that look most like a frame: among archived ones of its line, its camera's first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, select, true

from qc_dashboard.archive.looks import distances
from qc_dashboard.archive.tables import looks
from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE, at, same_frame
from qc_dashboard.history.rows import can_be_stored
from qc_dashboard.history.tables import feedback
from qc_dashboard.review.tables import words
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Verdict

MOST_PASSES, MOST_WORDS = 2_000, 1_000
"""Frames that are compared: the newest that passed, and those that people called good last."""
MOST_ASKED = 60
"""Frames of which the last word is looked up, most alike first."""


@dataclass(frozen=True, slots=True)
class Near:
    """A good frame, and how far its look is from the one that was compared."""

    source: Position
    distance: float
    is_judged: bool
    """True if a person called it good; else the model passed it, and nobody has objected."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a frame is compared with."""

    line: str
    camera: str | None
    besides: Position
    """The frame itself, which is left out."""


class GoodSamples:
    """Compares looks of archived frames. Every method may raise DatabaseAway."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self, source: Position) -> bytes | None:
        """Return how an archived frame looks; None if it is not archived."""
        if not can_be_stored(source):
            return None
        with self._database.reading() as connection:
            return connection.scalar(select(looks.c.look).where(at(looks, source)))

    def nearest(self, look: bytes, compared: Compared, *, count: int) -> list[Near]:
        """Return the good frames that look most like it, those of its camera before all others."""
        same_camera = looks.c.camera.is_not_distinct_from(compared.camera)
        found: list[Near] = []
        with self._database.reading() as connection:
            for condition in (same_camera, true()):
                if len(found) < count:
                    known = {near.source for near in found} | {compared.besides}
                    candidates = _candidates(connection, compared.line, condition)
                    others = {source: other for source, other in candidates if source not in known}
                    found += _good(connection, look, others, count=count - len(found))
        return found


def _candidates(connection: Connection, line: str, condition: ColumnElement[bool]) -> Iterator[tuple[Position, bytes]]:
    columns = [*(looks.c[name] for name in SOURCE), looks.c.look]
    here = select(*columns).where(looks.c.line == line, condition)
    passes = here.where(looks.c.verdict == Verdict.PASS.value)
    yield from _rows(connection, passes.order_by(looks.c.taken_us.desc()).limit(MOST_PASSES))
    for table in (feedback, words):
        newest = select(table).where(table.c.line == line).order_by(table.c.accepted_us.desc()).limit(MOST_WORDS)
        said = newest.subquery()
        yield from _rows(connection, here.join(said, same_frame(looks, said)).where(said.c.verdict == Judgement.GOOD))


def _rows(connection: Connection, query: Select[Any]) -> Iterator[tuple[Position, bytes]]:
    for topic, partition, offset, look in connection.execute(query):
        yield Position(topic, partition, offset), look


def _good(connection: Connection, look: bytes, others: dict[Position, bytes], *, count: int) -> list[Near]:
    """Go through the others, most alike first, until enough are good by the last word on them."""
    found: list[Near] = []
    far = map(float, distances(look, list(others.values())))
    ranked = sorted(zip(far, others, strict=True))
    for distance, source in ranked[:MOST_ASKED]:
        word = _last_word(connection, source)
        if word in {None, Judgement.GOOD}:
            found.append(Near(source, distance, is_judged=word is not None))
        if len(found) == count:
            break
    return found


def _last_word(connection: Connection, source: Position) -> str | None:
    """Return the last verdict of a person on the frame; None if nobody has judged it."""
    newest = [row for table in (words, feedback) if (row := _newest(connection, table, source)) is not None]
    return max(newest)[2] if newest else None


def _newest(connection: Connection, table: Table, source: Position) -> tuple[int, str, str] | None:
    by = (table.c.accepted_us, table.c.accepted_by)
    query = select(*by, table.c.verdict).where(at(table, source)).order_by(*(column.desc() for column in by)).limit(1)
    row = connection.execute(query).one_or_none()
    return None if row is None else (row[0], row[1], row[2])
