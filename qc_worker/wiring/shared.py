"""Builds from settings what both command lines need: brokers, topics, device, image limits."""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import SecretStr

from qc_worker.domain.errors import SettingsError
from qc_worker.imaging.preprocessing import ImageLimits
from qc_worker.runtime.state_folder import usable
from qc_worker.settings import Settings
from qc_worker.transport.kafka.connecting.access import KafkaAccess
from qc_worker.transport.kafka.connecting.credentials import read_secret
from qc_worker.transport.kafka.topics import TopicPlan, plan_topics
from qc_worker.transport.kafka_fixes.register import install_all
from qc_worker.wiring.device import open_device


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
    """Plan the five topics."""
    return plan_topics(
        images=settings.images_topic,
        results=settings.results_topic,
        dead_letters=settings.dead_letter_topic,
        feedback=settings.feedback_topic,
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


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)


def keep_compiled_kernels(settings: Settings) -> Path:
    """Cache compiled kernels in the state folder, so that the next start is short; return that folder.

    Inductor's and Triton's own settings win. Raises SettingsError if it cannot write there.
    """
    folder = usable(settings.state_path) / "compiled-kernels"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)  # it loads what lies there as code
    usable(folder)
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder))
    # Inductor sets it only when it builds its first kernel; Triton's default is the home folder, often read-only.
    os.environ.setdefault("TRITON_CACHE_DIR", str(folder / "triton"))
    return folder


def compute_device(settings: Settings) -> torch.device:
    """Open the device to compute on, and set the number of CPU threads. Raises SettingsError, DeviceLost."""
    torch.set_num_threads(settings.torch_threads or len(os.sched_getaffinity(0)))
    return _opened(settings.device, cpu_fallback=settings.cpu_fallback)


@lru_cache
def _opened(name: str, *, cpu_fallback: bool) -> torch.device:
    """Open a device once in a process: several parts ask for it, and a fallback to the CPU is one line of the log."""
    return open_device(name, cpu_fallback=cpu_fallback)
