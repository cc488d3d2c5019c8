"""Sizes of a head's parts, as its card states them; a file's tensors are checked against them before they are used."""

from dataclasses import dataclass

MAX_CHANNELS = 16_384
MAX_HIDDEN = 16_384
MAX_COMPONENTS = 4_096
MAX_LEVELS = 16
MAX_PARTS = 16
MAX_SIDE = 2_048


@dataclass(frozen=True, slots=True)
class HeadShape:
    """Sizes of a head's parts."""

    level_channels: tuple[int, ...]
    """Channels of each level of the embedding."""
    adapted: tuple[int, ...]
    """Channels of each level behind its adaptor."""
    components: tuple[int, ...]
    """Gaussians of each level's local whitening; 0: no distance is measured at that level."""
    discriminators: tuple[tuple[int, ...], ...]
    """Levels, by index, that each discriminator reads."""
    hidden: int
    """Hidden units of each discriminator."""
    cells: tuple[int, int] = (1, 1)
    """Rows and columns of the grid in whose cells the parts' scores are normalised; (1, 1): all cells alike."""
    nearest: int = 4
    """Gaussians, nearest by their centres, to which the distance is measured; the smallest counts."""
    mask_head: "HeadShape | None" = None
    """Shape of the head that locates defects; null: the score's own head does that too."""

    @property
    def distances(self) -> tuple[int, ...]:
        """Levels, by index, at which a distance is measured."""
        return tuple(level for level, components in enumerate(self.components) if components)

    @property
    def parts(self) -> int:
        """Number of scores that are added: distances first, then discriminators."""
        return len(self.distances) + len(self.discriminators)


def check_shape(shape: HeadShape) -> None:
    """Raise ValueError for a head that is impossible, or larger than any of ours."""
    levels = len(shape.level_channels)
    if not 1 <= levels == len(shape.adapted) == len(shape.components) <= MAX_LEVELS:
        raise ValueError(f"a head states channels, adapted channels and components of each of 1 to {MAX_LEVELS} levels")
    sizes = zip(shape.adapted, shape.level_channels, strict=True)
    if not all(1 <= own <= channels <= MAX_CHANNELS for own, channels in sizes):
        raise ValueError(f"no head has levels of {shape.level_channels} channels, {shape.adapted} of them adapted")
    if not all(0 <= components <= MAX_COMPONENTS for components in shape.components):
        raise ValueError(f"no head has {shape.components} components")
    if not (1 <= shape.parts <= MAX_PARTS and 1 <= shape.hidden <= MAX_HIDDEN):
        raise ValueError(f"no head has {shape.parts} parts and {shape.hidden} hidden units")
    if not all(_are_levels(read, levels) for read in shape.discriminators):
        raise ValueError(f"each discriminator reads some of a head's {levels} levels, ascending and counted from 0")
    if not 1 <= shape.nearest <= MAX_COMPONENTS:
        raise ValueError(f"no head measures the distance of the {shape.nearest} nearest components")
    if not all(1 <= side <= MAX_SIDE for side in shape.cells):
        raise ValueError(f"no head has {shape.cells} cells")
    if shape.mask_head is not None:
        if shape.mask_head.mask_head is not None:
            raise ValueError("a mask head has no mask head of its own")
        check_shape(shape.mask_head)


def _are_levels(read: tuple[int, ...], levels: int) -> bool:
    return bool(read) and set(read) <= set(range(levels)) and list(read) == sorted(set(read))
