"""The bit depth of a line's pictures, found from its good frames."""

from collections.abc import Callable
from dataclasses import dataclass

from qc_worker.domain.errors import InvalidFrame, SettingsError, TrainingError
from qc_worker.domain.names import LineName
from qc_worker.domain.release import Judgement
from qc_worker.simplenet.bit_depth import BIT_DEPTHS, FULL_DEPTH, BitDepth, bits_needed, depth_for
from qc_worker.simplenet.preprocessing import ImageLimits, opened
from trainer.samples import SampleStore
from trainer.threads import map_in_order

MAX_READ = 2000
"""Samples that are looked at. Ids are digests, so the first by id are any."""


@dataclass(frozen=True, slots=True)
class ChosenDepth:
    """Bits that hold the brightness of pictures of 16 a channel, and why."""

    bits: BitDepth
    reason: str


def parse_bit_depth(text: str) -> BitDepth | None:
    """`auto` is None. Raises SettingsError."""
    if text == "auto":
        return None
    found = next((depth for depth in BIT_DEPTHS if str(depth) == text), None)
    if found is None:
        raise SettingsError(f"--bit-depth {text[:20]!r}: use auto, {', '.join(map(str, BIT_DEPTHS[:-1]))} or 16")
    return found


def choose_bit_depth(
    asked: BitDepth | None, store: SampleStore, line: LineName, *, limits: ImageLimits, decode_threads: int
) -> ChosenDepth:
    """As asked, else what the line's good samples need. Raises TrainingError for one that cannot be decoded."""
    if asked is not None:
        return ChosenDepth(asked, "as asked")
    samples = store.ids(line, Judgement.GOOD)[:MAX_READ]
    needs = [bits for bits in map_in_order(_needs(store, line, limits), samples, threads=decode_threads) if bits]
    if not needs:
        return ChosenDepth(FULL_DEPTH, "frames of 8 bits a channel")
    return ChosenDepth(depth_for(max(needs)), f"the highest value of {len(needs)} good frames has {max(needs)} bits")


def depth_of(content: bytes, limits: ImageLimits) -> BitDepth:
    """What one picture needs, to show it to people. Raises InvalidFrame."""
    with opened(content, limits) as image:
        return depth_for(bits_needed(image, content) or FULL_DEPTH)


def _needs(store: SampleStore, line: LineName, limits: ImageLimits) -> Callable[[str], int | None]:
    def needed(sample: str) -> int | None:
        content = store.read(line, Judgement.GOOD, sample)
        try:
            with opened(content, limits) as image:
                return bits_needed(image, content)
        except InvalidFrame as error:
            raise TrainingError(f"sample {sample} of line {line}: {error.detail}") from None

    return needed
