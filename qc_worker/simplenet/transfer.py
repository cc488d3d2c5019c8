"""Copies small tensors to a device beside its work."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting for what it computes; a tensor that is there already is returned itself."""
    if device.type == "cuda" and not tensor.is_cuda:
        return tensor.pin_memory().to(device, non_blocking=True)  # torch keeps pinned memory until it is copied
    return tensor.to(device)
