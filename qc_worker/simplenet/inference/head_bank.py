"""Stacks folded heads of one shape, so that frames of any mix of lines are scored by as many operators as one line's.

A bank never changes: with one more head it is written anew, so a batch keeps the bank that it is scored with. Frames
find their line's rows by a gather, so each frame multiplies its own copy of the weights: 0.6 MB with
`efficientnet_lite0`, a small part of what the backbone moves.
"""

import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qc_worker.simplenet.discriminator import NEGATIVE_SLOPE
from qc_worker.simplenet.inference.folded import FoldedHead, resized
from qc_worker.simplenet.inference.stacked_whitening import Components, stacked_distances
from qc_worker.simplenet.transfer import to_device

ALIGNED = 8
"""Tensors in a row start at multiples of this: at 16 bytes or more, as the fastest products need them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the heads of a bank have in common."""

    distances: tuple[int, ...]
    """Levels, by index, at which a distance is measured."""
    adapted: int
    """Largest number of adapted channels of these levels."""
    components: int
    """Components of each of these levels."""
    nearest: int
    discriminators: tuple[tuple[int, ...], ...]
    """Levels that each discriminator reads."""

    @property
    def adapting(self) -> int:
        """Number of tensors that adapt the features of these levels and find their nearest components."""
        return 4 * len(self.distances)

    @property
    def read(self) -> tuple[int, ...]:
        """Levels that any discriminator reads."""
        return tuple(sorted({level for levels in self.discriminators for level in levels}))


