"""The account: prove from the topics themselves that every frame has exactly one inspection."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from qc_worker.audit.entries import inspection_entry, letter_entry
from qc_worker.audit.ledger import Balance, Ledger
from qc_worker.audit.progress import NO_PROGRESS, Progress
from qc_worker.audit.removed import RemovedFrames
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.ports.books import Books
from qc_worker.wire.images import claimed_line

CLOCK_SLACK = timedelta(minutes=5)
"""How far a camera's clock may be ahead of the brokers': its inspections then seem older than their frames."""
MAX_FRAMES = 1 << 29
"""The ledger takes a byte for each."""


@dataclass(frozen=True, slots=True)
class AuditedTopics:
    """Names of the topics that an account is made of."""

    images: str
    results: str
    dead_letters: str


@dataclass(frozen=True, slots=True)
class Account:
    """The balance, its scope, and notes on what limits it."""

    group: str
    since: datetime | None
    line: str | None
    balance: Balance
    notes: tuple[str, ...]


class Accountant:
    """Reads `images`, `results` and `images.dlq` once each."""

    def __init__(
        self,
        books: Books,
        topics: AuditedTopics,
        *,
        group: str,
        line: str | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> None:
        """`group`: the workers' consumer group; `line`: count frames of this production line only."""
        self._books = books
        self._topics = topics
        self._group = group
        self._line = line
        self._progress = progress
        self._notes: list[str] = []

    def account(self, since: datetime | None = None) -> Account:
        """Account for the frames from `since` on, or from where they can be proven.

        Raises TransportError, SettingsError if the group has no committed offsets or the frames are too many.
        """
        topics, books = self._topics, self._books
        # Before all else: what is committed now has its inspections on `results` by the time that is read.
        committed = books.committed(topics.images, self._group)
        oldest, newest = books.oldest(topics.images), books.ends(topics.images)
        self._check_group(committed, frames=oldest != newest)
        self._await_readable()
        starts = self._starts(since, oldest)
        ledger, removed = Ledger(starts, self._settled(starts, committed, newest)), RemovedFrames(oldest)
        self._add_committed_past_ends(ledger, committed, newest)
        self._add_frames(ledger, removed, starts)
        self._add_inspections(ledger, removed, since)
        for partition, first, end in removed.unjudged(committed):
            ledger.add_expired(partition, first, end)
        self._add_dead_letters(ledger, since)
        balance = ledger.balance(oldest=books.oldest(topics.images), newest=books.ends(topics.images))
        return Account(group=self._group, since=since, line=self._line, balance=balance, notes=tuple(self._notes))

    def _check_group(self, committed: Offsets, *, frames: bool) -> None:
        """Raise SettingsError if nothing can be proven: without committed offsets every account would look clean."""
        if committed:
            return
        nothing = f"group {self._group!r} has no committed offsets on {self._topics.images}"
        if frames:
            raise SettingsError(f"{nothing}: check --group, which names the workers' consumer group")
        self._notes.append(nothing)

    def _await_readable(self) -> None:
        # Committed offsets can be seen before the inspections of their transaction, or behind another's that hangs.
        for topic in (self._topics.results, self._topics.dead_letters):
            with self._progress.waiting(f"waiting for open transactions on {topic}"):
                self._books.await_readable(topic)

    def _starts(self, since: datetime | None, oldest: Offsets) -> Offsets:
        """Find the first frames to prove: from `since` on, and not older than the oldest inspections left."""
        images, books = self._topics.images, self._books
        starts = books.at(images, since) if since else oldest
        removed_until = max(books.oldest_times(self._topics.results).values(), default=None)
        self._note_emptied()
        if removed_until is None:
            return starts
        provable = books.at(images, removed_until + timedelta(milliseconds=1))
        if any(provable[partition] > start for partition, start in starts.items()):
            self._notes.append(
                f"retention has removed inspections older than {removed_until.isoformat(timespec='seconds')}: "
                "frames before that cannot be proven, and the account starts there"
            )
        return {partition: max(start, provable[partition]) for partition, start in starts.items()}

    def _settled(self, starts: Offsets, committed: Offsets, ends: Offsets) -> Offsets:
        """Find where the frames end that must have their inspections: at the group's committed offsets."""
        settled = {
            partition: min(committed.get(partition, start), ends.get(partition, start))
            for partition, start in starts.items()
        }
        frames = sum(max(0, settled[partition] - start) for partition, start in starts.items())
        if frames > MAX_FRAMES:
            raise SettingsError(
                f"{frames} frames are more than one account can hold ({MAX_FRAMES}): give a later --since"
            )
        return settled

    def _add_committed_past_ends(self, ledger: Ledger, committed: Offsets, ends: Offsets) -> None:
        for partition, offset in sorted(committed.items()):
            if offset > ends[partition]:
                ledger.add_committed_past_end(Position(*partition, offset))

    def _add_frames(self, ledger: Ledger, removed: RemovedFrames, starts: Offsets) -> None:
        for record in self._read(self._topics.images, starts):
            ledger.add_frame(record.position, selected=self._line in {None, claimed_line(record)})
            removed.add_frame(record.position)

    def _add_inspections(self, ledger: Ledger, removed: RemovedFrames, since: datetime | None) -> None:
        topic = self._topics.results
        # A letter that retention has removed is not missing.
        letters_from = max(self._books.oldest_times(self._topics.dead_letters).values(), default=None)
        kept_from = self._kept_from(since)
        for record in self._read(topic, self._from(topic, since)):
            try:
                entry = inspection_entry(record, letters_from=letters_from, kept_from=kept_from)
            except ValueError:
                ledger.add_unreadable(record.position)
            else:
                ledger.add_inspection(entry)
                removed.add_inspection(entry)

    def _add_dead_letters(self, ledger: Ledger, since: datetime | None) -> None:
        topic = self._topics.dead_letters
        for record in self._read(topic, self._from(topic, since)):
            try:
                ledger.add_dead_letter(letter_entry(record))
            except ValueError:
                ledger.add_unreadable(record.position)

    def _kept_from(self, since: datetime | None) -> datetime | None:
        """Find the time before which inspections may be gone, or are not read; None: all are there, and read."""
        if self._emptied():
            return datetime.max.replace(tzinfo=UTC)  # how young the removed ones were is unknown
        times = list(self._books.oldest_times(self._topics.results).values())
        if since is not None:
            times.append(since - CLOCK_SLACK)
        return max(times, default=None)

    def _from(self, topic: str, since: datetime | None) -> Offsets:
        return self._books.at(topic, since - CLOCK_SLACK) if since else self._books.oldest(topic)

    def _read(self, topic: str, starts: Offsets) -> Iterable[Record]:
        ends = self._books.ends(topic)
        total = sum(ends[partition] - starts[partition] for partition in starts)
        return self._progress.reading(self._books.read(starts), topic, total=total)

    def _note_emptied(self) -> None:
        if emptied := self._emptied():
            self._notes.append(
                f"retention has removed every inspection of {', '.join(map(_named, emptied))}: frames that had theirs "
                "there count as missing, and frames that retention removed before they were judged look the same"
            )

    def _emptied(self) -> list[Partition]:
        topic = self._topics.results
        oldest, ends = self._books.oldest(topic), self._books.ends(topic)
        return [partition for partition, first in sorted(oldest.items()) if 0 < first == ends[partition]]


def _named(partition: Partition) -> str:
    return f"{partition.topic}:{partition.partition}"
