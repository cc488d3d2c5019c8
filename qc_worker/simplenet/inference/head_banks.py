"""Scores patches of frames of any mix of lines in banks of stacked heads, one bank for each shape of head."""

from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from qc_worker.simplenet.inference.folded import FoldedHead, patch_scores
from qc_worker.simplenet.inference.head_bank import HeadBank, on_device, signature, stackable, with_head


class HeadBanks:
    """A bank for each shape of head. Never changed: with one more head there are new banks, and a batch keeps its own.

    So frames in flight keep their heads when a release replaces them.
    """

    def __init__(self, banks: Mapping[Hashable, HeadBank] = MappingProxyType({})) -> None:
        self._banks = banks
        self._places = {id(gain()): (bank, row) for bank in banks.values() for row, gain in enumerate(bank.held)}

    def covering(self, heads: Sequence[FoldedHead]) -> "HeadBanks":
        """Return banks that hold these heads too, without those that nobody holds any more; self if all are here.

        Heads that cannot be stacked are left out.
        """
        missing = {id(head.gain): head for head in heads if self._place(head) is None and stackable(head)}
        if not missing:
            return self
        banks = {kind: bank for kind, bank in self._banks.items() if any(gain() is not None for gain in bank.held)}
        for head in missing.values():
            banks[signature(head)] = with_head(banks.get(signature(head)), head)
        return HeadBanks(banks)

    def patch_scores(self, aggregated: Sequence[Tensor], heads: Sequence[FoldedHead], grid: tuple[int, int]) -> Tensor:
        """Score every patch as `folded.patch_scores` does, which scores the frames whose head is in no bank.

        Shapes: z_l (B, C_l, h_l, w_l) for each level, none finer than the grid -> float32 (B, h0, w0).
        """
        frames: dict[HeadBank | None, list[int]] = {}
        rows: list[int] = []
        for index, head in enumerate(heads):
            bank, row = self._place(head) or (None, 0)
            frames.setdefault(bank, []).append(index)
            rows.append(row)
        if len(frames) == 1:
            return _scores(next(iter(frames)), aggregated, heads, rows, grid)
        scores = aggregated[0].new_empty(len(heads), *grid, dtype=torch.float32)
        for bank, own in frames.items():
            places = on_device(own, scores.device)
            levels = [level.index_select(0, places) for level in aggregated]
            found = _scores(bank, levels, [heads[frame] for frame in own], [rows[frame] for frame in own], grid)
            scores.index_copy_(0, places, found)
        return scores

    def _place(self, head: FoldedHead) -> tuple[HeadBank, int] | None:
        place = self._places.get(id(head.gain))
        # An id may be that of a tensor that is gone.
        return place if place and place[0].held[place[1]]() is head.gain else None


def _scores(
    bank: HeadBank | None,
    aggregated: Sequence[Tensor],
    heads: Sequence[FoldedHead],
    rows: Sequence[int],
    grid: tuple[int, int],
) -> Tensor:
    return patch_scores(aggregated, heads, grid) if bank is None else bank.patch_scores(aggregated, rows, grid)
