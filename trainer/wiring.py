"""Builds adapters from settings; those that need a broker are imported when they are used."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from qc_worker.domain import names
from qc_worker.domain.errors import SettingsError
from qc_worker.domain.names import LineName
from qc_worker.imaging.aspect import Aspect, BitDepth, InputSize
from qc_worker.ports.models import ModelStore, ReleaseLog
from qc_worker.ports.results import RecentInspections
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.inference.precision import compute_dtype
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.wiring.brokers import kafka_access
from qc_worker.wiring.shared import compute_device, image_limits
from trainer.features.input_size import fit_to_tiles
from trainer.samples.feedback.collecting import Collector
from trainer.samples.store import SampleStore


def checked_line(text: str) -> LineName:
    """Check a line's name given as an option. Raises SettingsError."""
    try:
        return names.line_name(text)
    except ValueError as error:
        raise SettingsError(f"--line: {error}") from None


def checked_version(text: str) -> str:
    """Check a version given as an option. Raises SettingsError."""
    try:
        return names.model_version(text)
    except ValueError as error:
        raise SettingsError(f"--version: {error}") from None


def sample_store(settings: Settings) -> SampleStore:
    return SampleStore(settings.sample_dir)


def model_store(settings: Settings) -> ModelStore:
    return FsspecModelStore(settings.model_store_url)


def open_backbone(settings: Settings, name: str, levels: tuple[int, ...]) -> Backbone:
    """Load a backbone with its weights. Raises ModelError."""
    return load_backbone(name, levels=levels, weights_dir=settings.weights_path)


@dataclass(frozen=True, slots=True)
class NewScorers:
    """Builds scorers for a new model: its backbone is loaded first, its input size chosen later."""

    settings: Settings
    backbone: Backbone
    spec: EmbeddingSpec
    """The embedding, with the default input size of the backbone."""

    def at(self, size: InputSize, bit_depth: BitDepth) -> Scorer:
        """Build the scorer for that input size, rounded to what its tiles need. Raises ModelError or SettingsError."""
        spec = fit_to_tiles(replace(self.spec, input_size=size, bit_depth=bit_depth))
        return _scorer(self.settings, self.backbone, spec)


def new_scorers(settings: Settings, name: str, *, aspect: Aspect, tiles: int = 1) -> NewScorers:
    """Load the backbone of a new model. Raises ModelError or SettingsError."""
    from trainer.fitting.defaults import defaults_for  # noqa: PLC0415

    defaults = defaults_for(name)
    spec = EmbeddingSpec(
        backbone=name,
        weights_sha256="",
        levels=defaults.levels,
        patch_size=defaults.patch_size,
        input_size=(defaults.input_size, defaults.input_size),
        aspect=aspect,
        grid_stride=defaults.grid_stride,
        tiles=tiles,
        mask_levels=defaults.mask_levels,
    )
    backbone = open_backbone(settings, name, spec.backbone_levels)
    return NewScorers(settings, backbone, replace(spec, weights_sha256=backbone.weights_sha256))


def scorer_for(settings: Settings, spec: EmbeddingSpec) -> Scorer:
    """Build the scorer that a stored model was made with. Raises ModelError or SettingsError."""
    return _scorer(settings, open_backbone(settings, spec.backbone, spec.backbone_levels), spec)


def _scorer(settings: Settings, backbone: Backbone, spec: EmbeddingSpec) -> Scorer:
    device = compute_device(settings)
    return Scorer(backbone, spec, device, compute_dtype(device, settings.precision))


@contextmanager
def release_log(settings: Settings) -> Iterator[ReleaseLog]:
    """Open the topic `models`; using it raises TransportError if no broker answers."""
    from qc_worker.transport.kafka.release_log import KafkaReleaseLog  # noqa: PLC0415

    with closing(KafkaReleaseLog(kafka_access(settings), topic=settings.models_topic)) as releases:
        yield releases


@contextmanager
def recent_inspections(settings: Settings) -> Iterator[RecentInspections]:
    """Open the end of the topic `results`; using it raises TransportError if no broker answers."""
    from qc_worker.transport.kafka.recent_inspections import KafkaRecentInspections  # noqa: PLC0415

    with closing(KafkaRecentInspections(kafka_access(settings), topic=settings.results_topic)) as inspections:
        yield inspections


@contextmanager
def collector(settings: Settings) -> Iterator[Collector]:
    """Open the collector of feedback and frames into the sample store."""
    from qc_worker.transport.kafka.feedback import KafkaCollectedOutbox, KafkaFeedbackSource  # noqa: PLC0415
    from qc_worker.transport.kafka.frame_reader import KafkaFrameReader  # noqa: PLC0415

    access = kafka_access(settings)
    source = KafkaFeedbackSource(access, topic=settings.feedback_topic, session_timeout_ms=settings.session_timeout_ms)
    outbox = KafkaCollectedOutbox(access, topic=settings.samples_topic)
    with closing(outbox), closing(source), closing(KafkaFrameReader(access)) as frames:
        yield Collector(
            source=source,
            frames=frames,
            store=sample_store(settings),
            limits=image_limits(settings),
            images_topic=settings.images_topic,
            outbox=outbox,
            joined=source.joined,
        )
