"""Gives decoding on a GPU a stream of its own, and hands pictures over to the streams that read them.

Memory that torch gives out in a stream comes from that stream's pool, and goes back there. So what is decoded into here
has never belonged to computing, except for pictures that were handed over: their memory returns only once the reading
stream has passed them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

from qc_worker.imaging.preprocessing import Picture


class DecodeStream:
    """A stream for one thread that decodes. Without CUDA it orders nothing, because nothing is queued."""

    def __init__(
        self, device: torch.device, *, counted: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        """Open a stream; `counted` makes the context in which the thread may wait for the device."""
        self.device = device
        self._counted = counted
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Have this thread take memory and queue its work in this stream."""
        with self._counted(), torch.cuda.stream(self._stream) if self._stream else nullcontext():
            yield

    def drain(self) -> None:
        """Wait until everything queued in this stream is done; other streams go on."""
        if self._stream:
            self._stream.synchronize()

    def drain_device(self) -> None:
        """Wait until everything queued in any stream is done. Raises torch.AcceleratorError if the device is lost."""
        if self._stream:
            torch.cuda.synchronize(self.device)

    def now(self) -> torch.cuda.Event | None:
        """Return an event that happens once everything queued so far is done; None without CUDA."""
        return self._stream.record_event() if self._stream else None


def received(pictures: Sequence[Picture]) -> list[Tensor]:
    """Return the pictures' pixels for this thread's current stream, which waits until they are decoded.

    The thread does not wait. The memory of the pixels is not decoded into again before the stream has read it, even if
    nobody holds them any more.
    """
    queued = [(picture.pixels, picture.decoded) for picture in pictures if picture.decoded]
    if queued:
        reading = torch.cuda.current_stream(queued[0][0].device)
        for event in {id(event): event for _, event in queued}.values():
            reading.wait_event(event)
        for pixels, _ in queued:
            pixels.record_stream(reading)
    return [picture.pixels for picture in pictures]
