"""Fitting a line's head: adaptors, local whitening, discriminators, then what good frames score in each."""

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import TrainingSettings
from qc_worker.simplenet.discriminator import Discriminator
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from trainer.generator import AnomalousFeatures
from trainer.loss import chance_loss, is_learned, truncated_l1
from trainer.mixture import component_count, fit_mixture
from trainer.part_scores import CellRows, normalise_parts
from trainer.patch_bank import PatchFeatures
from trainer.precision import multiplying_in
from trainer.progress import Advance
from trainer.whitening import adapted_channels, whitening

CLOSING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head in eval mode."""

    head: Head
    closing_loss: float
    """Mean loss over the last tenth of the steps, of the discriminator that did worst; 0 without any."""


@dataclass(frozen=True, slots=True)
class FitTask:
    """Everything that decides the bits of a head, on one machine and with one number of threads."""

    rows: CellRows
    """Good frames' features."""
    defective: Tensor
    """Features of cells under synthetic defects, not standardised, (M, C)."""
    level_channels: tuple[int, ...]
    settings: TrainingSettings
    hidden: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    """Of matrix products."""

    @property
    def features(self) -> PatchFeatures:
        return self.rows.features


def fit_head(task: FitTask, *, advance: Advance) -> Fitted:
    """Fit a new head; `advance` is called after every step of each discriminator.

    Raises TrainingError if a loss stays at chance: such a head would call everything anything.
    """
    head = _untrained(task)
    _whiten(head, task)
    _whiten_locally(head, task)
    losses = [_fit_discriminator(head, index, task, advance) for index in range(len(head.discriminators))]
    settings = task.settings
    weights = tuple(settings.distance_weights[level] for level in head.shape.distances)
    normalise_parts(head, task.rows, distance_weights=weights, learned_weight=settings.learned_weight)
    return Fitted(head, max(losses, default=0.0))


def _untrained(task: FitTask) -> Head:
    # Layers draw their first weights from torch's global generator; the fork leaves that as it was for others.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        head = Head(head_shape(task)).eval().requires_grad_(False)
    head.standardiser.load_state_dict(task.features.standardiser.state_dict())
    return head


def head_shape(task: FitTask) -> HeadShape:
    """How large the parts of a task's head are: as large as its settings say and its features support."""
    settings, adapted = task.settings, tuple(map(adapted_channels, task.level_channels))
    components = tuple(
        component_count(settings.components, features=len(task.features.bank), channels=channels) if weight else 0
        for channels, weight in zip(adapted, settings.distance_weights, strict=True)
    )
    return HeadShape(
        level_channels=task.level_channels,
        adapted=adapted,
        components=components,
        discriminators=settings.discriminators if settings.learned_weight else (),
        hidden=task.hidden,
        cells=task.rows.size,
    )


def _whiten(head: Head, task: FitTask) -> None:
    """Set the adaptors. Not learned on: trained along, they gave up what whitening gains."""
    start = 0
    for adaptor, channels in zip(head.adaptors, task.level_channels, strict=True):
        own = task.features.of_channels(slice(start, start + channels))
        adaptor.projection.weight.copy_(whitening(own))
        start += channels


def _whiten_locally(head: Head, task: FitTask) -> None:
    with torch.no_grad():
        for level, local in zip(head.shape.distances, head.whitenings, strict=True):
            adapted = [head.adapt(rows)[level] for rows in task.features.standardised_chunks()]
            fit_mixture(local, torch.cat(adapted), seed=task.seed)


def _fit_discriminator(head: Head, index: int, task: FitTask, advance: Advance) -> float:
    """Train one discriminator and give its closing loss. Raises TrainingError."""
    discriminator = head.discriminators[index].to(task.device).requires_grad_(True).train()
    losses = _run_steps(discriminator, _Batches(head, index, task), task, advance)
    discriminator.eval().requires_grad_(False).cpu()
    closing_loss = sum(losses) / len(losses)
    if not is_learned(closing_loss, margin=task.settings.margin):
        raise TrainingError(
            f"the head did not learn: loss {closing_loss:.3f} after {task.settings.steps} steps, where chance gives "
            f"{chance_loss(task.settings.margin):.3f}; nothing was released"
        )
    return closing_loss


class _Batches:
    """Draws what a discriminator learns from: good features and as many anomalous ones, adapted."""

    def __init__(self, head: Head, index: int, task: FitTask) -> None:
        settings = task.settings
        self._head, self._index, self._task = head, index, task
        self._size = min(settings.patches_per_step, len(task.features.bank))
        share = settings.synthetic_shares[index] if len(task.defective) else 0.0
        self._n_synthetic = round(share * self._size)
        self._noised = AnomalousFeatures(settings.sigmas, torch.Generator(task.device).manual_seed(task.seed))
        self._draw = torch.Generator().manual_seed(task.seed + index)

    def next(self) -> tuple[Tensor, Tensor]:
        """Shapes: (N, d), (N, d)."""
        bank = self._task.features
        good = self._inputs(bank.patches(self._rows(len(bank.bank), self._size)))
        chosen = self._task.defective[self._rows(len(self._task.defective), self._n_synthetic)].float()
        synthetic = self._inputs(bank.standardiser(chosen))
        return good, torch.cat([synthetic, self._noised(good[self._n_synthetic :])])

    def _rows(self, available: int, count: int) -> Tensor:
        return torch.randint(max(1, available), (count,), generator=self._draw)

    def _inputs(self, standardised: Tensor) -> Tensor:
        return self._head.inputs(self._head.adapt(standardised), self._index).to(self._task.device)


def _run_steps(discriminator: Discriminator, batches: _Batches, task: FitTask, advance: Advance) -> deque[float]:
    settings = task.settings
    optimizer = torch.optim.Adam(
        discriminator.parameters(),
        lr=settings.discriminator_lr,
        weight_decay=settings.weight_decay,
        fused=True,  # one pass over the weights instead of a dozen
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, settings))
    losses: deque[float] = deque(maxlen=max(1, math.ceil(CLOSING_SHARE * settings.steps)))
    for _ in range(settings.steps):
        good, anomalous = batches.next()
        with multiplying_in(task.dtype, task.device):
            # One pass for both kinds: BatchNorm must normalise them by the same statistics.
            outputs = discriminator(torch.cat([good, anomalous])).float()
        loss = truncated_l1(outputs[: len(good)], outputs[len(good) :], margin=settings.margin)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        advance(1, f"loss {losses[-1]:.3f}")
    return losses


def learning_rate_share(step: int, settings: TrainingSettings) -> float:
    """What share of the highest learning rate a step has: a short linear rise, then half a cosine down."""
    rise = max(1, round(settings.warm_up_share * settings.steps))
    if step < rise:
        return (step + 1) / rise
    fallen = (1 + math.cos(math.pi * (step - rise) / max(1, settings.steps - rise))) / 2
    return settings.final_lr_share + (1 - settings.final_lr_share) * fallen
