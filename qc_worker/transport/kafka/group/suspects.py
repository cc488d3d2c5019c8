"""Suspects: frames that may have killed a worker process, known from the crash notes committed with the offsets.

A worker that polls frames of a partition first commits, without moving the offset, a crash note with its name, and
leaves one with every commit. A worker that leaves in order removes the note; so a note by a worker that is not in the
group any more says that it died with frames in flight. These frames are suspects: they are tried one at a time, so that
the next crash names the frame. The notes lie with the offsets on the broker: they outlive every process and machine.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock

from qc_worker.domain.frame import Offsets, Partition, Position


@dataclass(frozen=True, slots=True)
class CrashNote:
    """Committed with an offset: who reads on from there, and which of the frames that follow are suspects."""

    worker: str
    """Name of the process, also its client id in the group; empty: it has left in order."""
    crashes: int = 0
    """How many processes have died with the frame at this offset in flight."""
    until: int = 0
    """Frames before it were in flight in at least one dying process; 0: none were."""

    def encode(self) -> str:
        """Return the note as a commit's metadata."""
        return json.dumps({"qc": 1, "worker": self.worker, "crashes": self.crashes, "until": self.until})


def decode_note(metadata: str | None) -> CrashNote | None:
    """Return the crash note in a commit's metadata; None if there is none that we understand."""
    try:
        fields = json.loads(metadata or "")
        if fields["qc"] != 1:
            return None
        return CrashNote(str(fields["worker"]), int(fields["crashes"]), int(fields["until"]))
    except (ValueError, KeyError, TypeError):
        return None


def note_after_crash(note: CrashNote, offset: int, *, reach: int, end: int) -> CrashNote:
    """Turn the note that a dead worker has left at `offset` into the one that its successor begins with.

    `reach` frames may have been in flight with it, but none from `end` on, where the partition ends.
    """
    if note.until > offset:  # it was trying them one at a time
        return replace(note, crashes=note.crashes + 1)
    return replace(note, crashes=1, until=min(offset + reach, end))


class Suspects:
    """Suspects of the partitions that this worker reads; callbacks of the group may `forget` from another thread."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._lock = Lock()
        self._notes: dict[Partition, tuple[int, CrashNote]] = {}
        self._uncertain: set[Partition] = set()

    def remain(self) -> bool:
        """Return True while frames that come may be what killed a process."""
        return bool(self.ends())

    def ends(self) -> Offsets:
        """Return the offset before which frames are suspects, for each partition that has some."""
        with self._lock:
            return {partition: note.until for partition, (offset, note) in self._notes.items() if offset < note.until}

    def cleared(self) -> frozenset[Partition]:
        """Return partitions without suspects while others have some; empty if none has.

        Their frames must wait, or they would be tried one at a time too.
        """
        with self._lock:
            suspected = {partition for partition, (offset, note) in self._notes.items() if offset < note.until}
            return frozenset(self._notes.keys() - suspected) if suspected else frozenset()

    def clear(self, partition: Partition) -> None:
        """Drop a partition's suspects, because none of them is left: what remains below the offset are no frames."""
        with self._lock:
            if partition in self._notes:
                self._notes[partition] = (self._notes[partition][0], CrashNote(self.worker))

    def not_looked_up(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Return the partitions for which `start_reading` was not called yet."""
        with self._lock:
            return set(partitions) - self._notes.keys()

    def start_reading(self, partition: Partition, offset: int, inherited: CrashNote | None) -> CrashNote:
        """Return the note to commit before frames from `offset` on are handed out; `inherited` is a dead worker's."""
        note = replace(inherited, worker=self.worker) if inherited else CrashNote(self.worker)
        with self._lock:
            self._notes[partition] = (offset, note)
            self._uncertain.discard(partition)
        return note

    def crashes(self, position: Position) -> int:
        """Return how many processes have died with that frame in flight."""
        with self._lock:
            offset, note = self._notes.get(position.topic_partition, (0, CrashNote(self.worker)))
        if position.offset == offset:
            return note.crashes
        return 1 if position.offset < note.until else 0

    def note_at(self, partition: Partition, offset: int) -> CrashNote:
        """Return the note to commit with that offset: this worker still reads, and these frames are still suspects."""
        with self._lock:
            known, note = self._notes.get(partition, (offset, CrashNote(self.worker)))
        if offset >= note.until:
            return CrashNote(self.worker)
        return note if offset == known else replace(note, crashes=1)

    def mark_committed(self, offsets: Offsets) -> None:
        """Record offsets as committed, with the notes that `note_at` gave."""
        for partition, offset in offsets.items():
            note = self.note_at(partition, offset)
            with self._lock:
                self._uncertain.discard(partition)
                if partition in self._notes:
                    self._notes[partition] = (offset, note)

    def mark_uncertain(self, partitions: Iterable[Partition]) -> None:
        """Record that their offsets may have been committed or not, until they are marked as committed."""
        with self._lock:
            self._uncertain.update(partitions)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Drop partitions that are no longer ours."""
        with self._lock:
            for partition in partitions:
                self._notes.pop(partition, None)
                self._uncertain.discard(partition)

    def notes_on_leaving(self) -> dict[Partition, tuple[int, CrashNote | None]]:
        """Return what to commit on leaving in order: offset, and a note without a name where suspects remain.

        Nothing for partitions whose commit is uncertain: it could take back a commit that has succeeded. The note that
        stays there has the successor try frames one at a time that killed nobody, which costs time and no more.
        """
        with self._lock:
            return {
                partition: (offset, replace(note, worker="") if offset < note.until else None)
                for partition, (offset, note) in self._notes.items()
                if partition not in self._uncertain
            }
