"""Decodes JPEGs in batches on the GPU (nvJPEG), everything else on the CPU; used only with the setting `gpu_decode`.

Both accept the same frames: the header passes the CPU's own checks first, everything but a plain and complete JPEG goes
to the CPU, and so does a frame that nvJPEG refuses; only the CPU's refusal is final.

Pixels differ a little. nvJPEG decodes at full size, where the CPU decodes a large JPEG at a fraction; the mean over
blocks replaces the fraction. Measured with libjpeg's full decode in place of nvJPEG: up to 4 grey levels from the CPU's
pixels, 0.4 in the mean; where the CPU decodes at full size too, 1 and 0.01. The further difference by nvJPEG's own
arithmetic has not been measured yet.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from torch.nn import functional as F
from torchvision.io import ImageReadMode, decode_jpeg

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.aspect import FULL_DEPTH, Aspect, InputSize
from qc_worker.imaging.preprocessing import Box, ImageLimits, Picture, as_stored, content_box, decode_picture, opened
from qc_worker.imaging.resize import resize_dimension
from qc_worker.runtime.decode_pool import decode_pool

CALL_PIXELS = 64_000_000
"""Most pixels decoded in one call, which takes three bytes of the device's memory for each."""
_END_OF_IMAGE = b"\xff\xd9"
_YCBCR_COMPONENTS = (1, 2, 3)
# EXIF orientation: whether rows become columns, then which dimensions are flipped.
_UPRIGHT: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (-1,)),
    3: (False, (-2, -1)),
    4: (False, (-2,)),
    5: (True, ()),
    6: (True, (-1,)),
    7: (True, (-2, -1)),
    8: (True, (-2,)),
}


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Header of a JPEG that nvJPEG may decode: its size as stored, in pixels, and its EXIF orientation."""

    width: int
    height: int
    orientation: int


class NvJpegDecoder:
    """Decodes batches of frames on `device`; used by one thread. Without CUDA the CPU decodes everything."""

    def __init__(
        self,
        *,
        input_size: InputSize,
        aspect: Aspect,
        limits: ImageLimits,
        device: torch.device,
        cpu_threads: int,
        bit_depth: int = FULL_DEPTH,
    ) -> None:
        self._bit_depth = bit_depth  # for frames that are not JPEGs
        self._input_size = input_size
        self._aspect: Aspect = aspect
        self._limits = limits
        self._device = device if device.type != "cuda" or torch.cuda.is_available() else None
        self._cpu = decode_pool(cpu_threads, name="decode-beside-gpu")

    def close(self) -> None:
        self._cpu.shutdown(wait=True)

    def decode(self, contents: Sequence[bytes]) -> list[Picture | InvalidFrame]:
        """Decode each frame as `decode_picture` would, in order; pixels lie on the device where there is one.

        Raises RuntimeError only if the device fails altogether, never for a frame: AcceleratorError if it is lost.
        """
        headers = {index: header for index, content in enumerate(contents) if (header := self._header(content))}
        left_to_cpu = {
            index: self._cpu.submit(self._on_cpu, content)
            for index, content in enumerate(contents)
            if index not in headers
        }
        decoded: dict[int, Picture | InvalidFrame] = {}
        for call in _calls(headers):
            pictures = self._full_size([contents[index] for index in call])
            for index, picture in zip(call, pictures, strict=True):
                upright = self._fit(picture, headers[index]) if picture is not None else None
                decoded[index] = upright or self._on_cpu(contents[index])
        return [
            left_to_cpu[index].result() if index in left_to_cpu else decoded[index] for index in range(len(contents))
        ]

    def _header(self, content: bytes) -> JpegHeader | None:
        return plain_jpeg_header(content, self._limits) if self._device else None

    def _on_cpu(self, content: bytes) -> Picture | InvalidFrame:
        try:
            picture = decode_picture(
                content,
                input_size=self._input_size,
                aspect=self._aspect,
                limits=self._limits,
                bit_depth=self._bit_depth,
            )
        except InvalidFrame as error:
            return error
        return replace(picture, pixels=picture.pixels.to(self._device)) if self._device else picture

    def _full_size(self, contents: Sequence[bytes]) -> list[Tensor | None]:
        """Decode to pictures as stored, uint8 (3, h, w); None for those that nvJPEG refuses or has no memory for."""
        encoded = [torch.frombuffer(bytearray(content), dtype=torch.uint8) for content in contents]
        on_cuda = self._device is not None and self._device.type == "cuda"
        if on_cuda:
            # torchvision takes memory in the order of our stream but writes to it from its own, which does not wait for
            # ours: kernels still queued there may have yet to read what lay in that memory before.
            torch.cuda.current_stream(self._device).synchronize()
        try:
            # torchvision has deprecated this decoder in favour of torchcodec's, which turns pictures upright by itself:
            # after a change to that, the orientation must not be applied again.
            return list(decode_jpeg(encoded, mode=ImageReadMode.RGB, device=self._device))
        except RuntimeError:
            # One refused frame fails the whole call, and the error does not name it.
            if on_cuda:
                # Decoding of the others may still be queued, into memory that is free again.
                torch.cuda.synchronize(self._device)
            if len(contents) == 1:
                return [None]
        half = len(contents) // 2
        return self._full_size(contents[:half]) + self._full_size(contents[half:])

    def _fit(self, picture: Tensor, header: JpegHeader) -> Picture | None:
        if picture.shape != (3, header.height, header.width):
            return None
        image_size = as_stored((header.height, header.width), header.orientation)
        box = content_box(image_size, self._input_size, self._aspect)
        inner_size = as_stored((box.height, box.width), header.orientation)
        try:
            inner = shrink_on_device(picture, inner_size, as_stored(self._input_size, header.orientation))
        except RuntimeError:  # out of memory, or a scale that needs more memory than the kernel has
            return None
        return Picture(_filled(_upright(inner, header.orientation), box, self._input_size), image_size)


def plain_jpeg_header(content: bytes, limits: ImageLimits) -> JpegHeader | None:
    """Read a header with the checks of `decode_picture`; None if the CPU has to decode or to refuse the frame."""
    try:
        with opened(content, limits) as image:
            if not content.endswith(_END_OF_IMAGE) or not _is_plain(image):
                return None
            return JpegHeader(*image.size, orientation=image.getexif().get(ExifTags.Base.Orientation, 1))
    except InvalidFrame:
        return None


def shrink_on_device(picture: Tensor, size: tuple[int, int], input_size: InputSize) -> Tensor:
    """Resize as the CPU's path does, rounding where it rounds.

    `size` and `input_size` are (height, width), as the picture is stored.
    Shapes: uint8 (3, h, w) -> float32 (1, 3, *size) of whole numbers.
    """
    height, width = picture.shape[1:]
    side = _block_side(height, width, input_size)
    blocks = picture[None].float()
    if side > 1:
        blocks = F.avg_pool2d(blocks, side, ceil_mode=True, count_include_pad=False).round_()
    narrowed = resize_dimension(blocks, 3, size[1], width / side).round_()
    return resize_dimension(narrowed, 2, size[0], height / side).round_().clamp_(0, 255)


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


def _calls(headers: dict[int, JpegHeader]) -> Iterator[list[int]]:
    """Group neighbours into calls of at most CALL_PIXELS, but at least one frame."""
    call: list[int] = []
    pixels = 0
    for index, header in headers.items():
        frame_pixels = header.width * header.height
        if call and pixels + frame_pixels > CALL_PIXELS:
            yield call
            call, pixels = [], 0
        call.append(index)
        pixels += frame_pixels
    if call:
        yield call


def _block_side(height: int, width: int, input_size: InputSize) -> int:
    """Return by how much smaller the CPU's path would decode: libjpeg offers 1, 2, 4 and 8."""
    scale = min(height // input_size[0], width // input_size[1])
    return max(side for side in (1, 2, 4, 8) if side <= max(1, scale))


def _upright(pictures: Tensor, orientation: int) -> Tensor:
    transposed, flips = _UPRIGHT.get(orientation, (False, ()))
    turned = pictures.transpose(-2, -1) if transposed else pictures
    return turned.flip(flips) if flips else turned


def _filled(pictures: Tensor, box: Box, input_size: InputSize) -> Tensor:
    """Repeat the picture's border outwards. Shapes: (1, 3, box.height, box.width) -> uint8 (3, H, W)."""
    margins = (
        box.left,
        input_size[1] - box.left - box.width,
        box.top,
        input_size[0] - box.top - box.height,
    )
    filled = F.pad(pictures, margins, mode="replicate") if any(margins) else pictures
    return filled.to(torch.uint8).contiguous(memory_format=torch.channels_last)[0]
