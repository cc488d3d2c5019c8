"""The feature adaptor G (paper, equation 4)."""

from torch import Tensor, nn


class Adaptor(nn.Module):
    """One fully connected layer without activation: q = G(o). Shapes: (N, C) -> (N, adapted)."""

    def __init__(self, channels: int, adapted: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, adapted)
        nn.init.xavier_normal_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, patches: Tensor) -> Tensor:
        projected: Tensor = self.projection(patches)
        return projected
