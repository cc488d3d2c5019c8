"""The discriminator D (paper, section 3.4): high for normal features, low for anomalous ones."""

from torch import Tensor, nn

NEGATIVE_SLOPE = 0.2


class Discriminator(nn.Module):
    """Linear - BatchNorm - LeakyReLU(0.2) - Linear(1, no bias), as the authors' code has it. Shapes: (N, C) -> (N,)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Linear(channels, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)
        self.tail = nn.Linear(hidden, 1, bias=False)
        nn.init.xavier_normal_(self.body.weight)
        nn.init.xavier_normal_(self.tail.weight)

    def forward(self, features: Tensor) -> Tensor:
        return self.after_activation(self.before_activation(features))

    def before_activation(self, features: Tensor) -> Tensor:
        """Apply the first layer, which is affine in eval mode. Shapes: (N, C) -> (N, hidden)."""
        hidden: Tensor = self.norm(self.body(features))
        return hidden

    def after_activation(self, hidden: Tensor) -> Tensor:
        """Apply the activation and the last layer. Shapes: (N, hidden) -> (N,)."""
        normality: Tensor = self.tail(self.activation(hidden))
        return normality.squeeze(-1)
