"""From one fitted discriminator for each level to the line's head: ordinary layers with blocks of zeros.

A level's score has two parts, each divided by its standard deviation on good patches:

- what its discriminator learned, -D(q);
- a distance that needs no learning, the mean of |q . r| over orthonormal directions r. As |x| = (LeakyReLU(x) +
  LeakyReLU(-x)) / 0.8, it is two hidden units for each direction.

The levels' scores are added, weighted. So the levels stay apart up to the sum: one covariance over all of them would
give the coarsest, which has the most channels, nearly all the say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qc_worker.simplenet.discriminator import NEGATIVE_SLOPE, Discriminator
from qc_worker.simplenet.head import Head
from trainer.patch_bank import PatchFeatures


@dataclass(frozen=True, slots=True)
class LevelPart:
    """One level's head, fitted to that level's channels alone, in eval mode."""

    head: Head
    is_learned: bool
    """Whether its discriminator counts; else its distance alone."""
    features: PatchFeatures
    weight: float
    """Of the level's score in the sum."""


@torch.no_grad()
def assemble(parts: Sequence[LevelPart], *, directions: int, seed: int, cells: tuple[int, int]) -> Head:
    """One head that adds the weighted scores of all levels, in the order of the embedding; on the CPU, in eval mode.

    `directions` of each level are measured, at most as many as it has channels; `cells` is the embedding's
    (h0, w0).
    """
    widened = [_with_distance(part, directions, seed) for part in parts]
    channels, hidden = sum(head.channels for head in widened), sum(head.hidden for head in widened)
    whole = Head(channels, hidden, cells).eval().requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    tensors = [head.state_dict() for head in widened]
    for name in state:
        own = [tensor[name] for tensor in tensors]
        if name.startswith(("adaptor.projection.weight", "discriminator.body.weight")):
            state[name] = _block_diagonal(own)
        elif name == "discriminator.tail.weight":
            state[name] = torch.cat([part.weight * tail for part, tail in zip(parts, own, strict=True)], dim=1)
        elif name.startswith(("standardiser.", "adaptor.", "discriminator.")) and own[0].dim():
            state[name] = torch.cat(own)
    whole.load_state_dict(state)
    return whole


def _block_diagonal(blocks: Sequence[Tensor]) -> Tensor:
    rows, columns = (sum(block.shape[side] for block in blocks) for side in (0, 1))
    joined = torch.zeros(rows, columns)
    top = left = 0
    for block in blocks:
        joined[top : top + block.shape[0], left : left + block.shape[1]] = block
        top, left = top + block.shape[0], left + block.shape[1]
    return joined


def _with_distance(part: LevelPart, directions: int, seed: int) -> Head:
    """The level's head with the units of its distance beside those learned, both scaled to spread 1 on good patches."""
    units = [part.head.discriminator] if part.is_learned else []
    if directions:
        units.append(_distance(part.head.channels, directions, seed))
    for unit in units:
        unit.tail.weight /= _spread(part, unit)
    widened = Head(part.head.channels, sum(unit.body.out_features for unit in units)).eval().requires_grad_(False)
    widened.standardiser.load_state_dict(part.head.standardiser.state_dict())
    widened.adaptor.load_state_dict(part.head.adaptor.state_dict())
    _join(widened.discriminator, units)
    return widened


def _distance(channels: int, directions: int, seed: int) -> Discriminator:
    """D(q) = -mean |q . r|, up to a constant factor."""
    random = torch.Generator().manual_seed(seed)
    square: Tensor = torch.linalg.qr(torch.randn(channels, channels, generator=random))[0]
    rows = square[: min(directions, channels)]
    distance = Discriminator(channels, 2 * len(rows)).eval().requires_grad_(False)
    distance.body.weight.copy_(torch.cat([rows, -rows]))
    nn.init.zeros_(distance.body.bias)
    nn.init.constant_(distance.tail.weight, -1 / (len(rows) * (1 - NEGATIVE_SLOPE)))
    return distance


def _join(joined: Discriminator, units: Sequence[Discriminator]) -> None:
    """Put the hidden units of several discriminators of the same features side by side."""
    state = joined.state_dict()
    for name in state:
        own = [unit.state_dict()[name] for unit in units]
        if own[0].dim():
            state[name] = torch.cat(own, dim=1 if name == "tail.weight" else 0)
    joined.load_state_dict(state)


def _spread(part: LevelPart, discriminator: Discriminator) -> Tensor:
    """Standard deviation of its output over the level's patches."""
    outputs = [discriminator(part.head.adaptor(rows)).double() for rows in part.features.standardised_chunks()]
    return torch.cat(outputs).std().clamp_min(torch.finfo(torch.float32).tiny).float()
