"""Types for bringing pictures of any shape and depth to the rectangle of 8-bit pixels that enters the backbone."""

from typing import Literal, get_args

Aspect = Literal["squash", "pad"]
"""Method that brings a picture to the input size.

squash: each side is scaled to that of the input size, whatever the picture's own ratio.
pad: the picture keeps its ratio, as large as the input size has room for, and its border is repeated to fill the rest.
"""


InputSize = tuple[int, int]
"""Height and width of the backbone's input, pixels."""


BitDepth = Literal[8, 10, 12, 14, 16]
BIT_DEPTHS: tuple[BitDepth, ...] = get_args(BitDepth)
FULL_DEPTH: BitDepth = 16
