"""Which bit depth a line's model has."""

import io
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qc_worker.domain.errors import SettingsError, TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.names import line_name
from tests.unit.simplenet.factories import LIMITS
from trainer.samples.card import Origin
from trainer.samples.frame_sizes import read_frame_sizes
from trainer.samples.line_bit_depth import choose_bit_depth, parse_bit_depth
from trainer.samples.store import SampleStore

LINE = line_name("A")


def png(values: np.ndarray) -> bytes:
    target = io.BytesIO()
    Image.fromarray(values).save(target, "PNG")
    return target.getvalue()


def grey(highest: int) -> bytes:
    return png(np.linspace(0, highest, 64 * 64).astype(np.uint16).reshape(64, 64))


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return SampleStore(tmp_path)


def chosen(store: SampleStore, *contents: bytes, asked: str = "auto") -> tuple[int, str]:
    for content in contents:
        store.add(
            LINE,
            Judgement.GOOD,
            content,
            origin=Origin(accepted_by="a test", accepted_at=datetime(2026, 1, 1, tzinfo=UTC)),
        )
    frames = read_frame_sizes(store, LINE, limits=LIMITS, decode_threads=2)
    found = choose_bit_depth(parse_bit_depth(asked), frames)
    return found.bits, found.reason


def test_brightest_good_frame_decides(store: SampleStore) -> None:
    assert chosen(store, grey(900), grey(4_000), grey(20)) == (12, "the highest value of 3 good frames has 12 bits")


def test_frames_of_8_bits_need_none(store: SampleStore) -> None:
    assert chosen(store, png(np.zeros((64, 64), np.uint8))) == (16, "frames of 8 bits a channel")


def test_what_is_asked_for_counts(store: SampleStore) -> None:
    assert chosen(store, grey(900), asked="14") == (14, "as asked")


@pytest.mark.parametrize("text", ["", "9", "0", "16.0", "AUTO", "-8", "１２"])  # noqa: RUF001 (digits of another script)
def test_another_depth_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="use auto, 8, 10, 12, 14 or 16"):
        parse_bit_depth(text)


def test_damaged_sample_is_named(store: SampleStore) -> None:
    with pytest.raises(TrainingError, match=r"sample [0-9a-f]+.* of line A: "):
        chosen(store, grey(900)[:200])
