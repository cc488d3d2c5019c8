"""`qc-worker account`: prove from the topics themselves that every frame has exactly one inspection."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from qc_worker.audit.entries import inspection_entry, letter_entry
from qc_worker.audit.ledger import Ledger
from qc_worker.commands.account_report import Account, account_document, print_account
from qc_worker.commands.reports import print_json, with_progress
from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.frame import Offsets, Partition, Record
from qc_worker.settings import Settings
from qc_worker.transport.kafka_books import KafkaBooks
from qc_worker.wire.headers import parse_time
from qc_worker.wire.images import claimed_line
from qc_worker.wiring import kafka_access

CLOCK_SLACK = timedelta(minutes=5)
"""How far a camera's clock may be ahead of the workers': its inspections then seem older than their frames."""
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
        starts = self._starts(since)
        ends = self._settled(starts, committed)
        ledger = Ledger(starts, ends)
        self._add_expired(ledger, committed)
        self._add_frames(ledger, starts)
        self._add_inspections(ledger, since)
        self._add_dead_letters(ledger, since)
        balance = ledger.balance(oldest=books.oldest(settings.images_topic), newest=books.ends(settings.images_topic))
        return Account(
            group=settings.consumer_group, since=since, line=self._line, balance=balance, notes=tuple(self._notes)
        )

    def _starts(self, since: datetime | None) -> Offsets:
        """The first frames to prove: from `since` on, and not older than the oldest inspections left."""
        images, books = self._settings.images_topic, self._books
        starts = books.at(images, since) if since else books.oldest(images)
        removed_until = max(books.oldest_times(self._settings.results_topic).values(), default=None)
        self._note_emptied()
        if removed_until is None:
            return starts
        provable = books.at(images, removed_until + timedelta(milliseconds=1))
        if any(provable[shard] > start for shard, start in starts.items()):
            self._notes.append(
                f"retention has removed inspections older than {removed_until.isoformat(timespec='seconds')}: "
                "the books before that cannot be proven, and start there"
            )
        return {shard: max(start, provable[shard]) for shard, start in starts.items()}

    def _settled(self, starts: Offsets, committed: Offsets) -> Offsets:
        """Where the frames end that must have their inspections: at the group's committed offsets."""
        ends = self._books.ends(self._settings.images_topic)
        if not committed:
            self._notes.append(
                f"group {self._settings.consumer_group} has committed nothing: if that is not the workers' group, "
                "name theirs with --group"
            )
        for shard, offset in sorted(committed.items()):
            if offset > ends[shard]:
                self._notes.append(f"{_named(shard)} ends at {ends[shard]}, but {offset} is committed: is it another?")
        settled = {shard: min(committed.get(shard, start), ends[shard]) for shard, start in starts.items()}
        frames = sum(max(0, settled[shard] - start) for shard, start in starts.items())
        if frames > MAX_FRAMES:
            raise SettingsError(f"{frames} frames are more than the {MAX_FRAMES} of one account: give a later --since")
        return settled

    def _add_expired(self, ledger: Ledger, committed: Offsets) -> None:
        for shard, first in self._books.oldest(self._settings.images_topic).items():
            ledger.add_expired(shard, committed.get(shard, first), first)

    def _add_frames(self, ledger: Ledger, starts: Offsets) -> None:
        for record in self._read(self._settings.images_topic, starts):
            ledger.add_frame(record.position, selected=self._line in {None, claimed_line(record)})

    def _add_inspections(self, ledger: Ledger, since: datetime | None) -> None:
        # A letter that retention has removed is not missing.
        letters_from = max(self._books.oldest_times(self._settings.dead_letter_topic).values(), default=None)
        for record in self._read(self._settings.results_topic, self._from(self._settings.results_topic, since)):
            try:
                ledger.add_inspection(inspection_entry(record, letters_from=letters_from))
            except ValueError:
                ledger.add_unreadable(record.position)

    def _add_dead_letters(self, ledger: Ledger, since: datetime | None) -> None:
        topic = self._settings.dead_letter_topic
        for record in self._read(topic, self._from(topic, since)):
            try:
                ledger.add_dead_letter(letter_entry(record))
            except ValueError:
                ledger.add_unreadable(record.position)

    def _from(self, topic: str, since: datetime | None) -> Offsets:
        return self._books.at(topic, since - CLOCK_SLACK) if since else self._books.oldest(topic)

    def _read(self, topic: str, starts: Offsets) -> Iterable[Record]:
        ends = self._books.ends(topic)
        return with_progress(
            self._books.read(starts), topic, total=sum(ends[shard] - starts[shard] for shard in starts)
        )

    def _note_emptied(self) -> None:
        topic = self._settings.results_topic
        oldest, ends = self._books.oldest(topic), self._books.ends(topic)
        emptied = [_named(shard) for shard, first in sorted(oldest.items()) if 0 < first == ends[shard]]
        if emptied:
            self._notes.append(
                f"retention has removed every inspection of {', '.join(emptied)}: frames that had theirs there "
                "count as missing"
            )


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


def _named(shard: Partition) -> str:
    return f"{shard.topic}:{shard.partition}"
