"""Backbones from timm, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.levels import check_levels, load_strictly
from qc_worker.simplenet.weights import read_state


class TimmLevels:
    """A timm network without the blocks below the deepest level."""

    def __init__(self, network: Any, levels: tuple[int, ...]) -> None:
        strides = [level["reduction"] for level in network.feature_info]
        check_levels(type(network).__name__, levels, tuple(sorted(set(strides))))
        # Of several maps with one stride the last has seen most.
        deepest = {stride: index for index, stride in enumerate(strides)}
        self.indices = [deepest[stride] for stride in levels]
        self.channels = tuple(network.feature_info[index]["num_chs"] for index in self.indices)
        self.mean: tuple[float, ...] = tuple(network.pretrained_cfg["mean"])
        self.std: tuple[float, ...] = tuple(network.pretrained_cfg["std"])
        network.prune_intermediate_layers(self.indices, prune_norm=True, prune_head=True)
        self.module: nn.Module = network
        self._intermediates = network.forward_intermediates

    def maps(self, images: Tensor) -> list[Tensor]:
        found: list[Tensor] = self._intermediates(
            images, indices=self.indices, intermediates_only=True, stop_early=True
        )
        return found


def is_timm(name: str) -> bool:
    """Whether timm knows the name; also what keeps paths and URLs out of file names."""
    return "/" not in name and ":" not in name and bool(timm.is_model(name))


def timm_levels(name: str, levels: tuple[int, ...], file: Path) -> TimmLevels:
    """Any timm network with timm's own weights in a file. Raises ModelError."""
    network = _network(name)
    load_strictly(network, read_state(file), str(file))
    return TimmLevels(network, levels)


def efficientnet_lite0(levels: tuple[int, ...], file: Path) -> TimmLevels:
    """EfficientNet-Lite0; the file may have timm's names or those of the PyPI package. Raises ModelError."""
    network = _network("tf_efficientnet_lite0")
    state = read_state(file)
    expected = network.state_dict()
    load_strictly(network, state if state.keys() == expected.keys() else in_order(state, expected), str(file))
    return TimmLevels(network, levels)


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


def _network(name: str) -> nn.Module:
    network: nn.Module = timm.create_model(name, pretrained=False)
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise ModelError(f"timm's {name} cannot give its feature maps")
    return network
