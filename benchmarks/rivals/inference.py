"""Build the sides of `score.py`: each computes image scores of decoded frames, or, as the floor, feature maps only."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import timm
import torch
from torch import Tensor, nn

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.random_models import INPUT_SIZE, backbone_of, embedding_of, line_head, shape_of
from benchmarks.rivals.anomalib import TIMM_NAMES, layer_names, local_backbone, patchcore, super_simple_net
from benchmarks.rivals.published_simplenet import Normalisation, PlainSimpleNet
from qc_worker.simplenet.anomaly_map import anomaly_maps, image_scores
from qc_worker.simplenet.inference.compilation import ComputeLevels, compiled
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.precision import FORMATS
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.patch_features import AggregatedLevels, concatenate

MAX_LINES = 32
BANK_FRAMES = 200
"""PatchCore's memory bank holds a tenth of the patches of this many frames, the share that its authors keep."""


class Side(Protocol):
    """One side of the race."""

    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        """Judge a batch; `lines[i]` is the line of frame i. Shapes: uint8 (B, 3, S, S) -> (B,), on the CPU."""
        ...

    def take_in_lines(self, count: int) -> int:
        """Make `count` lines resident, if the side supports several; return the bytes of one more line."""
        ...


def build(spec: SideSpec) -> Side:
    if spec.side == "floor":
        return Floor(spec)
    if spec.side == "ours":
        return Ours(spec)
    if spec.side == "unfolded":
        return Unfolded(spec)
    return Plain(spec) if spec.side == "plain" else Anomalib(spec)


class OneLine:
    """Base of sides that support one line only."""

    def take_in_lines(self, count: int) -> int:
        del count
        return 0


class Floor(OneLine):
    """The backbone's forward pass alone, in the same number format as ours and compiled alike.

    A single frame has its own graph here. Ours has no second graph and passes the frame twice, at its own cost.
    """

    def __init__(self, spec: SideSpec) -> None:
        device = torch.device(spec.device)
        backbone = backbone_of(spec).to(device).compute_in(_dtype(spec))
        levels = BackboneOnly(backbone, embedding_of(spec, backbone).backbone_pass)
        self._compute: ComputeLevels = levels
        if spec.compiled:
            limit = spec.max_batch_size
            self._compute = compiled(levels, input_size=(INPUT_SIZE, INPUT_SIZE), max_batch_size=limit, device=device)
        self._compute_one = self._compute
        # If nothing can be compiled, `compiled` returned the plain levels.
        if spec.single_frames and self._compute is not levels:
            self._compute_one = torch.compile(levels, dynamic=False, options={"freezing": True})
        self._device = device

    @torch.no_grad()
    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        # In the memory layout that graphs are compiled for; another one would cause a recompilation.
        pixels = pixels.contiguous(memory_format=torch.channels_last).to(self._device)
        maps = (self._compute if len(pixels) > 1 else self._compute_one)(pixels)
        # The copy to the CPU waits until a GPU has finished.
        return maps[-1][:, 0, 0, 0].float().cpu()[: len(lines)]


class BackboneOnly(AggregatedLevels):
    """Backbone maps without aggregation, for the floor."""

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.backbone(pixels)
        return maps


class Ours:
    """The worker's scorer: folded heads on one backbone pass, maps and scores on the device."""

    def __init__(self, spec: SideSpec) -> None:
        backbone = backbone_of(spec)
        self._scorer = Scorer(backbone, embedding_of(spec, backbone), torch.device(spec.device), _dtype(spec))
        if spec.compiled:
            self._scorer.compile(spec.max_batch_size)
        self._spec = spec
        self._heads: list[FoldedHead] = []
        self.take_in_lines(1)

    def take_in_lines(self, count: int) -> int:
        for line in range(len(self._heads), count):
            channels, finer = self._scorer.level_channels, self._scorer.mask_channels
            head = line_head(self._spec, channels, line, mask_channels=finer)
            self._heads.append(self._scorer.take_in(head))
        return self._heads[-1].bytes

    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        return self._scorer.score(pixels, [self._heads[line] for line in lines]).scores.cpu()


class Unfolded(OneLine):
    """Our embedding and head without folding, as in training; tests compare the folded form with it."""

    def __init__(self, spec: SideSpec) -> None:
        device = torch.device(spec.device)
        backbone = backbone_of(spec)
        self._levels = AggregatedLevels(backbone, embedding_of(spec, backbone).backbone_pass).to(device)
        self._head = line_head(spec, self._levels.channels, 0).to(device)
        self._grid = shape_of(spec.backbone, spec.model).grid
        self._device = device

    @torch.no_grad()
    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        levels = self._levels(pixels.to(self._device))[: len(self._levels.channels)]
        cells = self._head.patch_scores(concatenate(levels, self._grid))
        scores, _ = image_scores(cells), anomaly_maps(cells, (INPUT_SIZE, INPUT_SIZE))
        return scores.cpu()[: len(lines)]


class Plain(OneLine):
    """The paper's pipeline as published; in bfloat16 by autocast."""

    def __init__(self, spec: SideSpec) -> None:
        backbone, device = backbone_of(spec).to(spec.device), torch.device(spec.device)
        network = _timm_network(spec).to(device)
        head = line_head(spec, backbone.channels, 0).to(device)
        patch_size = shape_of(spec.backbone, spec.model).patch_size
        self._model = PlainSimpleNet(network, head, Normalisation(backbone.mean, backbone.std), patch_size)
        self._spec = spec

    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        with _autocast(self._spec):
            return self._model.score(pixels)[0][: len(lines)]


class Anomalib(OneLine):
    """A model of anomalib, unchanged; in bfloat16 by autocast. The values of its weights do not matter here."""

    def __init__(self, spec: SideSpec) -> None:
        self._backbone = backbone_of(spec).to(spec.device)
        name = local_backbone(spec.backbone, Path(spec.weights), Path(spec.scratch) / spec.side)
        layers = layer_names(spec.backbone, self._backbone.levels)
        model = patchcore(name, layers) if spec.side == "patchcore" else super_simple_net(name, layers)
        self._model = model.to(spec.device).eval()
        if spec.side == "patchcore":
            cells = (INPUT_SIZE // self._backbone.levels[0]) ** 2
            bank = torch.randn(BANK_FRAMES * cells // 10, sum(self._backbone.channels))
            model.memory_bank = bank.to(spec.device)
        self._spec = spec

    @torch.no_grad()
    def score(self, pixels: Tensor, lines: Sequence[int]) -> Tensor:
        normalised = (pixels.to(self._spec.device).float() - self._backbone.mean) / self._backbone.std
        with _autocast(self._spec):
            scores: Tensor = self._model(normalised).pred_score
        return scores.float().cpu()[: len(lines)]


def _timm_network(spec: SideSpec) -> nn.Module:
    """Build the same network with channels first, as a reader of the paper would."""
    name = local_backbone(spec.backbone, Path(spec.weights), Path(spec.scratch) / spec.side)
    info: Any = timm.create_model(TIMM_NAMES[spec.backbone], pretrained=False, features_only=True).feature_info
    indices = [info.reduction().index(stride) for stride in shape_of(spec.backbone, spec.model).levels]
    network: nn.Module = timm.create_model(name, pretrained=True, features_only=True, out_indices=indices)
    return network.eval()


def _dtype(spec: SideSpec) -> torch.dtype:
    return FORMATS[spec.precision]


def _autocast(spec: SideSpec) -> AbstractContextManager[object]:
    if spec.precision == "float32":
        return nullcontext()
    return torch.autocast(torch.device(spec.device).type, _dtype(spec))
