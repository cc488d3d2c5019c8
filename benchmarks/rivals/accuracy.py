"""Run anomalib's PatchCore and PaDiM for `accuracy.py`: its torch models with our weights, on the same pixels as ours.

Each picture is passed through our backbone once for all levels and seeds, in float32. The maps are kept in memory and
replace the output of the models' own feature extractor, which is equal (`tests/benchmarks/test_benchmarks.py`).
Everything after that is anomalib's: averaging, joining of levels, bank or Gaussians, distances, score, and blur
(computed in a quicker order).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.products.one_run import ASPECT, Product, Run, figures_of
from benchmarks.rivals.anomalib import layer_names, local_backbone, padim, patchcore
from qc_worker.imaging.aspect import InputSize
from qc_worker.imaging.image_files import image_files
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.simplenet.backbones.backbone import Backbone
from trainer.datasets.labelled import GOOD, LabelledImage
from trainer.datasets.masks import mask_at_input_size
from trainer.judging.localisation import PixelScores
from trainer.samples.reading import in_batches
from trainer.threads import map_in_order

LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=100_000_000)
DECODE_THREADS = 2
BATCH_SIZE = 8
BANK_SHARE = 0.1
MAX_BANK_ROWS = 20_000
"""A tenth of the patches is more than this at stride 8 only: 30,000 rows for 300 frames of 256 px, 74,000 for 320
frames of 384 px, where one test frame would take a second."""
PADIM_FEATURES: Mapping[str, int] = {"wide_resnet50_2": 550}
FEWEST_PADIM_FEATURES = 100
"""Number of channels that PaDiM keeps (anomalib and paper): 550 for WideResNet-50, 100 for small backbones."""
METHODS = ("PatchCore", "PaDiM")

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rival:
    """A method with its settings."""

    method: str
    levels: tuple[int, ...]
    greedy: bool = False
    """True to choose PatchCore's bank by greedy search instead of at random."""

    @property
    def name(self) -> str:
        return f"{self.method} {'+'.join(map(str, self.levels))}"


@dataclass(frozen=True, slots=True)
class Seen:
    """Feature maps of a product at one size: first the frames for fitting, then the test images."""

    product: Product
    backbone: Backbone
    weights: Path
    scratch: Path
    input_size: InputSize
    maps: dict[str, Tensor]
    """float32 (N, C, h, w) by anomalib's name of the layer."""
    training: int
    """Number of frames for fitting."""
    training_s: float
    """Seconds to decode these and pass them through the backbone."""


class RememberedMaps(nn.Module):
    """Replaces anomalib's feature extractor: every pixel of a picture holds its index in `maps`."""

    def __init__(self, maps: Mapping[str, Tensor], layers: Sequence[str]) -> None:
        super().__init__()
        self._maps = {layer: maps[layer] for layer in layers}

    def forward(self, numbered: Tensor) -> dict[str, Tensor]:
        numbers = numbered[:, 0, 0, 0].long()
        return {layer: maps[numbers] for layer, maps in self._maps.items()}


class SeparableBlur(nn.Module):
    """anomalib's Gaussian blur by columns and then by rows: its 33 x 33 kernel took most of the time of a frame."""

    def __init__(self, blur: Any) -> None:
        super().__init__()
        self._kernel: Tensor = blur.kernel[:1]
        self._padding: list[int] = list(blur.padding_shape)
        self._border: str = blur.border_type

    def forward(self, maps: Tensor) -> Tensor:
        padded = F.pad(maps, self._padding, mode=self._border)
        # The kernel is the product of two 1-D kernels that sum to 1, so its sums along each side are those kernels.
        by_columns = F.conv2d(padded, self._kernel.sum(dim=3, keepdim=True))
        return F.conv2d(by_columns, self._kernel.sum(dim=2, keepdim=True))


def see(product: Product, backbone: Backbone, weights: Path, *, scratch: Path, input_size: InputSize) -> Seen:
    """Decode all pictures of a product and pass them through `backbone`, which has the strides of all rivals."""
    good = image_files(product.good)
    layers = layer_names(backbone.name, backbone.levels)
    maps: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    passes_s: list[float] = []
    for files in (good, [image.path for image in product.images]):
        started_s = monotonic()
        for batch in in_batches(_pictures(files, input_size), BATCH_SIZE):
            for layer, found in zip(layers, backbone(torch.stack(batch)), strict=True):
                maps[layer].append(found.contiguous())
        passes_s.append(monotonic() - started_s)
    joined = {layer: torch.cat(of_layer) for layer, of_layer in maps.items()}
    return Seen(product, backbone, weights, scratch, input_size, joined, len(good), passes_s[0])


