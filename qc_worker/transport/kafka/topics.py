"""Creates the topics, or reports how those that exist differ from what the worker needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from qc_worker.domain.errors import TransportError
from qc_worker.transport.kafka.codecs import PACKAGES, missing_codecs
from qc_worker.transport.kafka.connecting.access import Connections, KafkaAccess, open_client, transport_errors
from qc_worker.transport.limits import MAX_DEAD_LETTER_BYTES, MAX_RECORD_BYTES

HOUR_MS = 3_600_000
IMAGES_RETENTION_MS = 72 * HOUR_MS
"""Long enough for accepted frames to be read back by the trainer, short enough for disks."""
RECORDS_RETENTION_MS = 30 * 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """Properties that a topic should have; settings have Kafka's own names."""

    name: str
    partitions: int
    settings: Mapping[str, str]
    replication_factor: int = 1


class TopicState(StrEnum):
    """State that was found, or the action taken."""

    OK = "ok"
    CREATED = "created"
    MISSING = "missing"
    DIFFERS = "differs"
    UNCHECKED = "unchecked"
    """It exists with enough partitions; the broker does not report its settings."""


@dataclass(frozen=True, slots=True)
class TopicReport:
    """One topic, with a line for each difference and one on how to remove it."""

    name: str
    state: TopicState
    differences: tuple[str, ...] = ()
    remedies: tuple[str, ...] = field(default=())
    too_small: bool = False
    """It cannot take the largest records: such a record would be retried without end."""


def plan_topics(
    *,
    images: str,
    results: str,
    dead_letters: str,
    feedback: str,
    samples: str,
    models: str,
    partitions: int,
    replication_factor: int,
) -> tuple[TopicPlan, ...]:
    """Plan the six topics."""
    passing = {"cleanup.policy": "delete", "retention.ms": str(RECORDS_RETENTION_MS)}
    # A worker with a wrong clock must not be refused (KIP-1030), nor its inspections be searched at wrong times.
    published = {**passing, "message.timestamp.type": "LogAppendTime"}
    frames = {"cleanup.policy": "delete", "retention.ms": str(IMAGES_RETENTION_MS)}
    records = {"max.message.bytes": str(MAX_RECORD_BYTES)}
    letters = {"max.message.bytes": str(MAX_DEAD_LETTER_BYTES)}
    return (
        TopicPlan(images, partitions, {**frames, **records}, replication_factor),
        TopicPlan(results, partitions, {**published, **records}, replication_factor),
        TopicPlan(dead_letters, partitions, {**published, **letters}, replication_factor),
        TopicPlan(feedback, partitions, passing, replication_factor),
        TopicPlan(samples, partitions, passing, replication_factor),
        # One partition: releases of all lines in one order.
        TopicPlan(models, 1, {"cleanup.policy": "compact"}, replication_factor),
    )


def ensure_topics(access: KafkaAccess, plans: Sequence[TopicPlan]) -> list[TopicReport]:
    """Create missing topics, leave the others as they are, and report on all. Raises TransportError."""
    with _Admin(access) as admin:
        found = admin.partition_counts()
        missing = [plan for plan in plans if plan.name not in found]
        created = admin.create(missing)
        rest = [plan for plan in plans if plan.name not in created]
        reports = {report.name: report for report in _compared(admin, rest)}
    return [reports.get(plan.name) or TopicReport(plan.name, TopicState.CREATED) for plan in plans]


def check_topics(access: KafkaAccess, plans: Sequence[TopicPlan]) -> list[TopicReport]:
    """Compare the topics with their plans. Raises TransportError."""
    with _Admin(access) as admin:
        return _compared(admin, plans)


def broker_answers(access: KafkaAccess) -> bool:
    """Return True if a broker lists its topics."""
    try:
        with _Admin(access) as admin:
            admin.partition_counts()
    except TransportError:
        return False
    return True


