"""The inspection that was published of one frame."""

from qc_worker.audit.accountant import CLOCK_SLACK
from qc_worker.audit.progress import NO_PROGRESS, Progress
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Record
from qc_worker.domain.inspection import Inspection
from qc_worker.ports.books import Books
from qc_worker.wire.json_types import decode_inspection


def recorded_inspection(
    books: Books, results_topic: str, frame: Record, *, progress: Progress = NO_PROGRESS
) -> Inspection | None:
    """Find the frame's first inspection, which is the one that counts; None if there is none, or no longer.

    Raises TransportError, SettingsError if the inspection is unreadable.
    """
    published = _inspection_record(books, results_topic, frame, progress)
    if published is None:
        # A transaction that is still open may have hidden it.
        with progress.waiting(f"waiting for open transactions on {results_topic}"):
            books.await_readable(results_topic)
        published = _inspection_record(books, results_topic, frame, progress)
    return None if published is None else _decoded(published)


def _inspection_record(books: Books, topic: str, frame: Record, progress: Progress) -> Record | None:
    wanted = ("ce_id", str(frame.position).encode())
    starts, ends = books.at(topic, frame.appended_at - CLOCK_SLACK), books.ends(topic)
    total = sum(ends[partition] - start for partition, start in starts.items())
    for published in progress.reading(books.read(starts), f"searching {topic}", total=total):
        if wanted in published.headers:
            return published
    return None


def _decoded(published: Record) -> Inspection:
    try:
        return decode_inspection(published.content)
    except ValueError as error:
        raise SettingsError(f"the inspection at {published.position} is unreadable: {error}") from None
