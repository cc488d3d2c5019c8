"""Decodes masks from COCO's compressed run-length encoding, as any tool writes them.

Runs go down the columns and begin with pixels outside of the mask. Each is written as the difference to the run of the
same kind before it, five bits a character from the lowest: 32 means that more follow, 16 in the last one is the sign.
"""

import numpy as np
import numpy.typing as npt

from qc_worker.domain.inspection import Mask

MAX_CHARACTERS = 1 << 20
"""Masks drawn by people take a few thousand."""
BITS, MORE, NEGATIVE = 5, 32, 16
MAX_BITS = 35


def decode_mask(mask: Mask) -> npt.NDArray[np.bool_]:
    """Decode a mask to an array of its `size`. Raises ValueError unless its runs fill that size exactly."""
    height, width = mask.size
    if len(mask.counts) > MAX_CHARACTERS:
        raise ValueError(f"a mask of {len(mask.counts)} characters, at most {MAX_CHARACTERS} are read")
    runs = _runs(mask.counts)
    if min(runs, default=-1) < 0 or sum(runs) != height * width:
        raise ValueError(f"the runs of the mask do not fill {height} x {width} pixels")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(width, height).T


def _runs(counts: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        code = ord(character) - ord("0")
        if not 0 <= code < 2 * MORE or shift >= MAX_BITS:
            raise ValueError("the runs of the mask cannot be read")
        value |= (code & (MORE - 1)) << shift
        shift += BITS
        if code & MORE:
            continue
        if code & NEGATIVE:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))  # COCO writes the first three as they are
        value = shift = 0
    if shift:
        raise ValueError("the runs of the mask are truncated")
    return runs
