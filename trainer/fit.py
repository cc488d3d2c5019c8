"""Fitting one level's head: its discriminator learns to tell good patch features, whitened, from noised ones."""

import copy
import math
from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import TrainingSettings
from qc_worker.simplenet.head import Head
from trainer.generator import AnomalousFeatures
from trainer.loss import chance_loss, is_learned, truncated_l1
from trainer.patch_bank import PatchFeatures
from trainer.precision import multiplying_in
from trainer.progress import Advance
from trainer.validation import ValidationFrames
from trainer.whitening import whitening

CLOSING_SHARE = 0.1
NOTICED_GAIN = 0.001
"""An AUROC higher by less is noise between two looks."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head in eval mode."""

    head: Head
    closing_loss: float
    """Mean loss over the last tenth of the steps."""
    steps: int
    """Steps after which its weights were taken."""
    validation_auroc: float | None
    """Of synthetic defects, with these weights; None where nothing was kept out to validate on."""


@dataclass(frozen=True, slots=True)
class FitTask:
    """Everything that decides the bits of a head, on one machine and with one number of threads."""

    features: PatchFeatures
    validation: ValidationFrames | None
    settings: TrainingSettings
    hidden: int
    seed: int
    device: torch.device
    dtype: torch.dtype
    """Of matrix products."""


def fit_head(task: FitTask, *, advance: Advance) -> Fitted:
    """Fit a new head; `advance` is called after every step.

    Raises TrainingError if the loss stays at chance: such a head would call everything anything.
    """
    head = whitening_head(task).to(task.device)
    watch = _Watch(task)
    losses = _run_steps(task, head, watch, advance)
    closing_loss = sum(losses) / len(losses)
    if not is_learned(closing_loss, margin=task.settings.margin):
        raise TrainingError(
            f"the head did not learn: loss {closing_loss:.3f} after {watch.step} steps, where chance gives "
            f"{chance_loss(task.settings.margin):.3f}; nothing was released"
        )
    watch.restore_best(head)
    return Fitted(head.eval().cpu(), closing_loss, watch.best_step or watch.step, watch.best_auroc)


def whitening_head(task: FitTask) -> Head:
    """A head whose discriminator has learned nothing yet."""
    # Layers draw their first weights from torch's global generator; the fork leaves that as it was for others.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        head = Head(task.features.bank.channels, task.hidden)
    head.standardiser.load_state_dict(task.features.standardiser.state_dict())
    # Not learned on: trained along, it gave up what whitening gains (docs/model.md has the figures).
    head.adaptor.requires_grad_(False)
    head.adaptor.projection.weight.copy_(whitening(task.features))
    head.adaptor.projection.bias.zero_()
    return head


def _run_steps(task: FitTask, head: Head, watch: "_Watch", advance: Advance) -> deque[float]:
    settings, features = task.settings, task.features
    batch_size = min(settings.patches_per_step, len(features.bank))
    noised = AnomalousFeatures(settings.sigmas, torch.Generator(task.device).manual_seed(task.seed))
    draw = torch.Generator().manual_seed(task.seed)
    optimizer = _optimizer(head, settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_share(step, settings))
    losses: deque[float] = deque(maxlen=max(1, math.ceil(CLOSING_SHARE * settings.steps)))
    head.train()
    while watch.step < settings.steps and not watch.has_stalled:
        rows = torch.randint(len(features.bank), (batch_size,), generator=draw)
        with multiplying_in(task.dtype, task.device):
            loss = _loss(head, features.patches(rows).to(task.device), noised, settings.margin)
        _descend(loss, optimizer)
        schedule.step()
        losses.append(float(loss.detach()))
        watch.after_step(head)
        advance(1, f"loss {losses[-1]:.3f}{watch.note}")
    return losses


def learning_rate_share(step: int, settings: TrainingSettings) -> float:
    """What share of the highest learning rate a step has: a short linear rise, then half a cosine down."""
    rise = max(1, round(settings.warm_up_share * settings.steps))
    if step < rise:
        return (step + 1) / rise
    fallen = (1 + math.cos(math.pi * (step - rise) / max(1, settings.steps - rise))) / 2
    return settings.final_lr_share + (1 - settings.final_lr_share) * fallen


def _optimizer(head: Head, settings: TrainingSettings) -> torch.optim.Optimizer:
    return torch.optim.Adam(
        head.discriminator.parameters(),
        lr=settings.discriminator_lr,
        weight_decay=settings.weight_decay,
        fused=True,  # one pass over the weights instead of a dozen
    )


def _loss(head: Head, patches: Tensor, noised: AnomalousFeatures, margin: float) -> Tensor:
    adapted = head.adaptor(patches)
    # One pass for both kinds: BatchNorm must normalise them by the same statistics.
    outputs = head.discriminator(torch.cat([adapted, noised(adapted)])).float()
    return truncated_l1(outputs[: len(patches)], outputs[len(patches) :], margin=margin)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()


@dataclass(slots=True)
class _Watch:
    """Looks at the validation frames now and then, keeps the best weights, tells when they no longer get better."""

    task: FitTask
    step: int = 0
    best_step: int = 0
    best_auroc: float | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    looks_since_best: int = 0
    note: str = ""

    @property
    def has_stalled(self) -> bool:
        return self.looks_since_best >= self.task.settings.patience

    def after_step(self, head: Head) -> None:
        self.step += 1
        is_due = self.step % self.task.settings.steps_between_looks == 0 or self.step == self.task.settings.steps
        if self.task.validation is not None and is_due:
            self._look(head, self.task.validation)

    def restore_best(self, head: Head) -> None:
        if self.best_weights:
            head.load_state_dict(self.best_weights)

    def _look(self, head: Head, validation: ValidationFrames) -> None:
        head.eval()
        auroc = validation.auroc(head, dtype=self.task.dtype)
        head.train()
        self.note = f", synthetic AUROC {auroc:.3f}"
        self.looks_since_best += 1
        if self.best_auroc is None or auroc > self.best_auroc + NOTICED_GAIN:
            self.looks_since_best = 0
            self.best_step, self.best_auroc = self.step, auroc
            self.best_weights = copy.deepcopy(head.state_dict())
