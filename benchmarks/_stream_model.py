"""Models that judge as fast as trained ones: random heads, calibrated on simulated good frames."""

from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision.models

from benchmarks._stream_plant import LINES, Plant
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.release import Release
from qc_worker.embedded.simulation import Simulation
from qc_worker.registry.store import FsspecModelStore
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.card import ModelCard, SampleManifest, TrainingSettings
from qc_worker.simplenet.checkpoint import CARD_FILE, save_model
from qc_worker.simplenet.defaults import defaults_for
from qc_worker.simplenet.files import file_sha256
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.preprocessing import ImageLimits, decode_picture
from qc_worker.simplenet.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.simplenet.weights import packaged_efficientnet_lite0
from qc_worker.transport.kafka_releases import KafkaReleaseLog

GOOD_FRAMES = 40
MAX_FALSE_REJECT = 0.05
VERSION = "untrained"
LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 25)


def announce_models(plant: Plant, folder: Path, *, backbone: str, weights: Path) -> None:
    """Put a model of every line into the store, and announce it."""
    defaults = defaults_for(backbone)
    size, wide = defaults.input_size, defaults.wide_stride
    spec = EmbeddingSpec(backbone, file_sha256(weights), defaults.levels, defaults.patch_size, size, "squash", wide)
    network = load_backbone(backbone, levels=spec.strides, weights_dir=folder, file=weights)
    releases = KafkaReleaseLog(plant.access, topic=plant.topic("models"))
    for line in LINES:
        torch.manual_seed(0)
        head = Head(sum(network.channels), defaults.hidden).eval().requires_grad_(False)
        calibration = Calibration(_good_scores(line, head, network, spec), max_false_reject=MAX_FALSE_REJECT)
        releases.announce(_store(plant, folder / f"model-{line}", head, _card(line, head, spec, calibration)))
    releases.close()


def weights_of(backbone: str, folder: Path) -> Path:
    """The packaged weights, or random ones where none are packaged: speed does not depend on them."""
    if backbone == "efficientnet_lite0":
        return packaged_efficientnet_lite0(folder)
    torch.manual_seed(0)
    path = folder / f"{backbone}.pth"
    torch.save(getattr(torchvision.models, backbone)(weights=None).state_dict(), path)
    return path


def _good_scores(line: str, head: Head, network: Backbone, spec: EmbeddingSpec) -> tuple[float, ...]:
    scorer = Scorer(network, spec, torch.device("cpu"))
    folded = scorer.take_in(head)
    simulation = Simulation(line, seed=1, defect_share=0.0)
    scores = [
        float(scorer.score(_pixels(simulation.frame(index).content, spec)[None], [folded]).scores)
        for index in range(GOOD_FRAMES)
    ]
    return tuple(sorted(scores))


def _pixels(content: bytes, spec: EmbeddingSpec) -> torch.Tensor:
    return decode_picture(content, input_size=spec.input_size, aspect=spec.aspect, limits=LIMITS).pixels


def _card(line: str, head: Head, spec: EmbeddingSpec, calibration: Calibration) -> ModelCard:
    return ModelCard(
        line=line,
        version=VERSION,
        embedding=spec,
        channels=head.channels,
        hidden=defaults_for(spec.backbone).hidden,
        calibration=calibration,
        samples=SampleManifest(training=(), calibration=()),
        training=TrainingSettings(),
        seed=0,
        duration_s=0.0,
        created_at=datetime.now(UTC),
    )


def _store(plant: Plant, folder: Path, head: Head, card: ModelCard) -> Release:
    folder.mkdir()
    save_model(folder, head, card)
    card_sha256 = file_sha256(folder / CARD_FILE)
    FsspecModelStore(str(plant.state_dir / "models")).add(folder, line=card.line, version=card.version)
    return Release(card.line, card.version, card_sha256, card.calibration.threshold, datetime.now(UTC))
