"""A seed of any size, as what draws random numbers takes it."""

import hashlib

LARGEST = (1 << 63) - 1
"""torch takes up to 64 bits; one is left for seeds that count on from this one."""
DIGITS = 15


def torch_seed(seed: int) -> int:
    """The seed itself where torch takes it, else part of its digest. Seeds of 0 and more."""
    if seed <= LARGEST:
        return seed
    return int(hashlib.sha256(f"{seed:x}".encode()).hexdigest()[:DIGITS], 16)
