"""Announce models with random heads that cost as much as trained ones and reject about as many frames.

A random head cannot recognise the simulation's defects. Its threshold is therefore set so that about as many frames are
rejected as are defective, though not the same ones: then as many frames need a mask and a heatmap as with a trained
head.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
import torchvision.models

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.load import simulated_frames
from benchmarks.harness.plant import LINES, Plant
from benchmarks.harness.random_models import backbone_of, embedding_of, line_head
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.release import Release
from qc_worker.files import file_sha256
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from qc_worker.simplenet.card import ModelCard, SampleManifest
from qc_worker.simplenet.checkpoint import CARD_FILE, save_model
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.inference.precision import compute_dtype
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.transport.kafka.release_log import KafkaReleaseLog

BATCH_SIZE = 8
CALIBRATION_FRAMES = 64
"""Number of each line's 100 frames to calibrate on; 12 and 17 of the 100 are then rejected."""
REJECTED_SHARE = 0.15
VERSION = "untrained"
LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 25)


def announce_models(plant: Plant, folder: Path, *, backbone: str, weights: Path) -> None:
    """Store and announce a model for every line."""
    side = SideSpec("ours", backbone, str(weights), str(folder), model="default")
    network, device = backbone_of(side), torch.device("cpu")
    # In the worker's number format: scores of random heads are so close together that rounding changes verdicts.
    dtype = compute_dtype(device, Settings().precision)
    scorer = Scorer(network, embedding_of(side, network), device, dtype)
    releases = KafkaReleaseLog(plant.access, topic=plant.topic("models"))
    for number, line in enumerate(LINES):
        head = line_head(side, scorer.level_channels, number, mask_channels=scorer.mask_channels)
        calibration = Calibration(_scores(line, head, scorer), max_false_reject=REJECTED_SHARE)
        releases.announce(_store(plant, folder / f"model-{line}", head, _card(line, head, scorer.spec, calibration)))
    releases.close()


def weights_of(backbone: str, folder: Path) -> Path:
    """Return the packaged weights, else random ones: speed does not depend on them."""
    if backbone == "efficientnet_lite0":
        return packaged_efficientnet_lite0(folder)
    torch.manual_seed(0)
    path = folder / f"{backbone}.pth"
    torch.save(getattr(torchvision.models, backbone)(weights=None).state_dict(), path)
    return path


def _scores(line: str, head: Head, scorer: Scorer) -> tuple[float, ...]:
    folded = scorer.take_in(head)
    contents = simulated_frames()[LINES.index(line) :: len(LINES)][:CALIBRATION_FRAMES]
    scores: list[float] = []
    for start in range(0, len(contents), BATCH_SIZE):
        pixels = _pixels(contents[start : start + BATCH_SIZE], scorer.spec)
        scores += scorer.score(pixels, [folded] * len(pixels)).scores.tolist()
    return tuple(sorted(scores))


def _pixels(contents: Sequence[bytes], spec: EmbeddingSpec) -> torch.Tensor:
    size, aspect = spec.input_size, spec.aspect
    return torch.stack([decode_picture(one, input_size=size, aspect=aspect, limits=LIMITS).pixels for one in contents])


def _card(line: str, head: Head, spec: EmbeddingSpec, calibration: Calibration) -> ModelCard:
    return ModelCard(
        line=line,
        version=VERSION,
        embedding=spec,
        head=head.shape,
        calibration=calibration,
        samples=SampleManifest(training=(), calibration=()),
        training=FitSettings(),
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
