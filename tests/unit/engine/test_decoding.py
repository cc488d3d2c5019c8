import queue
from collections.abc import Iterator

import pytest
import torch

from qc_worker.engine.decoding import Decoded, DecodeThreads
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.intake import Admitted, admit
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from qc_worker.runtime.clock import SystemClock
from tests.support import factories
from tests.unit.engine.conftest import PASSES_ALL, Plant


@pytest.fixture
def admitted(plant: Plant) -> Admitted:
    plant.train(scores=PASSES_ALL)
    plant.refresher.catch_up()
    return admit(Ticket(factories.record(0), 0.0), plant.residents)


@pytest.fixture(autouse=True)
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(16)
    yield
    torch.set_num_threads(before)


def test_each_decode_thread_computes_alone(admitted: Admitted) -> None:
    seen: queue.SimpleQueue[int] = queue.SimpleQueue()

    def counting(content: bytes, **options: object) -> Picture:
        seen.put(torch.get_num_threads())
        return decode_picture(content, **options)  # type: ignore[arg-type]

    limits = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
    decoding = DecodeThreads(threads=2, limits=limits, clock=SystemClock(), decode_picture=counting)
    delivered: queue.SimpleQueue[Decoded | Exception] = queue.SimpleQueue()
    decoding.start(lambda _, decoded: delivered.put(decoded))
    for _ in range(3):
        decoding.submit(admitted)
    assert all(isinstance(delivered.get(timeout=10), Decoded) for _ in range(3))
    decoding.close(1.0)
    assert [seen.get(timeout=1) for _ in range(3)] == [1, 1, 1]


def test_a_worker_that_ends_before_it_has_started_closes_its_decoding() -> None:
    limits = ImageLimits(max_bytes=1 << 20, max_pixels=1 << 20)
    DecodeThreads(threads=2, limits=limits, clock=SystemClock()).close(1.0)
