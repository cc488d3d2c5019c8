"""Decodes JPEGs in batches on the GPU (nvJPEG), everything else on the CPU; used only with the setting `gpu_decode`.

Both accept the same frames: the header passes the CPU's own checks first, everything but a plain and complete JPEG goes
to the CPU, and so does a frame that nvJPEG refuses; only the CPU's refusal is final.

Pixels differ a little. nvJPEG decodes at full size, where the CPU decodes a large JPEG at a fraction; the mean over
blocks replaces the fraction. Measured with libjpeg's full decode in place of nvJPEG: up to 4 grey levels from the CPU's
pixels, 0.4 in the mean; where the CPU decodes at full size too, 1 and 0.01. The further difference by nvJPEG's own
arithmetic has not been measured yet.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from io import BytesIO

import torch
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.aspect import FULL_DEPTH, Aspect, InputSize
from qc_worker.imaging.on_gpu.decode_stream import DecodeStream
from qc_worker.imaging.on_gpu.fitting import fit_on_device
from qc_worker.imaging.opening import ImageLimits, opened
from qc_worker.imaging.preprocessing import Picture, decode_picture, stack_pixels
from qc_worker.runtime.decode_pool import decode_pool

CALL_PIXELS = 64_000_000
"""Most pixels decoded in one call, which takes three bytes of the device's memory for each."""
RESIZE_PIXELS = 16_000_000
"""Most pixels resized together, which takes another 15 bytes for each; pictures of this size fill a GPU alone."""
TRIAL_SIDE = 256
TRIAL_COLOUR = (60, 120, 180)
TRIAL_LEVELS = 8
"""Most grey levels between the trial's pixels and its colour; rounding takes 1 or 2."""
_END_OF_IMAGE = b"\xff\xd9"
_YCBCR_COMPONENTS = (1, 2, 3)

Tally = Callable[[int, int], None]
"""Callback for the number of pictures that nvJPEG and that the CPU decoded."""


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Header of a JPEG that nvJPEG may decode: its size as stored, in pixels, and its EXIF orientation."""

    width: int
    height: int
    orientation: int


class NvJpegDecoder:
    """Decodes batches of frames on the device of `stream`; used by one thread."""

    def __init__(
        self,
        *,
        stream: DecodeStream,
        input_size: InputSize,
        aspect: Aspect,
        limits: ImageLimits,
        cpu_threads: int,
        tally: Tally,
        bit_depth: int = FULL_DEPTH,
        with_nvjpeg: bool = True,
    ) -> None:
        """Without `with_nvjpeg` the CPU decodes everything; pixels lie on the device all the same."""
        self._stream = stream
        self._with_nvjpeg = with_nvjpeg
        self._tally = tally
        self._bit_depth = bit_depth  # for frames that are not JPEGs
        self._input_size = input_size
        self._aspect: Aspect = aspect
        self._limits = limits
        self._cpu = decode_pool(cpu_threads, name="decode-beside-gpu")

    def close(self) -> None:
        self._cpu.shutdown(wait=True)

    def decode(self, contents: Sequence[bytes]) -> list[Picture | InvalidFrame]:
        """Decode each frame as `decode_picture` would, in order; pixels lie on the device.

        The device may still compute them: another stream gets them by `received`. Raises RuntimeError only if the
        device fails altogether, never for a frame: AcceleratorError if it is lost.
        """
        headers = self._headers(contents)
        on_cpu = {index: self._submit(contents[index]) for index in range(len(contents)) if index not in headers}
        decoded: dict[int, Picture | InvalidFrame] = {}
        with self._stream.decoding():
            for call in _grouped(headers, CALL_PIXELS):
                pictures = self._by_nvjpeg([contents[index] for index in call], [headers[index] for index in call])
                decoded.update((index, picture) for index, picture in zip(call, pictures, strict=True) if picture)
                on_cpu.update((index, self._submit(contents[index])) for index in call if index not in decoded)
        by_cpu = {index: waiting.result() for index, waiting in on_cpu.items()}
        with self._stream.decoding():
            decoded.update(self._on_device(by_cpu))
            event = self._stream.now()
        self._tally(len(contents) - len(on_cpu), sum(isinstance(each, Picture) for each in by_cpu.values()))
        return [_marked(decoded[index], event) for index in range(len(contents))]

    def _headers(self, contents: Sequence[bytes]) -> dict[int, JpegHeader]:
        """Read the headers of the frames that nvJPEG may decode, by index."""
        if not self._with_nvjpeg:
            return {}
        found = ((index, plain_jpeg_header(content, self._limits)) for index, content in enumerate(contents))
        return {index: header for index, header in found if header}

    def _submit(self, content: bytes) -> Future[Picture | InvalidFrame]:
        return self._cpu.submit(self._by_cpu, content)

    def _by_cpu(self, content: bytes) -> Picture | InvalidFrame:
        try:
            return decode_picture(
                content,
                input_size=self._input_size,
                aspect=self._aspect,
                limits=self._limits,
                bit_depth=self._bit_depth,
            )
        except InvalidFrame as error:
            return error

    def _on_device(self, decoded: Mapping[int, Picture | InvalidFrame]) -> dict[int, Picture | InvalidFrame]:
        """Copy the CPU's pictures to the device, all at once."""
        pictures = {index: picture for index, picture in decoded.items() if isinstance(picture, Picture)}
        if not pictures:
            return dict(decoded)
        pixels = stack_pixels([picture.pixels for picture in pictures.values()]).to(self._stream.device)
        copied = zip(pictures.items(), pixels, strict=True)
        return {**decoded, **{index: replace(picture, pixels=own) for (index, picture), own in copied}}

    def _by_nvjpeg(self, contents: Sequence[bytes], headers: Sequence[JpegHeader]) -> list[Picture | None]:
        """Decode in one call; None for frames that the CPU has to decode. Equal headers are resized together."""
        full = self._full_size(contents)
        alike: dict[JpegHeader, dict[int, Tensor]] = {}
        for index, (picture, header) in enumerate(zip(full, headers, strict=True)):
            if picture is not None and picture.shape == (3, header.height, header.width):
                alike.setdefault(header, {})[index] = picture
        found: list[Picture | None] = [None] * len(full)
        for header, pictures in alike.items():
            for group in _grouped(dict.fromkeys(pictures, header), RESIZE_PIXELS):
                for index, fitted in zip(group, self._fitted([pictures[i] for i in group], header), strict=True):
                    found[index] = fitted
        return found

    def _full_size(self, contents: Sequence[bytes]) -> list[Tensor | None]:
        """Decode to pictures as stored, uint8 (3, h, w); None for those that nvJPEG refuses or has no memory for."""
        try:
            return list(_decoded_by_nvjpeg(contents, self._stream))
        except torch.AcceleratorError:
            raise  # the device is lost
        except RuntimeError:  # one refused frame fails the whole call, and the error does not name it
            if len(contents) == 1:
                return [None]
        half = len(contents) // 2
        return self._full_size(contents[:half]) + self._full_size(contents[half:])

    def _fitted(self, pictures: Sequence[Tensor], header: JpegHeader) -> list[Picture | None]:
        """Fit pictures of one size and orientation into the input size; None for those that memory does not allow."""
        try:
            fitted = fit_on_device(
                torch.stack(tuple(pictures)),
                orientation=header.orientation,
                input_size=self._input_size,
                aspect=self._aspect,
            )
            return list(fitted)
        except torch.AcceleratorError:
            raise
        except RuntimeError:  # out of memory, or a scale that needs more memory than the kernel has
            if len(pictures) == 1:
                return [None]
        half = len(pictures) // 2
        return self._fitted(pictures[:half], header) + self._fitted(pictures[half:], header)