class Rows:
    """Tensors of each line, flattened side by side in one row, so that one gather serves them all.

    The row is float32; it holds other numbers bit by bit.
    """

    def __init__(self, kinds: Sequence[tuple[torch.Size, torch.dtype]], numbers: Tensor) -> None:
        """Take the shape and number format of each tensor, and all lines' rows, (lines, n)."""
        self.kinds = kinds
        self.numbers = numbers

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "Rows":
        """Make one line's row."""
        flat = [F.pad(tensor.flatten(), (0, -tensor.numel() % ALIGNED)).view(torch.float32) for tensor in tensors]
        return cls([(tensor.shape, tensor.dtype) for tensor in tensors], torch.cat(flat)[None])

    def behind(self, others: "Rows", kept: Tensor) -> "Rows":
        """Put these rows behind the kept ones of `others`."""
        return Rows(self.kinds, torch.cat([others.numbers.index_select(0, kept), self.numbers]))

    def gathered(self, lines: Tensor) -> list[Tensor]:
        """Gather each tensor for each frame, by its line's row. Shapes: int64 (B,) -> (B, *shape) each."""
        sizes = [(shape.numel() + -shape.numel() % ALIGNED) * dtype.itemsize // 4 for shape, dtype in self.kinds]
        parts = torch.split(self.numbers.index_select(0, lines), sizes, dim=1)
        return [
            part.view(dtype)[:, : shape.numel()].view(len(lines), *shape)
            for part, (shape, dtype) in zip(parts, self.kinds, strict=True)
        ]


@dataclass(frozen=True, slots=True, eq=False)
class HeadBank:
    """Heads of one layout, a row for each."""

    layout: Layout
    rows: Rows
    """As `_tensors` lists them."""
    components: Components | None
    """Of all lines, row by row; None without distances."""
    held: tuple["weakref.ref[Tensor]", ...]
    """For each row the gain of its head: it is gone when nobody holds the head any more."""

    def patch_scores(self, aggregated: Sequence[Tensor], lines: Sequence[int], grid: tuple[int, int]) -> Tensor:
        """Score every patch: row `lines[i]` judges frame i.

        Shapes: z_l (B, C_l, h_l, w_l) for each level, none finer than the grid -> float32 (B, h0, w0).
        """
        levels = [level_map.permute(0, 2, 3, 1).contiguous() for level_map in aggregated]
        rows = on_device(lines, levels[0].device)
        tails, gain, offset, *others = self.rows.gathered(rows)
        adapting, learned = others[: self.layout.adapting], others[self.layout.adapting :]
        parts = []
        if self.components is not None:
            nearest, features = self._nearest(levels, adapting, grid)
            nearest.add_(rows[:, None, None], alpha=self.layout.components)
            in_use = len(set(lines)) * self.layout.components
            found = stacked_distances(features, nearest.flatten(1, 2), self.components, in_use=in_use)
            parts.append(found.view(nearest.shape[:3]))
        if self.layout.discriminators:
            hidden = self._hidden(levels, learned, grid)
            activated = F.leaky_relu_(hidden, NEGATIVE_SLOPE).float()
            parts.append(torch.bmm(activated, tails).permute(2, 0, 1))
        parts.append(offset.expand(-1, grid[0] * grid[1])[None])
        return torch.cat(parts).mul_(gain.transpose(0, 1)).sum(dim=0).view(-1, *grid)

    def _nearest(
        self, levels: Sequence[Tensor], adapting: Sequence[Tensor], grid: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        """Find each feature's nearest components among its line's, and adapt features; their last row is left empty.

        Shapes: (B, h_l, w_l, C_l) for each level -> int64 (J, B, h0 w0, m), float32 (J, B h0 w0 + 1, d).
        """
        frames, cells = len(levels[0]), grid[0] * grid[1]
        size = (len(self.layout.distances), frames * cells + 1, self.layout.adapted)
        features = levels[0].new_empty(size, dtype=torch.float32)
        closeness = features.new_empty(size[0], frames, cells, self.layout.components)
        for index, exact in enumerate(_float32([levels[level] for level in self.layout.distances])):
            weight, bias, centres, squares = adapting[4 * index : 4 * index + 4]
            own = features[index, :-1].view(frames, cells, -1)
            if exact.shape[1:3] == grid:
                torch.baddbmm(bias, exact.flatten(1, 2), weight, out=own)
            else:
                own.copy_(_mapped(exact, weight, grid, bias))
            torch.baddbmm(squares, own, centres, out=closeness[index])
        return closeness.topk(min(self.layout.nearest, self.layout.components), dim=3).indices, features

    def _hidden(self, levels: Sequence[Tensor], learned: Sequence[Tensor], grid: tuple[int, int]) -> Tensor:
        """Compute the hidden units of all discriminators side by side, (B, h0 w0, n); coarser levels first."""
        bias, *weights = learned
        read = [(levels[level], weight) for level, weight in zip(self.layout.read, weights, strict=True)]
        (first, weight), *others = sorted(read, key=lambda each: each[0].shape[1:3] == grid)
        hidden = _mapped(first, weight, grid, bias)
        for level, weight in others:
            if level.shape[1:3] == grid:
                hidden.baddbmm_(level.flatten(1, 2), weight)
            else:
                hidden.add_(_mapped(level, weight, grid))
        return hidden


def _float32(levels: Sequence[Tensor]) -> Sequence[Tensor]:
    """Convert levels, all in one operator if they have one size. Shapes: (B, h_l, w_l, C_l) each."""
    if len({level.shape[:3] for level in levels}) > 1 or all(level.dtype is torch.float32 for level in levels):
        return [level.float() for level in levels]
    joined = levels[0].new_empty(0, dtype=torch.float32)
    torch.cat(list(levels), dim=3, out=joined)
    return torch.split(joined, [level.shape[3] for level in levels], dim=3)


def _mapped(level: Tensor, weight: Tensor, grid: tuple[int, int], bias: Tensor | None = None) -> Tensor:
    """Map cells by each frame's own weights, and bring them to the grid. Shapes: (B, h, w, C) -> (B, h0 w0, n)."""
    flat = level.flatten(1, 2)
    mapped = torch.bmm(flat, weight) if bias is None else torch.baddbmm(bias, flat, weight)
    return resized(mapped.view(*level.shape[:3], -1), grid).flatten(1, 2)


def stackable(head: FoldedHead) -> bool:
    """Return True for a head of one number of components, nearest ones and hidden units; all that are fitted are."""
    distances = {(len(each.centres), each.nearest) for each in head.distances}
    return len(distances) <= 1 and len({len(each.tail) for each in head.discriminators}) <= 1


def signature(head: FoldedHead) -> Hashable:
    """Return what two heads must have in common to lie in one bank."""
    return (
        tuple((each.level, each.weight.shape, each.centres.shape, each.nearest) for each in head.distances),
        tuple((each.levels, *(weight.shape for weight in each.weights)) for each in head.discriminators),
        (head.gain.shape, head.offset.shape),
    )


def with_head(bank: HeadBank | None, head: FoldedHead) -> HeadBank:
    """Write a bank with one more head, and without heads that nobody holds any more; None: the first of its shape."""
    layout, held = _layout(head), (weakref.ref(head.gain),)
    row, components = Rows.of(_tensors(head, layout)), _components(head, layout)
    kept_rows = [] if bank is None else [row for row, gain in enumerate(bank.held) if gain() is not None]
    if bank is None or not kept_rows:
        return HeadBank(layout, row, components and components.ended(), held)
    kept = on_device(kept_rows, head.gain.device)
    if components is not None and bank.components is not None:
        components = components.behind(bank.components, kept, each=layout.components).ended()
    return HeadBank(layout, row.behind(bank.rows, kept), components, (*(bank.held[each] for each in kept_rows), *held))


def on_device(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Copy whole numbers to the device. Shape: int64 (n,)."""
    return to_device(torch.tensor(numbers, dtype=torch.int64), device)


def _layout(head: FoldedHead) -> Layout:
    first = head.distances[0] if head.distances else None
    return Layout(
        distances=tuple(each.level for each in head.distances),
        adapted=max((each.weight.shape[1] for each in head.distances), default=0),
        components=0 if first is None else len(first.centres),
        nearest=0 if first is None else first.nearest,
        discriminators=tuple(each.levels for each in head.discriminators),
    )


def _tensors(head: FoldedHead, layout: Layout) -> list[Tensor]:
    """List tails, gain of each part and of the offset, offset; adaptors and centres of each distance; hidden units."""
    tails = [-each.tail[:, None] for each in head.discriminators]
    tails_apart: Tensor = torch.block_diag(*tails) if tails else head.gain.new_empty(0, 0)  # type: ignore[no-untyped-call]  # torch leaves it out
    gain = head.gain.flatten(1)
    gains = torch.cat([gain, -torch.ones_like(gain[:1])])
    return [tails_apart, gains, head.offset.flatten(), *_adapting(head, layout), *_learned(head, layout)]


def _adapting(head: FoldedHead, layout: Layout) -> list[Tensor]:
    tensors: list[Tensor] = []
    for each in head.distances:
        centres = _widened(each.centres, layout.adapted)
        # |q - c|^2 without |q|^2, as in `nearest_components`.
        squares = -each.centres.square().sum(dim=1) / 2
        weight, bias = _widened(each.weight, layout.adapted), _widened(each.bias, layout.adapted)
        tensors += [weight, bias[None], centres.T, squares[None]]
    return tensors


def _learned(head: FoldedHead, layout: Layout) -> list[Tensor]:
    """Lay the discriminators' hidden units side by side; the weights of a level that one does not read are zeros."""
    if not head.discriminators:
        return []
    weights = [
        torch.cat([_weight(head, number, level) for number in range(len(head.discriminators))], dim=1)
        for level in layout.read
    ]
    return [torch.cat([each.bias for each in head.discriminators])[None], *weights]


def _weight(head: FoldedHead, number: int, level: int) -> Tensor:
    own = head.discriminators[number]
    if level in own.levels:
        return own.weights[own.levels.index(level)]
    other = next(each for each in head.discriminators if level in each.levels)
    return torch.zeros_like(other.weights[other.levels.index(level)])


def _components(head: FoldedHead, layout: Layout) -> Components | None:
    if not head.distances:
        return None
    centres = torch.stack([_widened(each.centres, layout.adapted) for each in head.distances])
    return Components(centres, tuple(each.whiteners for each in head.distances))


def _widened(tensor: Tensor, columns: int) -> Tensor:
    return F.pad(tensor, (0, columns - tensor.shape[-1]))
