"""Builds backbones from timm, by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.backbones.levels import check_levels, load_strictly
from qc_worker.simplenet.backbones.timm_networks import empty_network, is_transformer, strides_of, transformer
from qc_worker.simplenet.backbones.weights import read_state


class TimmLevels:
    """A timm network without the blocks below the deepest level.

    If the network takes pictures of any size, its maps have ceil(S / stride) cells: convolutions round up by
    themselves; for a transformer a picture is stretched until its sides are multiples of the patches.
    """

    def __init__(self, network: Any, levels: tuple[int, ...], *, name: str = "", takes_any_size: bool = True) -> None:
        strides = strides_of(network)
        check_levels(name or type(network).__name__, levels, tuple(sorted(set(strides))))
        self.indices = [_map_at(strides, stride) for stride in levels]
        self.channels = tuple(network.feature_info[index]["num_chs"] for index in self.indices)
        self.mean: tuple[float, ...] = tuple(network.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(network.pretrained_cfg["std"])
        self._multiple = min(strides) if network.pretrained_cfg.get("fixed_input_size") else 1
        self._only_size = None if takes_any_size else tuple(network.pretrained_cfg["input_size"][1:])
        self._name = name
        network.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)
        self.module: nn.Module = network
        self._intermediates = network.forward_intermediates

    def maps(self, images: Tensor) -> list[Tensor]:
        """Compute the maps, without class and register tokens. Raises ModelError for a size that the network lacks."""
        if self._only_size and self._only_size != tuple(images.shape[-2:]):
            height, width = self._only_size
            raise ModelError(f"{self._name} takes frames of {height} x {width} px only; set --input-size to that")
        found: list[Tensor] = self._intermediates(
            stretched(images, self._multiple), indices=self.indices, intermediates_only=True, stop_early=True
        )
        return found


class LiteLevels:
    """EfficientNet-Lite cut after chosen stages; of the two with stride 32 the first, which finds more defects.

    The second, one block of 320 channels, is close to the classes that it was trained for (docs/explanation/model.md).
    """

    STAGES: ClassVar[Mapping[int, int]] = MappingProxyType({2: 1, 4: 2, 8: 3, 16: 5, 32: 6})
    """Stage after which a map is taken, by its stride; the stem counts as 0."""

    def __init__(self, network: Any, levels: tuple[int, ...]) -> None:
        check_levels("efficientnet_lite0", levels, tuple(self.STAGES))
        self.indices = [self.STAGES[stride] for stride in levels]
        self.channels = tuple(
            network.blocks[index - 1][-1].feature_info("bottleneck")["num_chs"] for index in self.indices
        )
        self.mean: tuple[float, ...] = tuple(network.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(network.pretrained_cfg["std"])
        network.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True, extra_blocks=True)
        self.module: nn.Module = network
        self._intermediates = network.forward_intermediates

    def maps(self, images: Tensor) -> list[Tensor]:
        """Compute the maps. Shapes: (B, 3, H, W) -> (B, C_l, H / stride, W / stride) each, rounded up."""
        found: list[Tensor] = self._intermediates(
            images, indices=self.indices, intermediates_only=True, stop_early=True, extra_blocks=True
        )
        return found


def stretched(images: Tensor, multiple: int) -> Tensor:
    """Enlarge both sides to the next multiples, so that each patch has as many pixels.

    Padding would add a border that no camera saw, and the map would extend beyond the picture.
    Shapes: (B, 3, H, W) -> (B, 3, H', W').
    """
    size = [-(-side // multiple) * multiple for side in images.shape[-2:]]
    if size == list(images.shape[-2:]):
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def is_timm(name: str) -> bool:
    """Return True if timm knows the name, which is also the check that keeps paths and URLs out of file names."""
    return "/" not in name and ":" not in name and bool(timm.is_model(name))


def timm_strides(name: str) -> tuple[int, ...]:
    """Return the strides of a timm network's maps, ascending, without memory for its weights. Raises ModelError."""
    with torch.device("meta"):
        return tuple(sorted(set(strides_of(empty_network(name)))))


def timm_levels(name: str, levels: tuple[int, ...], file: Path) -> TimmLevels:
    """Build any timm network with timm's own weights from a file. Raises ModelError."""
    state = read_state(file)
    if is_transformer(name):
        network = transformer(name, state, file)
        if network is not None:
            return TimmLevels(network, levels, name=name)
    network = empty_network(name)
    load_strictly(network, state, str(file))
    return TimmLevels(network, levels, name=name, takes_any_size=not is_transformer(name))


def efficientnet_lite0(levels: tuple[int, ...], file: Path) -> "LiteLevels":
    """Build EfficientNet-Lite0; the file may have timm's names or those of the PyPI package. Raises ModelError."""
    network = empty_network("tf_efficientnet_lite0")
    state = read_state(file)
    expected = network.state_dict()
    load_strictly(network, state if state.keys() == expected.keys() else in_order(state, expected), str(file))
    return LiteLevels(network, levels)


def in_order(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors by their order, which is that of the layers. Raises ModelError where kind or shape differ."""
    if len(state) != len(expected):
        raise ModelError(f"{len(state)} tensors of weights, expected {len(expected)}")
    pairs = list(zip(state.items(), expected.items(), strict=True))
    for (name, tensor), (own_name, own) in pairs:
        same_kind = name.rpartition(".")[2] == own_name.rpartition(".")[2]
        if not same_kind or tensor.shape != own.shape:
            raise ModelError(f"weights {name} {tuple(tensor.shape)} do not fit {own_name} {tuple(own.shape)}")
    return {own_name: tensor for (_, tensor), (own_name, _) in pairs}


def _map_at(strides: Sequence[int], stride: int) -> int:
    """Choose among several maps with one stride: the last, which has seen most; of a ViT's blocks an inner one.

    All blocks of a ViT have the stride of its patches. The last ones are specialised for its training task; the one at
    two thirds of the depth (8th of 12) is among those that Dinomaly compares (3rd to 10th, arXiv:2405.14325).
    """
    if len(set(strides)) == 1:
        return -(-2 * len(strides) // 3) - 1
    return max(index for index, own in enumerate(strides) if own == stride)
