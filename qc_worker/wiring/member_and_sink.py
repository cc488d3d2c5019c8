"""Builds the worker's member of the consumer group, and the sink that commits through it, from the settings."""

from qc_worker.settings import Settings
from qc_worker.transport.kafka.delivery import WorkerSink
from qc_worker.transport.kafka.group.group_member import GroupMember
from qc_worker.wiring.brokers import kafka_access
from qc_worker.wiring.capacity import worker_capacity


def group_member(settings: Settings) -> GroupMember:
    """Return a member that is not open yet. Raises SettingsError."""
    return GroupMember(
        kafka_access(settings),
        topic=settings.images_topic,
        group=settings.consumer_group,
        max_frame_bytes=settings.max_frame_bytes,
        session_timeout_ms=settings.session_timeout_ms,
        max_poll_interval_ms=settings.max_poll_interval_ms,
        metadata_max_age_ms=settings.metadata_max_age_ms,
        max_in_flight_frames=worker_capacity(settings).max_in_flight_frames,
    )


def worker_sink(settings: Settings, member: GroupMember, *, slot: str) -> WorkerSink:
    """Return the sink of the worker in that slot, not started yet. Raises SettingsError."""
    return WorkerSink(
        kafka_access(settings),
        results_topic=settings.results_topic,
        dead_letter_topic=settings.dead_letter_topic,
        transactional_id=f"{settings.consumer_group}.{slot}",
        member=member,
        delivery=settings.delivery,
    )
