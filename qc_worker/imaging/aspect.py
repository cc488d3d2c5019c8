"""How a picture of any shape and depth becomes the rectangle of 8-bit pixels that enters the backbone: the choices."""

from typing import Literal, get_args

Aspect = Literal["squash", "pad"]
"""How a picture is brought to the input size.

squash: each side is scaled to that of the input size, whatever the picture's own ratio.
pad: the picture keeps its ratio, as large as the input size has room for, and its border is repeated to fill the rest.
"""


InputSize = tuple[int, int]
"""Height and width of what enters the backbone, pixels."""


BitDepth = Literal[8, 10, 12, 14, 16]
BIT_DEPTHS: tuple[BitDepth, ...] = get_args(BitDepth)
FULL_DEPTH: BitDepth = 16
