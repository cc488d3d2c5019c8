"""Fit a line's head: adaptors, then local whitening, then discriminators, which alone are learned step by step."""

import math
import threading
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.fit_settings import FitSettings
from qc_worker.simplenet.head import Head
from qc_worker.simplenet.head_shape import HeadShape
from qc_worker.simplenet.inference.precision import multiplying_in
from trainer.features.patch_bank import BYTES_PER_NUMBER, ROWS_AT_ONCE, PatchFeatures
from trainer.fitting.generator import AnomalousFeatures
from trainer.fitting.loss import chance_loss, is_learned, truncated_l1
from trainer.fitting.mixture import component_count, fit_mixture
from trainer.fitting.part_scores import PartWeights
from trainer.fitting.whitening import adapted_channels, whitening
from trainer.progress import Advance

CLOSING_SHARE = 0.1
MAX_DRAWN_BYTES = 256 << 20
"""Memory for the features that a head is fitted to, as float32; adapted ones take as much again."""
_GLOBAL_RANDOM = threading.Lock()


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head in eval mode."""

    head: Head
    closing_loss: float
    """Mean loss over the last tenth of the steps, of the discriminator that did worst; 0 without any."""


@dataclass(frozen=True, slots=True)
class FitTask:
    """Everything that decides the bits of a head, on one machine and with one number of threads."""

    features: PatchFeatures
    """Features of good frames."""
    cells: tuple[int, int]
    """Rows and columns of the grid, (h0, w0)."""
    defective: Tensor
    """Features of cells under synthetic defects, not standardised, (M, C)."""
    level_channels: tuple[int, ...]
    settings: FitSettings
    seed: int
    device: torch.device
    dtype: torch.dtype
    """Number format of matrix products."""


def fit_head(task: FitTask, *, advance: Advance) -> Fitted:
    """Fit a new head, its parts' scores not yet normalised; `advance` is called after every step of a discriminator.

    Raises TrainingError if a loss stays at chance: the scores of such a head would mean nothing.
    """
    head = _untrained(task)
    drawn = _drawn_rows(task)
    _whiten(head, drawn)
    good = _adapted(head, drawn)
    for level, local in zip(head.shape.distances, head.whitenings, strict=True):
        fit_mixture(local, good[level])
    defective = _adapted(head, task.features.standardiser(task.defective.float()))
    learning = _Learning(head, good, defective, task, advance)
    losses = [learning.fit(index) for index in range(len(head.discriminators))]
    return Fitted(head, max(losses, default=0.0))


def _untrained(task: FitTask) -> Head:
    # Layers draw their first weights from torch's global generator; the fork leaves that as it was for others.
    with _GLOBAL_RANDOM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        head = Head(head_shape(task)).eval().requires_grad_(False)
    head.standardiser.load_state_dict(task.features.standardiser.state_dict())
    return head


def part_weights(settings: FitSettings) -> PartWeights:
    """Read the weight of each part of a head from its settings."""
    return PartWeights(tuple(weight for weight in settings.distance_weights if weight), settings.learned_weight)


def head_shape(task: FitTask) -> HeadShape:
    """Compute the size of each part of a task's head: as its settings say, or smaller if its features are few."""
    settings, adapted = task.settings, tuple(map(adapted_channels, task.level_channels))
    measured = [own for own, weight in zip(adapted, settings.distance_weights, strict=True) if weight]
    components = component_count(
        settings.components,
        features=len(task.features.bank),
        channels=measured or [1],
        max_bytes=settings.max_whitener_bytes,
    )
    return HeadShape(
        level_channels=task.level_channels,
        adapted=adapted,
        components=tuple(components if weight else 0 for weight in settings.distance_weights),
        discriminators=settings.discriminators if settings.learned_weight else (),
        hidden=settings.hidden,
        cells=task.cells,
        nearest=settings.nearest,
    )


