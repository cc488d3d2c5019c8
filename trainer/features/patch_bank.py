"""Patch features of all training frames as one table of rows, in memory or mapped from disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.standardiser import Standardiser

BYTES_PER_NUMBER = 4
ROWS_AT_ONCE = 8_192
"""Rows converted at once: in float64, with two copies, they take 0.3 GB at 1,536 channels."""


@dataclass(frozen=True, slots=True)
class PatchBank:
    """Blocks of rows, (P, C) each, such as those of one frame, read as one table."""

    blocks: tuple[Tensor, ...]

    def __len__(self) -> int:
        return sum(map(len, self.blocks))

    @property
    def channels(self) -> int:
        return self.blocks[0].shape[1]

    def rows(self, index: Tensor) -> Tensor:
        """Read rows of the table in float32. Shapes: int64 (N,) -> (N, C)."""
        if len(self.blocks) == 1:
            return self.blocks[0][index].float()
        ends = torch.tensor([len(block) for block in self.blocks]).cumsum(0)
        owners = torch.bucketize(index, ends, right=True)
        found = torch.empty(len(index), self.channels)
        # Sorted by block, so that each block is read once.
        order = owners.argsort(stable=True)
        for places in torch.split(order, torch.unique_consecutive(owners[order], return_counts=True)[1].tolist()):
            owner = int(owners[places[0]])
            start = int(ends[owner]) - len(self.blocks[owner])
            found[places] = self.blocks[owner][index[places] - start].float()
        return found

    def chunks(self, max_rows: int = ROWS_AT_ONCE) -> Iterator[Tensor]:
        """Read the whole table in float32, at most `max_rows` rows at a time."""
        waiting: list[Tensor] = []
        for piece in (piece for block in self.blocks for piece in torch.split(block, max_rows)):
            if waiting and sum(map(len, waiting)) + len(piece) > max_rows:
                yield torch.cat(waiting).float()
                waiting = []
            waiting.append(piece)
        if waiting:
            yield torch.cat(waiting).float()


@dataclass(frozen=True, slots=True)
class PatchFeatures:
    """Standardised patch features of the training frames."""

    bank: PatchBank
    standardiser: Standardiser
    """Maps embeddings to standardised patches."""
    is_standardised: bool
    """True if the bank's rows are standardised already; rows mapped from disk never are."""

    def patches(self, index: Tensor) -> Tensor:
        """Read rows, standardised to mean 0 and deviation 1 per channel over the whole bank. Shapes: (N,) -> (N, C)."""
        rows = self.bank.rows(index)
        if self.is_standardised:
            return rows
        standardised: Tensor = self.standardiser(rows)
        return standardised

    def standardised_chunks(self) -> Iterator[Tensor]:
        """Read the whole bank standardised, a few thousand rows at a time. Shapes: (n, C) each."""
        for rows in self.bank.chunks():
            yield rows if self.is_standardised else self.standardiser(rows)


def standardise(blocks: Sequence[Tensor], *, max_bytes: int) -> PatchFeatures:
    """Compute the statistics of all rows and, if they fit into `max_bytes` as float32, load them into memory.

    Shapes: (P, C) each. Raises TrainingError for features that are not finite.
    """
    bank = PatchBank(tuple(blocks))
    standardiser = Standardiser(bank.channels)
    standardiser.adopt(*channel_statistics(bank))
    if not all(bool(torch.isfinite(buffer).all()) for buffer in standardiser.buffers()):
        raise TrainingError("the backbone gave features that are not finite: check its weights file")
    if len(bank) * bank.channels * BYTES_PER_NUMBER > max_bytes:
        return PatchFeatures(bank, standardiser, is_standardised=False)
    in_memory = torch.empty(len(bank), bank.channels)
    filled = 0
    for rows in bank.chunks():
        in_memory[filled : filled + len(rows)] = standardiser(rows)
        filled += len(rows)
    return PatchFeatures(PatchBank((in_memory,)), standardiser, is_standardised=True)


def channel_statistics(bank: PatchBank) -> tuple[Tensor, Tensor]:
    """Compute mean and standard deviation over all rows, both (C,), summed in float64."""
    nothing = torch.zeros(bank.channels, dtype=torch.float64)
    mean = sum((rows.double().sum(0) for rows in bank.chunks()), nothing) / len(bank)
    squares = (((rows.double() - mean) ** 2).sum(0) for rows in bank.chunks())
    return mean, (sum(squares, nothing) / len(bank)).sqrt()
