"""What differs between production lines: standardiser, adaptor, discriminator."""

import torch
from torch import Tensor, nn

from qc_worker.simplenet.adaptor import Adaptor
from qc_worker.simplenet.discriminator import Discriminator
from qc_worker.simplenet.standardiser import Standardiser


class Head(nn.Module):
    """A line's own layers. `channels` are the embedding's, `hidden` the discriminator's.

    Patch scores are normalised at each cell by what good frames score there, (s - offset) / scale: edges of the picture
    and of the part score differently from flat places. `cells` are that grid's rows and columns, (h0, w0); (1, 1): all
    cells alike.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, channels: int, hidden: int, cells: tuple[int, int] = (1, 1)) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = hidden
        self.cells = cells
        self.standardiser = Standardiser(channels)
        self.adaptor = Adaptor(channels)
        self.discriminator = Discriminator(channels, hidden)
        self.register_buffer("offset", torch.zeros(cells))
        self.register_buffer("scale", torch.ones(cells))

    def hidden_activations(self, patches: Tensor) -> Tensor:
        """All that is affine in eval mode: up to where the discriminator's activation bends. (N, C) -> (N, hidden)."""
        return self.discriminator.before_activation(self.adaptor(self.standardiser(patches)))

    @torch.no_grad()
    def patch_scores(self, embedding: Tensor) -> Tensor:
        """Anomaly score of every patch, s = -D(G(z)); higher is more anomalous, normalised by cell. Needs eval mode.

        The plain form, which training and tests hold `folded` against. Shapes: (B, C, h, w) -> (B, h, w).
        """
        batch, channels, height, width = embedding.shape
        patches = embedding.permute(0, 2, 3, 1).reshape(-1, channels)
        normality: Tensor = self.discriminator.after_activation(self.hidden_activations(patches))
        return (-normality.view(batch, height, width) - self.offset) / self.scale