def _pictures(files: Sequence[Path], input_size: InputSize) -> Iterator[Tensor]:
    def decode(path: Path) -> Tensor:
        return decode_picture(path.read_bytes(), input_size=input_size, aspect=ASPECT, limits=LIMITS).pixels

    return map_in_order(decode, files, threads=DECODE_THREADS)


@torch.no_grad()
def run_rival(rival: Rival, seen: Seen, seed: int) -> Run:
    """Fit a rival to all good frames, and judge all test images."""
    model = _new_model(rival, seen)
    torch.manual_seed(seed)
    started_s = monotonic()
    _fit(model, rival, seen)
    fitted_s = monotonic()
    scores, pixels = _judge(model, seen)
    defects = [kind for kind in seen.product.counts if kind != GOOD]
    overall = figures_of(scores, pixels, defects)
    return Run(
        product=seen.product.name,
        side=rival.name,
        seed=seed,
        input_size=seen.input_size,
        levels=rival.levels,
        frames=seen.training,
        train_s=seen.training_s + fitted_s - started_s,
        judge_s=monotonic() - fitted_s,
        overall=overall,
        by_defect={kind: figures_of(scores, pixels, [kind]) for kind in defects},
        scores=scores,
    )


def _new_model(rival: Rival, seen: Seen) -> Any:
    backbone = seen.backbone.name
    name = local_backbone(backbone, seen.weights, seen.scratch / "timm")
    layers = layer_names(backbone, rival.levels)
    if rival.method == "PatchCore":
        model: Any = patchcore(name, layers)
    else:
        channels = sum(seen.maps[layer].shape[1] for layer in layers)
        model = padim(name, layers, min(PADIM_FEATURES.get(backbone, FEWEST_PADIM_FEATURES), channels))
        # Drawn again for our maps: at stride 32, our backbone has fewer channels than anomalib's extractor.
        model.idx = torch.randperm(channels)[: model.n_features]
    model.feature_extractor = RememberedMaps(seen.maps, layers)
    model.anomaly_map_generator.blur = SeparableBlur(model.anomaly_map_generator.blur)
    return model


def _fit(model: Any, rival: Rival, seen: Seen) -> None:
    """Pass the good frames through the model in training mode, which keeps their embeddings."""
    model.train()
    for numbers in in_batches(range(seen.training), BATCH_SIZE):
        model(_numbered(numbers, seen.input_size))
    if rival.method == "PaDiM":
        model.fit()
    else:
        _fill_bank(model, greedy=rival.greedy)
    model.eval()


def _fill_bank(model: Any, *, greedy: bool) -> None:
    rows = sum(len(embedding) for embedding in model.embedding_store)
    kept = min(max(1, round(BANK_SHARE * rows)), MAX_BANK_ROWS)
    if greedy:
        model.subsample_embedding(kept / rows)
        return
    patches = torch.vstack(model.embedding_store)
    model.memory_bank = patches[torch.randperm(rows)[:kept]].contiguous()
    model.embedding_store.clear()


def _judge(model: Any, seen: Seen) -> tuple[dict[str, list[float]], dict[str, PixelScores]]:
    scores: dict[str, list[float]] = {kind: [] for kind in seen.product.counts}
    pixels = {kind: PixelScores() for kind in scores}
    for batch in in_batches(enumerate(seen.product.images, start=seen.training), BATCH_SIZE):
        found = model(_numbered([number for number, _ in batch], seen.input_size))
        maps = found.anomaly_map.squeeze(1).float().numpy()
        for (_, image), score, anomaly_map in zip(batch, found.pred_score.flatten().tolist(), maps, strict=True):
            scores[image.kind].append(score)
            _count_pixels(pixels[image.kind], anomaly_map, image, seen.input_size)
    for group in pixels.values():
        group.finish()
    return scores, pixels


def _count_pixels(group: PixelScores, anomaly_map: Map, image: LabelledImage, input_size: InputSize) -> None:
    if image.kind == GOOD:
        group.add(anomaly_map, np.zeros(input_size, dtype=bool))
    elif image.masks:
        group.add(anomaly_map, mask_at_input_size(image.masks, input_size=input_size, aspect=ASPECT, limits=LIMITS))


def _numbered(numbers: Sequence[int], input_size: InputSize) -> Tensor:
    """Make pictures for `RememberedMaps`; expanded from one value each, so they take no memory."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, *input_size)
