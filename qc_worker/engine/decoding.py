"""Decode admitted frames in threads, one frame each; `gpu_decoding` does it on a GPU."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from qc_worker.domain.frame import Frame
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.intake import Admitted
from qc_worker.engine.residents import Resident
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Box, Picture, content_box, decode_picture
from qc_worker.ports.clock import Clock
from qc_worker.runtime.decode_pool import decode_pool
from qc_worker.runtime.failpoints import failpoint
from qc_worker.simplenet.spec import BackbonePass, EmbeddingSpec


class DecodePicture(Protocol):
    """Decode and preprocess a picture; `imaging.preprocessing.decode_picture`, or a test's own."""

    def __call__(
        self, content: bytes, *, input_size: InputSize, aspect: Aspect, limits: ImageLimits, bit_depth: int
    ) -> Picture:
        """Turn encoded bytes into a picture of the backbone's input size. Raises InvalidFrame."""
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded frame, ready for its batch."""

    ticket: Ticket
    frame: Frame
    resident: Resident
    picture: Picture
    decode_ms: float

    @property
    def spec(self) -> EmbeddingSpec:
        return self.resident.spec

    @property
    def backbone_pass(self) -> BackbonePass:
        return self.resident.spec.backbone_pass

    @property
    def box(self) -> Box:
        """Area of the model's input that the picture covers."""
        return content_box(self.picture.image_size, self.spec.input_size, self.spec.aspect)

    @property
    def due_at(self) -> float | None:
        return self.ticket.due_at

    def skip_if_void(self) -> bool:
        return self.ticket.skip_if_void()


Deliver = Callable[[Admitted, Decoded | Exception], None]
"""Callback for every submitted frame that is not void, from any thread: with the decoded frame or with the error,
InvalidFrame or one of the decoder itself."""


class Decoding(Protocol):
    """Decode submitted frames in threads of its own."""

    def start(self, deliver: Deliver) -> None: ...

    def submit(self, admitted: Admitted) -> None: ...

    def stuck_s(self) -> float:
        """Return the seconds for which a device has been decoding without an end; 0 without any."""
        ...

    def close(self, timeout_s: float) -> None:
        """Drop the frames that are not being decoded yet."""
        ...


class DecodeThreads:
    """Decode in threads of the CPU; Pillow releases Python's lock while it decodes and resizes."""

    def __init__(
        self, *, threads: int, limits: ImageLimits, clock: Clock, decode_picture: DecodePicture = decode_picture
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._decode_picture = decode_picture
        self._pool = decode_pool(threads)
        self._deliver: Deliver

    def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def submit(self, admitted: Admitted) -> None:
        self._pool.submit(self._decode, admitted)

    def stuck_s(self) -> float:
        return 0.0

    def close(self, timeout_s: float) -> None:
        del timeout_s  # no need to wait: a frame that is being decoded takes milliseconds
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, admitted: Admitted) -> None:
        if admitted.ticket.skip_if_void():
            return
        try:
            self._deliver(admitted, decode(admitted, self._limits, self._clock, self._decode_picture))
        except Exception as error:  # noqa: BLE001  (a frame that breaks the decoder must not get lost)
            self._deliver(admitted, error)


def decode(
    admitted: Admitted, limits: ImageLimits, clock: Clock, decode_picture: DecodePicture = decode_picture
) -> Decoded:
    """Decode and preprocess an admitted frame, in a decode thread. Raises InvalidFrame."""
    failpoint("in-decode", admitted.frame.frame_id)
    started = clock.monotonic()
    spec = admitted.resident.spec
    picture = decode_picture(
        admitted.frame.content,
        input_size=spec.input_size,
        aspect=spec.aspect,
        limits=limits,
        bit_depth=spec.bit_depth,
    )
    decode_ms = 1000 * (clock.monotonic() - started)
    return Decoded(admitted.ticket, admitted.frame, admitted.resident, picture, decode_ms)
