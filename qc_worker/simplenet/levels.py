"""A network cut down to the feature maps that are asked for."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from qc_worker.domain.errors import ModelError


class Levels(Protocol):
    """What `Backbone` needs of a network; built by `wide_resnet` and `timm_levels`."""

    module: nn.Module
    """Holds the parameters."""
    channels: tuple[int, ...]
    """Channels of each level asked for."""
    mean: tuple[float, ...]
    """Of the pixels in 0..1 that the weights were trained on, per colour."""
    std: tuple[float, ...]
    """Likewise."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Normalised (B, 3, H, W) -> one (B, C_l, H/stride, W/stride) for each level asked for, in that order."""
        ...


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Fill a network. Raises ModelError unless names and shapes are exactly the network's."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        first = str(error).strip().splitlines()[1:2] or [str(error)]
        raise ModelError(f"{source} does not fit {type(network).__name__}: {first[0].strip()[:200]}") from None


def check_levels(name: str, levels: tuple[int, ...], available: tuple[int, ...]) -> None:
    """Raise ModelError unless `levels` are ascending strides that the network has."""
    if not levels or list(levels) != sorted(set(levels)) or not set(levels) <= set(available):
        raise ModelError(f"{name} has feature maps of strides {available}, ascending; asked for {levels}")
