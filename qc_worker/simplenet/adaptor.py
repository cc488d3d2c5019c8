"""The feature adaptor G (paper, equation 4)."""

from torch import Tensor, nn


class Adaptor(nn.Module):
    """One fully connected layer without activation: q = G(o). Shapes: (N, C) -> (N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, channels)
        nn.init.xavier_normal_(self.projection.weight)

    def forward(self, patches: Tensor) -> Tensor:
        projected: Tensor = self.projection(patches)
        return projected