def _compared(admin: "_Admin", plans: Sequence[TopicPlan]) -> list[TopicReport]:
    counts = admin.partition_counts()
    settings = admin.settings([plan.name for plan in plans if plan.name in counts])
    return [_report(plan, counts.get(plan.name), settings.get(plan.name)) for plan in plans]


def _report(plan: TopicPlan, partitions: int | None, settings: Mapping[str, str] | None) -> TopicReport:
    if partitions is None:
        return TopicReport(plan.name, TopicState.MISSING, ("does not exist",), ("qc-worker topics",))
    differences, remedies = _partition_difference(plan, partitions)
    for name, wanted in plan.settings.items():
        actual = (settings or {}).get(name)
        if actual is not None and not _satisfies(name, actual, wanted):
            differences.append(f"{name} is {actual}, should be {wanted}")
            remedies.append(
                f"kafka-configs.sh --alter --entity-type topics --entity-name {plan.name} --add-config {name}={wanted}"
            )
    if (codec := (settings or {}).get("compression.type")) in missing_codecs():
        differences.append(
            f"compression.type is {codec}, whose package is not installed here: nothing of it can be read"
        )
        remedies.append(f"pip install {PACKAGES[codec].partition('.')[0]}")
    if differences:
        too_small = any(difference.startswith("max.message.bytes") for difference in differences)
        return TopicReport(plan.name, TopicState.DIFFERS, tuple(differences), tuple(remedies), too_small)
    return TopicReport(plan.name, TopicState.OK if settings else TopicState.UNCHECKED)


def _partition_difference(plan: TopicPlan, partitions: int) -> tuple[list[str], list[str]]:
    if partitions >= plan.partitions:
        return [], []
    return (
        [f"has {partitions} partitions, should have {plan.partitions}"],
        # This moves cameras to other partitions, so it is better done while they are silent.
        [f"kafka-topics.sh --alter --topic {plan.name} --partitions {plan.partitions}"],
    )


def _satisfies(name: str, actual: str, wanted: str) -> bool:
    if name == "max.message.bytes":
        return int(actual) >= int(wanted)
    if name == "cleanup.policy":
        return wanted in actual.split(",")
    if name == "message.timestamp.type":
        return actual == wanted
    return True  # how long to keep records is the operator's choice


class _Admin:
    """Sends the few requests of this module, and answers in plain values."""

    def __init__(self, access: KafkaAccess) -> None:
        self._access = access
        self._connections = Connections()
        self._client: Any = None

    def __enter__(self) -> "_Admin":
        self._client = open_client(KafkaAdminClient, self._access, self._connections)
        return self

    def __exit__(self, *_: object) -> None:
        with transport_errors("closing"):
            self._client.close()
        self._connections.close()

    def partition_counts(self) -> dict[str, int]:
        with transport_errors("listing topics"):
            topics = self._client.describe_topics()
        return {topic["name"]: len(topic["partitions"]) for topic in topics if topic["partitions"]}

    def create(self, plans: Sequence[TopicPlan]) -> set[str]:
        """Create topics; return the names of those that this call created."""
        return {plan.name for plan in plans if self._created(plan)}

    def settings(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return settings by topic; topics whose settings the broker does not report are left out."""
        if not names:
            return {}
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        try:
            answer = self._client.describe_configs(wanted, config_filter="all").get("topic", {})
        except (KafkaError, ValueError, KeyError):
            return {}  # Tansu does not support this request in every version
        return {name: {key: str(entry["value"]) for key, entry in entries.items()} for name, entries in answer.items()}

    def _created(self, plan: TopicPlan) -> bool:
        request = {
            plan.name: {
                "num_partitions": plan.partitions,
                "replication_factor": plan.replication_factor,
                "configs": dict(plan.settings),
            }
        }
        with transport_errors(f"creating {plan.name}"):
            try:
                self._client.create_topics(request, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                return False  # someone else was quicker
        return True
