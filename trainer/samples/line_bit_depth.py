"""Choose the bit depth of a line's pictures from its good frames."""

from dataclasses import dataclass

from qc_worker.domain.errors import SettingsError
from qc_worker.imaging.aspect import BIT_DEPTHS, FULL_DEPTH, BitDepth
from qc_worker.imaging.bit_depth import bits_needed, depth_for
from qc_worker.imaging.opening import ImageLimits, opened
from trainer.samples.frame_sizes import FrameSizes


@dataclass(frozen=True, slots=True)
class ChosenDepth:
    """Number of bits used of pictures with 16 bits a channel, and the reason."""

    bits: BitDepth
    reason: str


def parse_bit_depth(text: str) -> BitDepth | None:
    """Parse `--bit-depth`; None for `auto`. Raises SettingsError."""
    if text == "auto":
        return None
    found = next((depth for depth in BIT_DEPTHS if str(depth) == text), None)
    if found is None:
        raise SettingsError(f"--bit-depth {text[:20]!r}: use auto, {', '.join(map(str, BIT_DEPTHS[:-1]))} or 16")
    return found


def choose_bit_depth(asked: BitDepth | None, frames: FrameSizes) -> ChosenDepth:
    """Return the depth asked for, else the one that the line's good frames need."""
    if asked is not None:
        return ChosenDepth(asked, "as asked")
    if not frames.bits:
        return ChosenDepth(FULL_DEPTH, "frames of 8 bits a channel")
    needed = max(frames.bits)
    return ChosenDepth(depth_for(needed), f"the highest value of {len(frames.bits)} good frames has {needed} bits")


def depth_of(content: bytes, limits: ImageLimits) -> BitDepth:
    """Return the depth that shows one picture well to people. Raises InvalidFrame."""
    with opened(content, limits) as image:
        return depth_for(bits_needed(image, content) or FULL_DEPTH)
