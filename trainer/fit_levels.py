"""Fitting a line's head: one level after the other, then all as one, then measured at every cell."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from qc_worker.simplenet.checkpoint import TrainingSettings
from trainer.assembly import LevelPart, assemble
from trainer.cell_scores import CellRows, normalise_cells
from trainer.fit import FitTask, Fitted, fit_head, whitening_head
from trainer.progress import Advance
from trainer.validation import ValidationFrames


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the rows of a task's bank come from."""

    level_channels: tuple[int, ...]
    """Channels of each level, in the order of the embedding."""
    cells: Tensor
    """Cell of each row, int64 (N,), 0 to h0 w0 - 1."""
    size: tuple[int, int]
    """Rows and columns of the embedding, (h0, w0)."""


def fit_levels(task: FitTask, grid: Grid, *, advance: Advance) -> Fitted:
    """Fit a head of `task.hidden` learned units for each level; `advance` is called after every step of each.

    Raises TrainingError if a level's loss stays at chance.
    """
    tasks = [_of_channels(task, channels) for channels in _slices(grid.level_channels)]
    n_learned = learned_levels(task.settings, len(tasks))
    fitted = [fit_head(level_task, advance=advance) for level_task in tasks[:n_learned]]
    heads = [one.head for one in fitted] + [whitening_head(level_task).eval() for level_task in tasks[n_learned:]]
    weights = task.settings.level_weights or (1.0,) * len(tasks)
    parts = [
        LevelPart(head, is_learned=level < n_learned, features=level_task.features, weight=weight)
        for level, (head, level_task, weight) in enumerate(zip(heads, tasks, weights, strict=True))
    ]
    head = assemble(parts, directions=task.settings.directions, seed=task.seed, cells=grid.size)
    normalise_cells(head, CellRows(task.features, grid.cells, grid.size))
    return Fitted(
        head,
        closing_loss=max(one.closing_loss for one in fitted),
        steps=max(one.steps for one in fitted),
        validation_auroc=None if task.validation is None else task.validation.auroc(head, dtype=task.dtype),
    )


def learned_levels(settings: TrainingSettings, levels: int) -> int:
    """How many of so many levels have a discriminator: all where no distance is asked for, or nothing else is said."""
    return min(settings.learned_levels, levels) if settings.learned_levels and settings.directions else levels


def _slices(level_channels: Sequence[int]) -> Iterator[slice]:
    start = 0
    for channels in level_channels:
        yield slice(start, start + channels)
        start += channels


def _of_channels(task: FitTask, channels: slice) -> FitTask:
    validation = None if task.validation is None else _frames_of_channels(task.validation, channels)
    return replace(task, features=task.features.of_channels(channels), validation=validation)


def _frames_of_channels(frames: ValidationFrames, channels: slice) -> ValidationFrames:
    good = tuple(rows[:, channels] for rows in frames.good)
    return replace(frames, good=good, synthetic=tuple(rows[:, channels] for rows in frames.synthetic))
