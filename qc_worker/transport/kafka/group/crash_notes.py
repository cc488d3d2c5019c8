"""Looks up, commits and removes crash notes (see `suspects`), through a consumer of the group."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from kafka import KafkaAdminClient, KafkaConsumer, OffsetAndMetadata
from kafka.errors import KafkaError

from qc_worker.domain.errors import TransportError
from qc_worker.domain.frame import Partition, Record
from qc_worker.observability import metrics
from qc_worker.transport.kafka.connecting.access import KafkaAccess, open_client, transport_errors
from qc_worker.transport.kafka.group.ownership import COMMIT_TIMEOUT_MS, NOT_A_MEMBER
from qc_worker.transport.kafka.group.suspects import CrashNote, Suspects, decode_note, note_after_crash
from qc_worker.transport.kafka.records import first_offsets, to_commit, to_topic_partition

log = structlog.get_logger()


class StalePosition(TransportError):
    """Frames were read from before the committed offset: others may have judged them."""

    def __init__(self, partition: Partition, committed: int, first: int) -> None:
        where = f"{partition.topic}:{partition.partition}"
        super().__init__(f"{where} was read from {first}, but is committed to {committed}")
        self.partition = partition
        self.committed = committed


class CrashNotes:
    """Crash notes of one group; `reach` bounds how many frames of a partition a dead worker had in flight."""

    def __init__(self, access: KafkaAccess, suspects: Suspects, *, group: str, reach: int) -> None:
        self._access = access
        self._suspects = suspects
        self._group = group
        self._reach = reach

    def leave(self, consumer: KafkaConsumer, records: Sequence[Record]) -> None:
        """Look up and leave a note for each partition from which the first frames came. Raises TransportError."""
        first = first_offsets(records)
        for partition in self._suspects.not_looked_up(first):
            inherited = self._look_up(consumer, partition, first[partition])
            note = self._suspects.start_reading(partition, first[partition], inherited)
            with transport_errors(f"noting who reads {partition.topic}"):
                try:
                    commit = to_commit({partition: first[partition]}, {partition: note.encode()})
                    consumer.commit(commit, timeout_ms=COMMIT_TIMEOUT_MS)
                except NOT_A_MEMBER as error:
                    # It goes to another member, or the next commit brings the note.
                    log.info("note put off by a rebalance", error=type(error).__name__)

    def clear_past(self, consumer: KafkaConsumer) -> None:
        """Clear suspects that the consumer has read past: only marks of transactions follow. Nothing is in flight."""
        for partition, end in self._suspects.ends().items():
            with suppress(KafkaError, RuntimeError, AssertionError):  # taken away in the meantime
                if (consumer.position(to_topic_partition(partition), timeout_ms=0) or 0) >= end:
                    self._suspects.clear(partition)

    def remove(self, consumer: KafkaConsumer, owned: frozenset[Partition]) -> None:
        """Commit that we leave in order: our absence makes no frame a suspect."""
        leaving = {
            partition: left for partition, left in self._suspects.notes_on_leaving().items() if partition in owned
        }
        if not leaving:
            return
        offsets = {partition: offset for partition, (offset, _) in leaving.items()}
        notes = {partition: note.encode() for partition, (_, note) in leaving.items() if note}
        try:
            consumer.commit(to_commit(offsets, notes), timeout_ms=COMMIT_TIMEOUT_MS)
        except (KafkaError, OSError, RuntimeError) as error:
            log.info("notes stay", error=type(error).__name__)

    def _look_up(self, consumer: KafkaConsumer, partition: Partition, first: int) -> CrashNote | None:
        """Return the note left at the committed offset, from which up to `first` no frame has come."""
        with transport_errors(f"asking who read {partition.topic} before"):
            found = consumer.committed(to_topic_partition(partition), metadata=True, timeout_ms=COMMIT_TIMEOUT_MS)
            if not found:
                return None
            note = self._inherited(consumer, partition, found)
            if found.offset > first:
                _check_end(consumer, partition, found.offset, first)
            if found.offset < first:  # last, for whatever fails before it is asked, and would be counted, again
                _count_expired(consumer, partition, found.offset, first)
        return note

    def _inherited(self, consumer: KafkaConsumer, partition: Partition, found: OffsetAndMetadata) -> CrashNote | None:
        """Return the note found, with suspects if its worker has died."""
        note = decode_note(found.metadata)
        if note is None or not note.worker or note.worker in self._living():
            return note
        end = consumer.end_offsets([to_topic_partition(partition)])[to_topic_partition(partition)]
        inherited = note_after_crash(note, found.offset, reach=self._reach, end=end)
        log.warning(
            "a worker died with frames in flight",
            partition=partition.partition,
            offset=found.offset,
            crashes=inherited.crashes,
            one_at_a_time_until=inherited.until,
        )
        return inherited

    def _living(self) -> set[str]:
        """Return the names of the group's members that the broker knows; a missing one costs time, no more."""
        admin = open_client(KafkaAdminClient, self._access)
        try:
            members = admin.describe_groups([self._group])[self._group]["members"]
        except ValueError:  # kafka-python knows no rights but those of its own time
            members = []
        finally:
            admin.close()
        return {self._suspects.worker, *(member["client_id"] for member in members)}


def _check_end(consumer: KafkaConsumer, partition: Partition, committed: int, first: int) -> None:
    """Log a partition that has lost its end. Raises StalePosition if it has not: nothing explains reading there."""
    end = consumer.end_offsets([to_topic_partition(partition)])[to_topic_partition(partition)]
    if committed <= end:
        raise StalePosition(partition, committed, first)
    # The brokers have lost frames, or the topic was created again: what is there now is judged from its beginning.
    log.error("committed past the end", partition=partition.partition, committed=committed, end=end, read_from=first)


def _count_expired(consumer: KafkaConsumer, partition: Partition, committed: int, first: int) -> None:
    """Log and count frames that retention removed between the committed offset and the first one polled."""
    # Where the log starts, and not what was polled first: marks of a camera's transactions are offsets without a frame.
    start = consumer.beginning_offsets([to_topic_partition(partition)])[to_topic_partition(partition)]
    expired = min(start, first) - committed
    if expired > 0:
        metrics.EXPIRED_FRAMES.inc(expired)
        log.warning("frames expired before they were judged", partition=partition.partition, frames=expired)
