"""Where admitted frames are decoded: in threads, one frame each; `gpu_decoding` is its sibling on a GPU."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from qc_worker.engine.intake import Admitted, Decoded, DecodePicture, decode
from qc_worker.ports import Clock
from qc_worker.simplenet.preprocessing import ImageLimits, decode_picture

Deliver = Callable[[Admitted, Decoded | Exception], None]
"""Called for every frame submitted that is not void, from any thread, with its picture or why there is none:
InvalidFrame, or an error of the decoder's own."""


class Decoding(Protocol):
    """Decodes what is submitted beside everything else."""

    def start(self, deliver: Deliver) -> None: ...

    def submit(self, admitted: Admitted) -> None: ...

    def close(self, timeout_s: float) -> None:
        """Leave the frames that no one has begun with."""
        ...


class DecodeThreads:
    """Threads of the CPU; Pillow lets go of Python's lock while it decodes and resizes."""

    def __init__(
        self, *, threads: int, limits: ImageLimits, clock: Clock, decode_picture: DecodePicture = decode_picture
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._decode_picture = decode_picture
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._deliver: Deliver

    def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def submit(self, admitted: Admitted) -> None:
        self._threads.submit(self._decode, admitted)

    def close(self, timeout_s: float) -> None:
        del timeout_s  # nobody waits for a frame in hand: it takes milliseconds
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _decode(self, admitted: Admitted) -> None:
        if admitted.ticket.skip_if_void():
            return
        try:
            self._deliver(admitted, decode(admitted, self._limits, self._clock, self._decode_picture))
        except Exception as error:  # noqa: BLE001  (a frame that breaks the decoder must not vanish)
            self._deliver(admitted, error)
