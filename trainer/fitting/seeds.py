"""Reduce a seed of any size to one that torch takes."""

import hashlib

LARGEST = (1 << 63) - 1
"""torch takes up to 64 bits; one is left for seeds derived by adding to this one."""
DIGITS = 15


def torch_seed(seed: int) -> int:
    """Return the seed itself if torch takes it, else part of its digest. Seeds of 0 and more."""
    if seed <= LARGEST:
        return seed
    return int(hashlib.sha256(f"{seed:x}".encode()).hexdigest()[:DIGITS], 16)