def try_nvjpeg(stream: DecodeStream) -> None:
    """Decode a small baseline JPEG on the device. Raises RuntimeError if nvJPEG cannot, or decodes it wrongly."""
    encoded = BytesIO()
    Image.new("RGB", (TRIAL_SIDE, TRIAL_SIDE), TRIAL_COLOUR).save(encoded, "JPEG")
    with stream.decoding():
        [picture] = _decoded_by_nvjpeg([encoded.getvalue()], stream)
        colour = torch.tensor(TRIAL_COLOUR, device=picture.device)[:, None, None]
        difference = int((picture.int() - colour).abs().max())
    if difference > TRIAL_LEVELS:
        raise RuntimeError(f"nvJPEG decoded a picture wrongly: pixels differ by {difference} grey levels")


def plain_jpeg_header(content: bytes, limits: ImageLimits) -> JpegHeader | None:
    """Read a header with the checks of `decode_picture`; None if the CPU has to decode or to refuse the frame."""
    try:
        with opened(content, limits) as image:
            if not content.endswith(_END_OF_IMAGE) or not _is_plain(image):
                return None
            return JpegHeader(*image.size, orientation=image.getexif().get(ExifTags.Base.Orientation, 1))
    except InvalidFrame:
        return None


def _is_plain(image: Image.Image) -> bool:
    """Return True for one grey or YCbCr picture with a scan, which all decoders read alike."""
    if image.format != "JPEG" or not isinstance(image, JpegImageFile) or not image.tile or min(image.size) < 1:
        return False
    if image.mode == "L":
        return True
    if image.mode != "RGB":
        return False
    if "adobe" in image.info:
        return bool(image.info.get("adobe_transform") == 1)
    # Without either marker libjpeg guesses from the components' ids.
    return "jfif" in image.info or tuple(layer[0] for layer in image.layer) == _YCBCR_COMPONENTS


def _decoded_by_nvjpeg(contents: Sequence[bytes], stream: DecodeStream) -> list[Tensor]:
    """Decode all in one call, in the context of the stream. Shapes: uint8 (3, h, w). Raises RuntimeError."""
    encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
    # torchvision takes memory in the order of our stream but writes to it from its own, which does not wait for ours
    # (nor do the JPEG engines of some GPUs wait for any): kernels still queued here, such as those that resize the
    # pictures of the call before, may have yet to read what lay in that memory. Nothing else ever uses it.
    stream.drain()
    try:
        # torchvision has deprecated this decoder in favour of torchcodec's, which turns pictures upright by itself:
        # after a change to that, the orientation must not be applied again.
        return list(decode_jpeg(encoded, mode=ImageReadMode.RGB, device=stream.device))
    except RuntimeError:
        # Decoding of the others may still be queued, in torchvision's stream and into memory that is free again.
        stream.drain_device()
        raise


def _grouped(headers: Mapping[int, JpegHeader], max_pixels: int) -> Iterator[list[int]]:
    """Put neighbours together, groups of at most `max_pixels`, but at least one frame."""
    group: list[int] = []
    pixels = 0
    for index, header in headers.items():
        frame_pixels = header.width * header.height
        if group and pixels + frame_pixels > max_pixels:
            yield group
            group, pixels = [], 0
        group.append(index)
        pixels += frame_pixels
    if group:
        yield group


def _marked(decoded: Picture | InvalidFrame, event: torch.cuda.Event | None) -> Picture | InvalidFrame:
    return replace(decoded, decoded=event) if isinstance(decoded, Picture) and event else decoded
