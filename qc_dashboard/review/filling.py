"""Fill the queue from the history, and take out what other programs have judged.

The place up to which `results` was looked at is stored with the rows, so that no frame is offered twice or forgotten,
whenever the process dies.
"""

from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from qc_dashboard.database.database import Database
from qc_dashboard.database.frames import SOURCE, same_frame
from qc_dashboard.database.inserting import insert_new
from qc_dashboard.database.places import places_of, set_places
from qc_dashboard.history.tables import consumed, feedback, inspections
from qc_dashboard.review.candidates import queue_row
from qc_dashboard.review.tables import places, queue
from qc_worker.domain.frame import Partition

LOOKED_AT_ONCE = 5_000
COLUMNS = (*SOURCE, "line", "frame_id", "verdict", "taken_us", "score", "threshold", "results_offset")


class QueueFiller:
    """Fills the queue; several processes may do it at once."""

    def __init__(self, database: Database, *, results_topic: str, feedback_topic: str, pass_share: float) -> None:
        self._database = database
        self._results = results_topic
        self._feedback = feedback_topic
        self._pass_share = pass_share
        self._heard: dict[Partition, int] = {}

    def step(self) -> bool:
        """Look at the next inspections of each partition and at new feedback; False if there were none.

        Raises DatabaseAway.
        """
        with self._database.reading() as connection:
            ends, done = places_of(connection, consumed, self._results), places_of(connection, places, self._results)
            heard = places_of(connection, consumed, self._feedback)
        # A topic that was created again starts at 0: what is offered already is not offered twice.
        starts = {p: done[p] if done.get(p, end + 1) <= end else 0 for p, end in ends.items()}
        behind = {p: end for p, end in ends.items() if starts[p] < end}
        for partition, end in behind.items():
            self._offer(partition, starts[partition], end)
        new_words = heard != self._heard
        if new_words or behind:
            self._settle()
            self._heard = heard
        return bool(behind) or new_words

    def _offer(self, partition: Partition, start: int, end: int) -> None:
        with self._database.reading() as connection:
            found = _inspections(connection, partition, start, end)
        rows = [queue_row(one, pass_share=self._pass_share) for one in found]
        offered = [row for row in rows if row is not None]
        after = end if len(found) < LOOKED_AT_ONCE else found[-1].results_offset + 1
        with self._database.writing() as connection:
            insert_new(connection, queue, offered)
            set_places(connection, places, {partition: after})

    def _settle(self) -> None:
        """Note on open frames the last word of `feedback`, if it is newer than what was said here."""
        newest = (
            select(*(feedback.c[name] for name in SOURCE), func.max(feedback.c.accepted_us).label("accepted_us"))
            .join(queue, same_frame(feedback, queue))
            .where(feedback.c.accepted_us > queue.c.said_us)
            .group_by(*(feedback.c[name] for name in SOURCE))
        )
        with self._database.reading() as connection:
            overtaken = connection.execute(newest).all()
        for start in range(0, len(overtaken), LOOKED_AT_ONCE):
            with self._database.writing() as connection:
                for row in overtaken[start : start + LOOKED_AT_ONCE]:
                    _note(connection, row)


def _inspections(connection: Connection, partition: Partition, start: int, end: int) -> list[Row[Any]]:
    row = inspections.c
    query = select(*(row[name] for name in COLUMNS)).where(
        row.results_partition == partition.partition, row.results_offset >= start, row.results_offset < end
    )
    return list(connection.execute(query.order_by(row.results_offset).limit(LOOKED_AT_ONCE)))


def _note(connection: Connection, newest: Any) -> None:
    heard, row = feedback.c, queue.c
    here = [row[name] == newest[index] for index, name in enumerate(SOURCE)]
    same = [heard[name] == newest[index] for index, name in enumerate(SOURCE)]
    last = select(heard.verdict).where(*same, heard.accepted_us == newest.accepted_us)
    verdict = connection.scalar(last.order_by(heard.accepted_by.desc()).limit(1))
    state = {"said": verdict, "said_us": newest.accepted_us}
    ended = {"session": None, "leased_us": None, "leased_until_us": None}
    connection.execute(update(queue).where(*here, row.said_us < newest.accepted_us).values({**state, **ended}))
