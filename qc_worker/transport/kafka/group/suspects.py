"""Which frames may have killed a worker process, by notes that travel with the committed offsets.

Whoever takes frames of a partition first commits, without moving the offset, a note with its name, and leaves one with
every commit. A worker that leaves in order takes the note away; so a note by a worker that is not in the group any more
says that it died with frames in flight. These are suspects: they are tried one at a time, so that the next death names
the frame. The notes lie with the offsets on the broker: they outlive every process and machine.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Lock

from qc_worker.domain.frame import Offsets, Partition, Position


@dataclass(frozen=True, slots=True)
class Note:
    """Committed with an offset: who reads on from there, and what is known against the frames that follow."""

    worker: str
    """Name of the process, also its client id in the group; empty: it has left in order."""
    crashes: int = 0
    """How many processes have died with the frame at this offset in flight."""
    until: int = 0
    """Frames before it were in flight in at least one dying process; 0: none were."""

    def encode(self) -> str:
        return json.dumps({"qc": 1, "worker": self.worker, "crashes": self.crashes, "until": self.until})


def decode_note(metadata: str | None) -> Note | None:
    """The note in a commit's metadata; None if there is none that we understand."""
    try:
        fields = json.loads(metadata or "")
        return Note(str(fields["worker"]), int(fields["crashes"]), int(fields["until"])) if fields["qc"] == 1 else None
    except (ValueError, KeyError, TypeError):
        return None


def left_by_the_dead(note: Note, offset: int, *, reach: int, end: int) -> Note:
    """What a dead worker's note at `offset` says to its successor.

    `reach` frames may have been in flight with it, but none from `end` on, where the partition ends.
    """
    if note.until > offset:  # it was trying them one at a time
        return replace(note, crashes=note.crashes + 1)
    return replace(note, crashes=1, until=min(offset + reach, end))


class Trials:
    """Notes of the partitions that this worker has; callbacks of the group may `forget` from another thread."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self._lock = Lock()
        self._notes: dict[Partition, tuple[int, Note]] = {}
        self._in_doubt: set[Partition] = set()

    @property
    def under_suspicion(self) -> bool:
        """Whether frames that come may be what killed a process."""
        return bool(self.suspects())

    def suspects(self) -> Offsets:
        """Up to which offset frames are under suspicion, where any are."""
        with self._lock:
            return {partition: note.until for partition, (offset, note) in self._notes.items() if offset < note.until}

    def cleared(self) -> frozenset[Partition]:
        """Partitions without suspects, where others have some: their frames wait, or they would be tried alone too."""
        with self._lock:
            suspected = {partition for partition, (offset, note) in self._notes.items() if offset < note.until}
            return frozenset(self._notes.keys() - suspected) if suspected else frozenset()

    def absolve(self, partition: Partition) -> None:
        """No frame is left of those under suspicion: what remains below the offset are no frames."""
        with self._lock:
            if partition in self._notes:
                self._notes[partition] = (self._notes[partition][0], Note(self.worker))

    def unknown(self, partitions: Iterable[Partition]) -> set[Partition]:
        """Those whose note was not looked up yet."""
        with self._lock:
            return set(partitions) - self._notes.keys()

    def begin(self, partition: Partition, offset: int, inherited: Note | None) -> Note:
        """Note that we read on from `offset`, with what a dead worker left to us."""
        note = replace(inherited, worker=self.worker) if inherited else Note(self.worker)
        with self._lock:
            self._notes[partition] = (offset, note)
            self._in_doubt.discard(partition)
        return note

    def crashes(self, position: Position) -> int:
        """How many processes have died with that frame in flight."""
        with self._lock:
            offset, note = self._notes.get(position.topic_partition, (0, Note(self.worker)))
        if position.offset == offset:
            return note.crashes
        return 1 if position.offset < note.until else 0

    def note_at(self, partition: Partition, offset: int) -> Note:
        """What to commit with that offset: the worker is still here, and what is still suspected."""
        with self._lock:
            known, note = self._notes.get(partition, (offset, Note(self.worker)))
        if offset >= note.until:
            return Note(self.worker)
        return note if offset == known else replace(note, crashes=1)

    def settle(self, offsets: Offsets) -> None:
        """These were committed, with the notes that `note_at` gave."""
        for partition, offset in offsets.items():
            note = self.note_at(partition, offset)
            with self._lock:
                self._in_doubt.discard(partition)
                if partition in self._notes:
                    self._notes[partition] = (offset, note)

    def doubt(self, partitions: Iterable[Partition]) -> None:
        """Their offsets may have been committed or not, until they are settled."""
        with self._lock:
            self._in_doubt.update(partitions)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """They are no longer ours."""
        with self._lock:
            for partition in partitions:
                self._notes.pop(partition, None)
                self._in_doubt.discard(partition)

    def parting(self) -> dict[Partition, tuple[int, Note | None]]:
        """What to commit on leaving in order: no note, or what is still suspected, held against nobody's death.

        Nothing for partitions in doubt: it could take back a commit that has succeeded. The note that stays there has
        the successor try frames one at a time that killed nobody, which costs time and no more.
        """
        with self._lock:
            return {
                partition: (offset, replace(note, worker="") if offset < note.until else None)
                for partition, (offset, note) in self._notes.items()
                if partition not in self._in_doubt
            }
