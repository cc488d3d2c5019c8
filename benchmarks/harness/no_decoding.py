"""Stand in for the decoder where it is not what is measured."""

from qc_worker.engine.decoding import DecodePicture
from qc_worker.imaging.aspect import Aspect, InputSize
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture


def always(picture: Picture) -> DecodePicture:
    """Return a decoder that gives the same picture at once."""

    def decode(
        content: bytes,  # noqa: ARG001
        *,
        input_size: InputSize,  # noqa: ARG001
        aspect: Aspect,  # noqa: ARG001
        limits: ImageLimits,  # noqa: ARG001
        bit_depth: int,  # noqa: ARG001
    ) -> Picture:
        return picture

    return decode
