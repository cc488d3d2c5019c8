"""The interface of a network that is cut down to the feature maps asked for, and the checks that all of them share."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from qc_worker.domain.errors import ModelError


class Levels(Protocol):
    """A network as `Backbone` needs it; built by `wide_resnet` and `timm`."""

    module: nn.Module
    """Holds the parameters."""
    channels: tuple[int, ...]
    """Channels of each level asked for."""
    mean: tuple[float, ...]
    """Mean of the pixels in 0..1 that the weights were trained on, per colour."""
    std: tuple[float, ...]
    """Their standard deviation, per colour."""

    def maps(self, images: Tensor) -> list[Tensor]:
        """Compute the map of each level asked for, in that order.

        Shapes: normalised (B, 3, H, W) -> (B, C_l, H / stride, W / stride) each.
        """
        ...


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load tensors into a network. Raises ModelError unless names and shapes are exactly the network's."""
    try:
        network.load_state_dict(dict(state), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{source} does not fit {type(network).__name__}: {first_complaint(error)}") from None


def first_complaint(error: Exception) -> str:
    """Return the first tensor that torch complains about, without the heading before it; one line."""
    first = str(error).strip().splitlines()[1:2] or [str(error)]
    return first[0].strip()[:200]


def check_levels(name: str, levels: tuple[int, ...], available: tuple[int, ...]) -> None:
    """Raise ModelError unless `levels` are ascending strides that the network has."""
    if not levels or list(levels) != sorted(set(levels)) or not set(levels) <= set(available):
        raise ModelError(
            f"{name} has feature maps of strides {_listed(available)}, not {levels}: choose from these, ascending"
        )


def _listed(strides: tuple[int, ...]) -> str:
    return f"{strides[0]} only" if len(strides) == 1 else ", ".join(map(str, strides))
