"""Bytes that were a picture before they were damaged: decoded, or refused with a reason, and never anything else.

`QC_FUZZ_EXAMPLES=250000 pytest tests/unit/imaging/test_fuzz_pictures.py` takes about ten minutes.
"""

import io
import os
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.bit_depth import bits_needed
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.imaging.preprocessing import decode_picture, picture_size

EXAMPLES = int(os.environ.get("QC_FUZZ_EXAMPLES", "3000"))
LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
KINDS = [
    ("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "I;16"), ("PNG", "P"), ("TIFF", "RGB"), ("TIFF", "F"),
    ("TIFF", "I;16"), ("BMP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("JPEG2000", "RGB"), ("PPM", "RGB"),
    ("TGA", "RGBA"), ("PCX", "L"), ("SGI", "RGB"), ("QOI", "RGBA"), ("AVIF", "RGB"),
]  # fmt: skip


def written(kind: str, mode: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    image = Image.fromarray(noise).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    target = io.BytesIO()
    image.save(target, kind)
    return target.getvalue()


SEEDS = [written(kind, mode) for kind, mode in KINDS]
damage = st.tuples(st.integers(0, 1 << 16), st.sampled_from(["set", "cut", "copy", "insert"]), st.integers(0, 1 << 16))


def damaged(content: bytes, steps: list[tuple[int, str, int]]) -> bytes:
    raw = bytearray(content)
    for where, how, what in steps:
        at = where % (len(raw) + 1)
        if how == "set" and at < len(raw):
            raw[at] = what & 0xFF
        elif how == "cut":
            del raw[at : at + what % 64]
        elif how == "copy":
            raw[at:at] = raw[at : at + what % 64]
        else:
            raw[at:at] = what.to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.timeout(3600)
@given(seed=st.sampled_from(SEEDS), steps=st.lists(damage, min_size=1, max_size=6), depth=st.sampled_from([8, 12, 16]))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_damaged_pictures_are_decoded_or_refused(seed: bytes, steps: list[tuple[int, str, int]], depth: int) -> None:
    content = damaged(seed, steps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            picture = decode_picture(content, input_size=(16, 16), aspect="pad", limits=LIMITS, bit_depth=depth)
            assert picture.pixels.shape == (3, 16, 16)
            assert min(picture_size(content, LIMITS)) > 0
            with opened(content, LIMITS) as image:
                bits_needed(image, content)
        except InvalidFrame as refused:
            told = refused
        else:
            return
    assert told.detail
    assert "\n" not in told.detail[:100]
