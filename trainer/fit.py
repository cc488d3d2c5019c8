"""Fitting a head: adaptor and discriminator learn to tell good patch features from noised ones."""

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from qc_worker.domain.errors import TrainingError
from qc_worker.simplenet.checkpoint import TrainingSettings
from qc_worker.simplenet.head import Head
from trainer.features import PatchFeatures
from trainer.generator import AnomalousFeatures
from trainer.loss import chance_loss, is_learned, truncated_l1
from trainer.progress import Advance

CLOSING_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted head in eval mode, and the mean loss over the last tenth of the steps."""

    head: Head
    closing_loss: float


def fit_head(
    features: PatchFeatures,
    settings: TrainingSettings,
    *,
    hidden: int,
    seed: int,
    device: torch.device,
    advance: Advance,
) -> Fitted:
    """Fit a new head; `advance` is called after every step.

    Equal features, settings and seed give equal bits on the same machine and number of threads.
    Raises TrainingError if the loss stays at chance: such a head would call everything anything.
    """
    head = _new_head(features, hidden, seed).to(device)
    losses = _run_steps(head, features.patches, settings, seed, advance)
    head.eval()
    closing_loss = sum(losses) / len(losses)
    if not is_learned(closing_loss, margin=settings.margin):
        raise TrainingError(
            f"the head did not learn: loss {closing_loss:.3f} after {settings.steps} steps, where chance gives "
            f"{chance_loss(settings.margin):.3f}; nothing was released"
        )
    return Fitted(head.cpu(), closing_loss)


def _new_head(features: PatchFeatures, hidden: int, seed: int) -> Head:
    # Layers draw their first weights from torch's global generator; the fork leaves that as it was for others.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = Head(features.patches.shape[1], hidden)
    head.standardiser.load_state_dict(features.standardiser.state_dict())
    return head


def _run_steps(head: Head, patches: Tensor, settings: TrainingSettings, seed: int, advance: Advance) -> deque[float]:
    device = head.standardiser.mean.device
    batch_size = min(settings.patches_per_step, len(patches))
    random = torch.Generator(device).manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    noised = AnomalousFeatures(settings.sigmas, random)
    optimizer = _optimizer(head, settings)
    losses: deque[float] = deque(maxlen=max(1, math.ceil(CLOSING_SHARE * settings.steps)))
    head.train()
    for _ in range(settings.steps):
        rows = torch.randint(len(patches), (batch_size,), generator=draw)
        loss = _step(head, patches[rows].to(device), noised, optimizer, settings.margin)
        losses.append(loss)
        advance(1, f"loss {loss:.3f}")
    return losses


def _optimizer(head: Head, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Adam for both parts, each with its own rate (the paper's: adaptor 1e-4, discriminator 2e-4)."""
    return torch.optim.Adam(
        [
            {"params": head.adaptor.parameters(), "lr": settings.adaptor_lr},
            {"params": head.discriminator.parameters(), "lr": settings.discriminator_lr},
        ],
        weight_decay=settings.weight_decay,
    )


def _step(
    head: Head, patches: Tensor, noised: AnomalousFeatures, optimizer: torch.optim.Optimizer, margin: float
) -> float:
    adapted = head.adaptor(patches)
    # One pass for both kinds: BatchNorm must normalise them by the same statistics.
    outputs = head.discriminator(torch.cat([adapted, noised(adapted)]))
    loss = truncated_l1(outputs[: len(patches)], outputs[len(patches) :], margin=margin)
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    optimizer.step()
    return float(loss.detach())