def _drawn_rows(task: FitTask) -> Tensor:
    """Draw the standardised features that the head is fitted to, in random order: all, or as many as memory allows."""
    bank = task.features.bank
    count = min(len(bank), MAX_DRAWN_BYTES // (BYTES_PER_NUMBER * bank.channels))
    order = torch.randperm(len(bank), generator=torch.Generator().manual_seed(task.seed))[:count]
    return torch.cat([task.features.patches(rows) for rows in torch.split(order, ROWS_AT_ONCE)])


@torch.no_grad()
def _whiten(head: Head, standardised: Tensor) -> None:
    """Set the adaptors."""
    # They stay fixed from here on: trained together with the discriminators they lost the gain of whitening.
    covariance = sum(
        ((rows.T @ rows).double() for rows in torch.split(standardised, ROWS_AT_ONCE)),
        torch.zeros(standardised.shape[1], standardised.shape[1], dtype=torch.float64),
    ) / len(standardised)
    start = 0
    for adaptor, channels in zip(head.adaptors, head.shape.level_channels, strict=True):
        own = slice(start, start + channels)
        adaptor.projection.weight.copy_(whitening(covariance[own, own]))
        start += channels


@torch.no_grad()
def _adapted(head: Head, standardised: Tensor) -> list[Tensor]:
    """Pass features through the adaptors. Shapes: (N, C) -> (N, d_l) for each level."""
    chunks = [head.adapt(rows) for rows in torch.split(standardised, ROWS_AT_ONCE)]
    return [torch.cat(level) for level in zip(*chunks, strict=True)]


@dataclass(frozen=True, slots=True)
class _Learning:
    """Trains a head's discriminators to tell good features from anomalous ones. Features are adapted."""

    head: Head
    good: list[Tensor]
    defective: list[Tensor]
    task: FitTask
    advance: Advance

    def fit(self, index: int) -> float:
        """Train one discriminator and return its closing loss. Raises TrainingError."""
        settings = self.task.settings
        good, defective = self.head.inputs(self.good, index), self.head.inputs(self.defective, index)
        share = settings.synthetic_shares[index] if len(defective) else 0.0
        batches = _Batches(good, defective, share, self.task, self.task.seed + index)
        discriminator = self.head.discriminators[index].to(self.task.device).requires_grad_(True).train()
        losses = self._run_steps(discriminator, batches)
        discriminator.eval().requires_grad_(False).cpu()
        closing_loss = sum(losses) / len(losses)
        if not is_learned(closing_loss, margin=settings.margin):
            raise TrainingError(
                f"the head did not learn: loss {closing_loss:.3f} after {settings.steps} steps, where chance gives "
                f"{chance_loss(settings.margin):.3f}; nothing was released"
            )
        return closing_loss

    def _run_steps(self, discriminator: nn.Module, batches: "_Batches") -> deque[float]:
        settings = self.task.settings
        optimizer = torch.optim.Adam(
            discriminator.parameters(),
            lr=settings.discriminator_lr,
            weight_decay=settings.weight_decay,
            fused=True,  # one pass over the weights instead of a dozen
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, settings))
        losses: deque[float] = deque(maxlen=max(1, math.ceil(CLOSING_SHARE * settings.steps)))
        for _ in range(settings.steps):
            good, anomalous = batches.draw()
            with multiplying_in(self.task.dtype, self.task.device):
                # One pass for both kinds: BatchNorm must normalise them by the same statistics.
                outputs = discriminator(torch.cat([good, anomalous])).float()
            loss = truncated_l1(outputs[: len(good)], outputs[len(good) :], margin=settings.margin)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
            self.advance(1, f"loss {losses[-1]:.3f}")
        return losses


class _Batches:
    """Draws good features and as many anomalous ones: of synthetic defects, and good ones with noise."""

    def __init__(self, good: Tensor, defective: Tensor, share: float, task: FitTask, seed: int) -> None:
        self._good, self._defective, self._device = good, defective, task.device
        self._size = min(task.settings.patches_per_step, len(good))
        self._n_defective = round(share * self._size)
        self._noised = AnomalousFeatures(task.settings.sigmas, torch.Generator(task.device).manual_seed(seed))
        self._random = torch.Generator().manual_seed(seed)

    def draw(self) -> tuple[Tensor, Tensor]:
        """Draw a step's good and anomalous features. Shapes: (N, d), (N, d)."""
        good = self._drawn(self._good, self._size)
        if not self._n_defective:
            return good, self._noised(good)
        defective = self._drawn(self._defective, self._n_defective)
        return good, torch.cat([defective, self._noised(good[self._n_defective :])])

    def _drawn(self, features: Tensor, count: int) -> Tensor:
        return features[torch.randint(len(features), (count,), generator=self._random)].to(self._device)


def learning_rate_share(step: int, settings: FitSettings) -> float:
    """Compute a step's share of the highest learning rate: a short linear rise, then half a cosine down."""
    rise = max(1, round(settings.warm_up_share * settings.steps))
    if step < rise:
        return (step + 1) / rise
    fallen = (1 + math.cos(math.pi * (step - rise) / max(1, settings.steps - rise))) / 2
    return settings.final_lr_share + (1 - settings.final_lr_share) * fallen
