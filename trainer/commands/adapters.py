"""From settings to adapters. Those that need a broker are imported only when one is asked for."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch

from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import LineName
from qc_worker.ports import ModelStore, ReleaseLog
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.preprocessing import ImageLimits
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.spec import Aspect, EmbeddingSpec
from trainer.collect import Collector
from trainer.samples import SampleStore

if TYPE_CHECKING:
    from qc_worker.transport.kafka_config import KafkaAccess


class SystemClock:
    """Time as the machine has it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> datetime:
        return datetime.now(UTC)


def checked_line(text: str) -> LineName:
    """Check a line's name given as a flag. Raises SettingsError."""
    try:
        return names.line_name(text)
    except ValueError as error:
        raise SettingsError(f"--line: {error}") from None


def checked_version(text: str) -> str:
    """Check a version given as a flag. Raises SettingsError."""
    try:
        return names.model_version(text)
    except ValueError as error:
        raise SettingsError(f"--version: {error}") from None


def sample_store(settings: Settings) -> SampleStore:
    return SampleStore(settings.sample_dir)


def model_store(settings: Settings) -> ModelStore:
    return FsspecModelStore(settings.model_store_url)


def image_limits(settings: Settings) -> ImageLimits:
    return ImageLimits(max_bytes=settings.max_frame_bytes, max_pixels=settings.max_frame_pixels)


def open_backbone(settings: Settings, name: str, levels: tuple[int, ...]) -> Backbone:
    """Load a backbone with its weights. Raises ModelError."""
    return load_backbone(name, levels=levels, weights_dir=settings.weights_path)


def new_scorer(settings: Settings, name: str, *, levels: tuple[int, ...], input_size: int, aspect: Aspect) -> Scorer:
    """A scorer for a new model. Raises ModelError or SettingsError."""
    from qc_worker.simplenet.defaults import defaults_for  # noqa: PLC0415

    backbone = open_backbone(settings, name, levels)
    spec = EmbeddingSpec(
        backbone=name,
        weights_sha256=backbone.weights_sha256,
        levels=levels,
        patch_size=defaults_for(name).patch_size,
        input_size=input_size,
        aspect=aspect,
    )
    return Scorer(backbone, spec, compute_device(settings))


def scorer_for(settings: Settings, spec: EmbeddingSpec) -> Scorer:
    """The scorer that a stored model was made with. Raises ModelError or SettingsError."""
    return Scorer(open_backbone(settings, spec.backbone, spec.levels), spec, compute_device(settings))


def compute_device(settings: Settings) -> torch.device:
    """The device to train on; also sets how many threads a CPU may use. Raises SettingsError."""
    torch.set_num_threads(settings.torch_threads or len(os.sched_getaffinity(0)))
    name = settings.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"device {name} cannot be used here: {str(error).splitlines()[0]}") from None


@contextmanager
def release_log(settings: Settings) -> Iterator[ReleaseLog]:
    """The topic `models`. Raises TransportError when it is used and no broker answers."""
    from qc_worker.transport.kafka_releases import KafkaReleaseLog  # noqa: PLC0415

    with closing(KafkaReleaseLog(_kafka_access(settings), topic=settings.models_topic)) as releases:
        yield releases


@contextmanager
def collector(settings: Settings) -> Iterator[Collector]:
    """Feedback and frames of the broker, into the sample store."""
    from qc_worker.transport.kafka_feedback import KafkaFeedbackSource  # noqa: PLC0415
    from qc_worker.transport.kafka_frames import KafkaFrameReader  # noqa: PLC0415

    access = _kafka_access(settings)
    source = KafkaFeedbackSource(access, topic=settings.feedback_topic, session_timeout_ms=settings.session_timeout_ms)
    with closing(source), closing(KafkaFrameReader(access)) as frames:
        yield Collector(
            source=source,
            frames=frames,
            store=sample_store(settings),
            limits=image_limits(settings),
            images_topic=settings.images_topic,
            joined=source.joined,
        )


def _kafka_access(settings: Settings) -> "KafkaAccess":
    from qc_worker.transport.kafka_config import KafkaAccess  # noqa: PLC0415

    password = settings.kafka_sasl_password
    return KafkaAccess(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        security_protocol=settings.kafka_security_protocol,
        ssl_cafile=settings.kafka_ssl_cafile,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
    )
