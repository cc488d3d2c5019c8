"""`qc-worker account`: prove from the topics themselves that every frame has exactly one inspection."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from qc_worker.audit.entries import inspection_entry, letter_entry
from qc_worker.audit.ledger import Ledger
from qc_worker.audit.removed import RemovedFrames
from qc_worker.commands.account_report import Account, account_document, print_account
from qc_worker.commands.reports import waiting, with_progress
from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets, Partition, Position, Record
from qc_worker.observability.printing import print_json
from qc_worker.settings import Settings
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.wire.headers import parse_time
from qc_worker.wire.images import claimed_line
from qc_worker.wiring.shared import kafka_access

CLOCK_SLACK = timedelta(minutes=5)
"""How far a camera's clock may be ahead of the brokers': its inspections then seem older than their frames."""
MAX_FRAMES = 1 << 29
"""The ledger takes a byte for each."""


def account(settings: Settings, *, since: str | None, line: str | None, as_json: bool) -> int:
    """Keep the books and print them; 1 if they do not balance, else 0. Raises QcError."""
    since_time = _checked(since, line)
    books = KafkaBooks(kafka_access(settings))
    try:
        account = Accountant(settings, books, line=line).account(since_time)
    finally:
        books.close()
    if as_json:
        print_json(account_document(account))
    else:
        print_account(account)
    return int(not account.balance.clean)


class Accountant:
    """Reads `images`, `results` and `images.dlq` once each."""

    def __init__(self, settings: Settings, books: KafkaBooks, *, line: str | None) -> None:
        self._settings = settings
        self._books = books
        self._line = line
        self._notes: list[str] = []

    def account(self, since: datetime | None) -> Account:
        """The books from `since` on, or from where they can be proven."""
        settings, books = self._settings, self._books
        # Before all else: what is committed now has its inspections on `results` by the time that is read.
        committed = books.committed(settings.images_topic, settings.consumer_group)
        oldest, newest = books.oldest(settings.images_topic), books.ends(settings.images_topic)
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
        balance = ledger.balance(oldest=books.oldest(settings.images_topic), newest=books.ends(settings.images_topic))
        return Account(
            group=settings.consumer_group, since=since, line=self._line, balance=balance, notes=tuple(self._notes)
        )

    def _check_group(self, committed: Offsets, *, frames: bool) -> None:
        """Without its offsets nothing would be proven, and look clean."""
        settings = self._settings
        if committed:
            return
        nothing = f"no committed offsets of group {settings.consumer_group!r} on {settings.images_topic}"
        if frames:
            raise SettingsError(f"{nothing}: name the workers' group with --group")
        self._notes.append(nothing)

    def _await_readable(self) -> None:
        # Committed offsets can be seen before the inspections of their transaction, or behind another's that hangs.
        for topic in (self._settings.results_topic, self._settings.dead_letter_topic):
            with waiting(f"waiting for open transactions on {topic}"):
                self._books.await_readable(topic)

    def _starts(self, since: datetime | None, oldest: Offsets) -> Offsets:
        """The first frames to prove: from `since` on, and not older than the oldest inspections left."""
        images, books = self._settings.images_topic, self._books
        starts = books.at(images, since) if since else oldest
        removed_until = max(books.oldest_times(self._settings.results_topic).values(), default=None)
        self._note_emptied()
        if removed_until is None:
            return starts
        provable = books.at(images, removed_until + timedelta(milliseconds=1))
        if any(provable[partition] > start for partition, start in starts.items()):
            self._notes.append(
                f"retention has removed inspections older than {removed_until.isoformat(timespec='seconds')}: "
                "the books before that cannot be proven, and start there"
            )
        return {partition: max(start, provable[partition]) for partition, start in starts.items()}

    def _settled(self, starts: Offsets, committed: Offsets, ends: Offsets) -> Offsets:
        """Where the frames end that must have their inspections: at the group's committed offsets."""
        settled = {
            partition: min(committed.get(partition, start), ends.get(partition, start))
            for partition, start in starts.items()
        }
        frames = sum(max(0, settled[partition] - start) for partition, start in starts.items())
        if frames > MAX_FRAMES:
            raise SettingsError(f"{frames} frames are more than the {MAX_FRAMES} of one account: give a later --since")
        return settled

    def _add_committed_past_ends(self, ledger: Ledger, committed: Offsets, ends: Offsets) -> None:
        for partition, offset in sorted(committed.items()):
            if offset > ends[partition]:
                ledger.add_committed_past_end(Position(*partition, offset))

    def _add_frames(self, ledger: Ledger, removed: RemovedFrames, starts: Offsets) -> None:
        for record in self._read(self._settings.images_topic, starts):
            ledger.add_frame(record.position, selected=self._line in {None, claimed_line(record)})
            removed.add_frame(record.position)

    def _add_inspections(self, ledger: Ledger, removed: RemovedFrames, since: datetime | None) -> None:
        # A letter that retention has removed is not missing.
        letters_from = max(self._books.oldest_times(self._settings.dead_letter_topic).values(), default=None)
        kept_from = self._kept_from(since)
        for record in self._read(self._settings.results_topic, self._from(self._settings.results_topic, since)):
            try:
                entry = inspection_entry(record, letters_from=letters_from, kept_from=kept_from)
            except ValueError:
                ledger.add_unreadable(record.position)
            else:
                ledger.add_inspection(entry)
                removed.add_inspection(entry)

    def _add_dead_letters(self, ledger: Ledger, since: datetime | None) -> None:
        topic = self._settings.dead_letter_topic
        for record in self._read(topic, self._from(topic, since)):
            try:
                ledger.add_dead_letter(letter_entry(record))
            except ValueError:
                ledger.add_unreadable(record.position)

    def _kept_from(self, since: datetime | None) -> datetime | None:
        """Inspections of before that time may be gone, or are not read; None: all are there, and read."""
        if self._emptied():
            return datetime.max.replace(tzinfo=UTC)  # how young they were, nobody knows
        times = list(self._books.oldest_times(self._settings.results_topic).values())
        if since is not None:
            times.append(since - CLOCK_SLACK)
        return max(times, default=None)

    def _from(self, topic: str, since: datetime | None) -> Offsets:
        return self._books.at(topic, since - CLOCK_SLACK) if since else self._books.oldest(topic)

    def _read(self, topic: str, starts: Offsets) -> Iterable[Record]:
        ends = self._books.ends(topic)
        return with_progress(
            self._books.read(starts), topic, total=sum(ends[partition] - starts[partition] for partition in starts)
        )

    def _note_emptied(self) -> None:
        if emptied := self._emptied():
            self._notes.append(
                f"retention has removed every inspection of {', '.join(map(_named, emptied))}: frames that had theirs "
                "there count as missing, and frames that were removed unjudged cannot be told from them"
            )

    def _emptied(self) -> list[Partition]:
        topic = self._settings.results_topic
        oldest, ends = self._books.oldest(topic), self._books.ends(topic)
        return [partition for partition, first in sorted(oldest.items()) if 0 < first == ends[partition]]


def _checked(since: str | None, line: str | None) -> datetime | None:
    try:
        if line is not None:
            names.line_name(line)
    except ValueError as error:
        raise SettingsError(f"--line: {error}") from None
    return _time(since) if since is not None else None


def _time(since: str) -> datetime:
    try:
        # Brokers know no time before 1970.
        return max(parse_time(since), datetime.fromtimestamp(0, UTC) + CLOCK_SLACK)
    except (ValueError, OverflowError, OSError):
        expected = "ISO 8601 with an offset, as 2026-11-23T06:00:00+01:00, or milliseconds since 1970"
        raise SettingsError(f"--since {since[:80]!r}: expected {expected}") from None


def _named(partition: Partition) -> str:
    return f"{partition.topic}:{partition.partition}"
