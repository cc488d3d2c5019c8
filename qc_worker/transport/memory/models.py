"""Releases on the in-memory broker."""

from collections.abc import Sequence

import structlog

from qc_worker.domain.frame import Partition, Record
from qc_worker.domain.release import Release
from qc_worker.transport.memory.broker import MemoryBroker
from qc_worker.transport.outgoing import OutgoingRecord
from qc_worker.wire.json_types import decode_release, encode_release

log = structlog.get_logger()


class MemoryReleaseLog:
    """The topic `models` on the in-memory broker."""

    def __init__(self, broker: MemoryBroker, *, topic: str) -> None:
        self._broker = broker
        self._topic = topic
        self._partition = Partition(topic, 0)
        self._next = 0
        self.refused = 0

    def announce(self, release: Release) -> None:
        record = OutgoingRecord(self._topic, release.line.encode(), encode_release(release), [])
        self._broker.append(record, partition=0)

    def read_all(self) -> dict[str, Release]:
        self._next = 0
        newest: dict[str, Release] = {}
        for record in self._new_records():
            release = self._decoded(record)
            if release is not None:
                newest[release.line] = release
            elif record.key is not None and not record.content:
                newest.pop(record.key.decode(errors="replace"), None)
        return newest

    def poll(self, *, timeout_s: float) -> Sequence[Release]:
        self._broker.check()
        self._broker.wait_for_change(timeout_s=timeout_s, until=lambda: self._broker.end(self._partition) > self._next)
        return [release for release in map(self._decoded, self._new_records()) if release is not None]

    def close(self) -> None:
        pass

    def _new_records(self) -> list[Record]:
        records = self._broker.read_all(self._partition, self._next)
        self._next += len(records)
        return records

    def _decoded(self, record: Record) -> Release | None:
        if not record.content:
            return None
        try:
            return decode_release(record.content)
        except ValueError as error:
            self.refused += 1
            log.warning("release refused", reason=str(error), position=str(record.position))
            return None
