"""The one home of every number that a head is fitted with; the model card records all of them.

The defaults suit `efficientnet_lite0`; `trainer/fitting/defaults.py` has those of other backbones, and the evidence.
"""

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMER_FIELDS = frozenset({"hold_out_share"})
"""Fields of cards in stores that decided nothing; they are dropped when such a card is read."""

Share = Annotated[float, Field(ge=0, le=1)]
LevelIndex = Annotated[int, Field(ge=0)]


class FitSettings(BaseModel):
    """Settings of a fit: features kept, local whitening, discriminators; the paper's (SimpleNet) where it has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    steps: int = Field(default=400, ge=1)
    """Optimiser steps of each discriminator."""
    patches_per_step: int = Field(default=512, ge=2)
    """Good patches drawn for each step."""
    sigmas: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(1.0, 2.0), min_length=1)
    """Standard deviations of the anomalous features' noise, in those of whitened features; mixed in equal shares."""
    components: int = Field(default=256, ge=1, le=4096)
    """Gaussians of each level's local whitening at most; fewer with few frames or a small `max_whitener_bytes`."""
    nearest: int = Field(default=4, ge=1)
    """Gaussians, nearest by their centres, whose distance is measured; the least counts."""
    distance_weights: tuple[Annotated[float, Field(ge=0)], ...] = (0.5, 1.0, 0.0)
    """Weight of each level's distance in their sum; 0: none is measured at that level."""
    learned_weight: float = Field(default=0.6, ge=0)
    """Weight of each discriminator beside the sum of distances, all in standard deviations; 0: none is learned."""
    discriminators: tuple[tuple[LevelIndex, ...], ...] = ((0, 1), (0, 1, 2))
    """Levels, by index, that each discriminator reads."""
    hidden: int = Field(default=256, ge=1)
    """Hidden units of each discriminator."""
    synthetic_shares: tuple[Share, ...] = (1.0, 0.5)
    """Share of each discriminator's anomalous features that comes from synthetic defects; the others are noise."""
    synthetic_frames: int = Field(default=320, ge=0)
    """Good frames with a synthetic defect that anomalous features are taken from."""
    discriminator_lr: float = Field(default=2e-3, gt=0)
    """Adam's learning rate for the discriminator; the paper trains longer with 2e-4."""
    weight_decay: float = Field(default=1e-5, ge=0)
    """Adam's weight decay."""
    margin: float = Field(default=0.5, gt=0)
    """Margin th of the truncated L1 loss."""
    warm_up_share: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; after that it falls along half a cosine."""
    final_lr_share: Share = 0.01
    """Share of the learning rate that is left at the last step."""
    patches_per_frame: int = Field(default=1024, ge=1)
    """Cells of each frame whose features are kept, drawn by the frame's own digest; a frame with fewer keeps all."""
    max_feature_bytes: int = Field(default=1 << 30, ge=1)
    """Memory for features, bytes; beyond it they are read from the disk as they are drawn."""
    max_whitener_bytes: int = Field(default=14 << 20, ge=1)
    """Memory for the local whitening of all levels, float32, bytes; a resident line has 20 MB in all."""

    @model_validator(mode="before")
    @classmethod
    def _drop_former_fields(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        return {name: value for name, value in fields.items() if name not in FORMER_FIELDS}

    @model_validator(mode="after")
    def _has_a_share_each(self) -> Self:
        if len(self.synthetic_shares) != len(self.discriminators):
            raise ValueError(
                f"{len(self.synthetic_shares)} synthetic_shares for {len(self.discriminators)} discriminators"
            )
        return self
