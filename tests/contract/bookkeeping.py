"""Frames, inspections, offsets put into a broker by hand, and the account made of them."""

from datetime import datetime

from qc_worker.audit.accountant import Account, Accountant, AuditedTopics
from qc_worker.audit.ledger import Kind
from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Partition, Position
from qc_worker.domain.inspection import DeadLetter, Outcome, Verdict
from qc_worker.ports.books import Books
from qc_worker.transport.outgoing import OutgoingRecord
from tests.contract.rigs import Rig
from tests.support import factories


def frames(rig: Rig, count: int, *, partition: int = 0, line: str = "A") -> list[Position]:
    key = f"{line}/cam1".encode()
    headers = [("line", line.encode()), ("camera", b"cam1")]
    record = OutgoingRecord(rig.topics.images, key, b"picture", headers)
    return [rig.append(record, partition=partition) for _ in range(count)]


def judge(rig: Rig, *positions: Position, failed: bool = False, letter: bool | None = None) -> None:
    """Publish inspections as a worker does; those that failed with their dead letters, unless told otherwise."""
    sink = rig.sink(lambda _: None)
    sink.publish([outcome_of(p, failed=failed, letter=failed if letter is None else letter) for p in positions], {})
    sink.close()


def outcome_of(position: Position, *, failed: bool, letter: bool) -> Outcome:
    record = factories.record(position.offset, partition=position.partition, topic=position.topic)
    outcome = factories.outcome(record, Verdict.ERROR if failed else Verdict.PASS)
    dead = DeadLetter(position, record.key, b"picture", record.headers, Reason.UNDECODABLE, "broken")
    return Outcome(outcome.inspection, record.key, dead if letter else None)


def commit(rig: Rig, group: str, *offsets: int) -> None:
    """What the workers' group has settled, by partition."""
    rig.commit(group, {Partition(rig.topics.images, number): offset for number, offset in enumerate(offsets)})


def account(rig: Rig, books: Books, group: str, *, since: datetime | None = None, line: str | None = None) -> Account:
    topics = AuditedTopics(rig.topics.images, rig.topics.results, rig.topics.dead_letters)
    return Accountant(books, topics, group=group, line=line).account(since)


def found(account: Account) -> dict[Kind, list[Position]]:
    return {kind: finding.positions for kind, finding in account.balance.findings.items() if finding.count}
