"""Frames, inspections, offsets put into a broker by hand, and the account made of them."""

from datetime import datetime

from kafka import KafkaConsumer, TopicPartition

from qc_worker.audit.ledger import Kind
from qc_worker.commands.account import Accountant
from qc_worker.commands.account_report import Account
from qc_worker.domain.errors import Reason
from qc_worker.domain.frame import Offsets, Partition, Position
from qc_worker.domain.inspection import DeadLetter, Outcome, Verdict
from qc_worker.settings import Settings
from qc_worker.transport.kafka.books import KafkaBooks
from qc_worker.transport.kafka.connecting.access import open_client
from qc_worker.transport.kafka.records import to_commit
from qc_worker.transport.outgoing import OutgoingRecord
from tests.contract.rigs import KafkaRig
from tests.support import factories


def frames(rig: KafkaRig, count: int, *, partition: int = 0, line: str = "A") -> list[Position]:
    key = f"{line}/cam1".encode()
    headers = [("line", line.encode()), ("camera", b"cam1")]
    record = OutgoingRecord(rig.topics.images, key, b"picture", headers)
    return [rig.append(record, partition=partition) for _ in range(count)]


def judge(rig: KafkaRig, *positions: Position, failed: bool = False, letter: bool | None = None) -> None:
    """Publish inspections as a worker does; those that failed with their dead letters, unless told otherwise."""
    sink = rig.sink(lambda _: None)
    sink.publish([outcome_of(p, failed=failed, letter=failed if letter is None else letter) for p in positions], {})
    sink.close()


def outcome_of(position: Position, *, failed: bool, letter: bool) -> Outcome:
    record = factories.record(position.offset, partition=position.partition, topic=position.topic)
    outcome = factories.outcome(record, Verdict.ERROR if failed else Verdict.PASS)
    dead = DeadLetter(position, record.key, b"picture", record.headers, Reason.UNDECODABLE, "broken")
    return Outcome(outcome.inspection, record.key, dead if letter else None)


def commit(rig: KafkaRig, group: str, *offsets: int) -> None:
    """What the workers' group has settled, by partition."""
    committed: Offsets = {Partition(rig.topics.images, number): offset for number, offset in enumerate(offsets)}
    consumer = open_client(KafkaConsumer, rig.access, group_id=group, enable_auto_commit=False)
    consumer.assign([TopicPartition(*partition) for partition in committed])
    consumer.commit(to_commit(committed))
    consumer.close(autocommit=False)


def account(
    settings: Settings, books: KafkaBooks, *, since: datetime | None = None, line: str | None = None
) -> Account:
    return Accountant(settings, books, line=line).account(since)


def found(account: Account) -> dict[Kind, list[Position]]:
    return {kind: finding.positions for kind, finding in account.balance.findings.items() if finding.count}
