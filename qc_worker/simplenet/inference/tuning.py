"""Chooses the ways of computing that suit a device; the scores are the same."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Tuning:
    """Ways of computing."""

    stacked_heads: bool
    """Score frames of several lines in stacked heads (`head_banks`), else line after line.

    On a GPU an operator costs its launch, whatever its size, and line after line is hundreds of launches for a batch.
    On a CPU activations of one line stay in the caches, and no weights are copied for each frame.
    """
    padded_batches: bool
    """Pad batches to few sizes that are all warmed up (`buckets`).

    On CUDA the first batch of a size plans every convolution, which takes longer than the batch. A CPU plans nothing,
    and would compute frames that nobody asked for.
    """


def tuning_for(device: torch.device) -> Tuning:
    """Choose for a device."""
    on_gpu = device.type == "cuda"
    return Tuning(stacked_heads=on_gpu, padded_batches=on_gpu)
