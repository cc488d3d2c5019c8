"""Make what looks at the model store and announces releases; both are connected to when they are first needed."""

from qc_dashboard.settings import DashboardSettings
from qc_worker.ports.models import ReleaseLog
from qc_worker.registry.store import FsspecModelStore
from qc_worker.registry.stored_versions import StoredVersions
from qc_worker.runtime.clock import SystemClock
from qc_worker.transport.kafka.release_log import KafkaReleaseLog
from qc_worker.wiring.brokers import kafka_access

ANNOUNCE_TIMEOUT_S = 10.0
"""A person waits for the answer."""


def release_log(settings: DashboardSettings) -> KafkaReleaseLog:
    """Make the topic `models`, not connected yet. Raises SettingsError."""
    access = kafka_access(settings)
    return KafkaReleaseLog(access, topic=settings.models_topic, delivery_timeout_s=ANNOUNCE_TIMEOUT_S)


def stored_versions(settings: DashboardSettings, releases: ReleaseLog) -> StoredVersions:
    """Make the versions of the model store, which is not opened yet."""
    return StoredVersions(lambda: FsspecModelStore(settings.model_store_url), releases, SystemClock())
