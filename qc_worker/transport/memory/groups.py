"""A group on the in-memory broker, seen from outside."""

from qc_worker.domain.errors import TransportError
from qc_worker.ports.groups import GroupState
from qc_worker.transport.memory.broker import MemoryBroker


class MemoryGroupWatch:
    """Looks at the group itself."""

    def __init__(self, broker: MemoryBroker, *, topic: str, group: str) -> None:
        self._broker = broker
        self._topic = topic
        self._group = group
        self._interrupted = False

    def look(self) -> GroupState:
        self._broker.check()
        if self._interrupted:
            raise TransportError("interrupted")
        if not self._broker.has_topic(self._topic):
            raise TransportError(f"topic {self._topic} does not exist; `qc-worker topics` creates it")
        group, partitions = self._broker.group(self._group), self._broker.partitions(self._topic)
        committed = group.committed()
        return GroupState(
            group.size(),
            {each: max(committed.get(each, 0), self._broker.oldest(each)) for each in partitions},
            {each: self._broker.end(each) for each in partitions},
        )

    def interrupt(self) -> None:
        self._interrupted = True

    def close(self) -> None:
        pass
