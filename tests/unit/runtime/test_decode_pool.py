import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.runtime.decode_pool import decode_pool
from tests.support import factories
from trainer.threads import map_in_order

MANY = 16
LIMITS = ImageLimits(max_bytes=1 << 24, max_pixels=1 << 24)


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    """Set a count as on a machine with many cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(MANY)
    yield
    torch.set_num_threads(before)


def decode(content: bytes) -> int:
    decode_picture(content, input_size=(256, 256), aspect="squash", limits=LIMITS, bit_depth=8)
    return torch.get_num_threads()


def threads_now() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def in_a_new_thread() -> int:
    with ThreadPoolExecutor(1) as other:
        return other.submit(torch.get_num_threads).result()


def test_decoding_starts_no_threads_but_those_of_the_pool() -> None:
    pictures = [factories.jpeg(seed, width=1200, height=900) for seed in range(4)]
    before = threads_now()
    with decode_pool(2) as pool:
        assert list(pool.map(decode, pictures)) == [1] * 4
        assert threads_now() <= before + 2


def test_the_trainer_decodes_with_one_compute_thread_for_each_thread() -> None:
    pictures = [factories.jpeg(seed) for seed in range(4)]
    assert list(map_in_order(decode, pictures, threads=2)) == [1] * 4


def test_other_threads_keep_their_number_of_compute_threads() -> None:
    with decode_pool(3):
        assert torch.get_num_threads() == MANY
        assert in_a_new_thread() == MANY


def test_pools_that_are_opened_at_once_leave_the_number_as_it_was() -> None:
    opened: list[ThreadPoolExecutor] = []
    openers = [threading.Thread(target=lambda: opened.append(decode_pool(2))) for _ in range(8)]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(10)
    assert len(opened) == 8
    assert in_a_new_thread() == MANY
    for pool in opened:
        pool.shutdown()
