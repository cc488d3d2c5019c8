"""Builds timm's networks, empty or with the weights of a file; transformers take frames of any size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.backbones.levels import first_complaint

PATCHES = "patch_embed.proj.weight"


def empty_network(name: str, **options: Any) -> Any:
    """Build a network with random weights, to be filled. Raises ModelError."""
    try:
        network = timm.create_model(name, **options)
    except RuntimeError as error:
        if "pretrained tag" not in str(error):
            raise
        raise ModelError(f"no backbone named {name!r}: {error}") from None
    if not hasattr(network, "forward_intermediates") or not hasattr(network, "feature_info"):
        raise ModelError(f"timm's {name} cannot give its feature maps")
    return network


def strides_of(network: Any) -> list[int]:
    """Return the stride of each feature map, in the network's order."""
    return [level["reduction"] for level in network.feature_info]


def is_transformer(name: str) -> bool:
    """Return True for networks with position embeddings for a grid: timm says that their input size is fixed."""
    return bool(timm.get_pretrained_cfg_value(name, "fixed_input_size"))


def transformer(name: str, state: Mapping[str, Tensor], file: Path) -> Any | None:
    """Build a transformer for pictures of any size with its weights; None if timm has it for one size only.

    timm renames the tensors that the authors of DINOv2 and DINOv3 published, and resizes position embeddings: here to
    the network's own grid, later in each pass to that of the picture. Raises ModelError.
    """
    try:
        with torch.device("meta"):
            expected = empty_network(name, dynamic_img_size=True).state_dict()
    except TypeError:
        return None
    _check_patches(name, expected, state, file)
    overlay = {"state_dict": _without_zero_biases(name, expected, state, file)}
    try:
        network = empty_network(name, pretrained=True, pretrained_cfg_overlay=overlay, dynamic_img_size=True)
    except Exception as error:  # noqa: BLE001  (weights of another network lead to any exception in timm's renaming)
        raise ModelError(f"{file} does not fit {name}: {type(error).__name__}: {first_complaint(error)}") from None
    network.pretrained_cfg.pop("state_dict", None)  # otherwise the weights stay in memory twice
    return network


def _check_patches(name: str, expected: Mapping[str, Tensor], state: Mapping[str, Tensor], file: Path) -> None:
    """Raise ModelError for no weights at all, and for patches of another size, which timm would resample silently."""
    if not state:
        raise ModelError(f"{file} has no weights in it")
    own, given = expected.get(PATCHES), state.get(PATCHES)
    if own is not None and given is not None and given.ndim == own.ndim and given.shape != own.shape:
        raise ModelError(f"{file} does not fit {name}: weights {PATCHES} {tuple(given.shape)}, not {tuple(own.shape)}")


def _without_zero_biases(
    name: str, expected: Mapping[str, Tensor], state: Mapping[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """Leave out the zero biases of queries and values that DINOv3's files have, for a network without them.

    timm would drop them even if they were not zero, and print to stdout. Biases of keys cancel out. Raises ModelError.
    """
    if "storage_tokens" not in state or any(key.endswith("q_bias") for key in expected):
        return dict(state)
    biases = {key for key in state if key.endswith("qkv.bias")}
    for key in biases:
        queries, _, values = state[key].chunk(3)
        if bool(queries.any() or values.any()):
            raise ModelError(f"{file} does not fit {name}: {key} is not zero; use {name.partition('.')[0]}_qkvb")
    return {key: tensor for key, tensor in state.items() if key not in biases}
