"""anomalib's PatchCore and PaDiM for `accuracy.py`: their torch models, on our weights and the very pixels that we get.

The backbone passes each picture once for all levels and seeds, as ours passes it (float32); what it gave is kept in
memory and stands in for the models' own feature extractor, whose maps are the same
(`tests/benchmarks/test_benchmarks.py`). All that comes after it is anomalib's: averaging, joining of levels, bank or
Gaussians, distances, score, blur (computed in a quicker order).
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
from qc_worker.imaging.preprocessing import ImageLimits, decode_picture
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
"""The bank's tenth goes over it only at stride 8: 30,000 rows of 300 frames at 256 px, 74,000 of 320 at 384, where one
test frame would take a second."""
PADIM_FEATURES: Mapping[str, int] = {"wide_resnet50_2": 550}
FEWEST_PADIM_FEATURES = 100
"""How many channels PaDiM keeps, by anomalib and the paper: 550 of WideResNet-50's, 100 of a small backbone's."""
METHODS = ("PatchCore", "PaDiM")

Map = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rival:
    """A method with its settings."""

    method: str
    levels: tuple[int, ...]
    greedy: bool = False
    """PatchCore's bank by greedy search instead of at random."""

    @property
    def name(self) -> str:
        return f"{self.method} {'+'.join(map(str, self.levels))}"


@dataclass(frozen=True, slots=True)
class Seen:
    """A product at one size, passed through the backbone once: first the frames to fit to, then the test images."""

    product: Product
    backbone: Backbone
    weights: Path
    scratch: Path
    input_size: InputSize
    maps: dict[str, Tensor]
    """float32 (N, C, h, w) by anomalib's name of the layer."""
    training: int
    """How many frames there are to fit to."""
    training_s: float
    """What the pass of these took."""


class RememberedMaps(nn.Module):
    """Stands in for anomalib's feature extractor. Takes pictures whose every pixel is their number in `maps`."""

    def __init__(self, maps: Mapping[str, Tensor], layers: Sequence[str]) -> None:
        super().__init__()
        self._maps = {layer: maps[layer] for layer in layers}

    def forward(self, numbered: Tensor) -> dict[str, Tensor]:
        numbers = numbered[:, 0, 0, 0].long()
        return {layer: maps[numbers] for layer, maps in self._maps.items()}


class SeparableBlur(nn.Module):
    """anomalib's Gaussian blur, by columns and then by rows: its 33 x 33 products a pixel took most of a judgement."""

    def __init__(self, blur: Any) -> None:
        super().__init__()
        self._kernel: Tensor = blur.kernel[:1]
        self._padding: list[int] = list(blur.padding_shape)
        self._border: str = blur.border_type

    def forward(self, maps: Tensor) -> Tensor:
        padded = F.pad(maps, self._padding, mode=self._border)
        # The kernel is a product of two that sum up to 1, so its sums along either side are these.
        by_columns = F.conv2d(padded, self._kernel.sum(dim=3, keepdim=True))
        return F.conv2d(by_columns, self._kernel.sum(dim=2, keepdim=True))


def see(product: Product, backbone: Backbone, weights: Path, *, scratch: Path, input_size: InputSize) -> Seen:
    """Decode and pass all of a product's pictures. `backbone` has all strides that a rival may want."""
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
    """Fit to all good frames, judge all test images."""
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
        # Drawn from the channels that it will see: at stride 32 ours has fewer than anomalib's extractor.
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
    """Pictures for `RememberedMaps`; they take no memory."""
    return torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, *input_size)
