"""Builds from settings what leads to the brokers and the topics; torch is not needed for it."""

from pathlib import Path

from pydantic import SecretStr

from qc_worker.domain.errors import SettingsError
from qc_worker.settings import Settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.connecting.credentials import read_secret
from qc_worker.transport.kafka.topics import TopicPlan, plan_topics
from qc_worker.transport.kafka_fixes.register import install_all


def kafka_access(settings: Settings) -> KafkaAccess:
    """Install the fixes of kafka-python and collect how to connect to the brokers.

    Raises SettingsError for a version of kafka-python that cannot be used and for a file with a password that cannot be
    read.
    """
    install_fixes(settings)
    return KafkaAccess(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        security_protocol=settings.kafka_security_protocol,
        ssl_cafile=settings.kafka_ssl_cafile,
        ssl_certfile=settings.kafka_ssl_certfile,
        ssl_keyfile=settings.kafka_ssl_keyfile,
        ssl_key_password=_secret(settings, "kafka_ssl_key_password"),
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=_secret(settings, "kafka_sasl_password"),
    )


def install_fixes(settings: Settings) -> None:
    """Install the fixes of kafka-python in this process, once, before it opens a client.

    Raises SettingsError for a version that is not tested, unless the settings allow it.
    """
    install_all(allow_untested=settings.kafka_python_untested)


def topic_plans(settings: Settings) -> tuple[TopicPlan, ...]:
    """Plan the six topics."""
    return plan_topics(
        images=settings.images_topic,
        results=settings.results_topic,
        dead_letters=settings.dead_letter_topic,
        feedback=settings.feedback_topic,
        samples=settings.samples_topic,
        models=settings.models_topic,
        partitions=settings.partitions,
        replication_factor=settings.replication_factor,
    )


def _secret(settings: Settings, name: str) -> str | None:
    """Return a password from the settings, or from the file that they name for it."""
    given: SecretStr | None = getattr(settings, name)
    path: Path | None = getattr(settings, f"{name}_file")
    if given is None:
        return None if path is None else read_secret(f"{name}_file", path)
    if path is not None:
        raise SettingsError(f"{name} and {name}_file are both set: set only one of them")
    return given.get_secret_value()
