"""Opens pictures within limits, before anything of them is decoded; torch is not needed for it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from qc_worker.domain.errors import InvalidFrame, Reason
from qc_worker.imaging.tiff_pages import select_page

FORMATS = (
    "JPEG",
    "PNG",
    "BMP",
    "TIFF",
    "WEBP",
    "AVIF",
    "GIF",
    "JPEG2000",
    "PPM",
    "TGA",
    "PCX",
    "SGI",
    "QOI",
    "DIB",
)

Image.MAX_IMAGE_PIXELS = None  # Pillow's own limit; ours is a setting, and checked before anything is decoded

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""How to turn a picture of that EXIF orientation upright."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits that are checked before anything is decoded."""

    max_bytes: int
    max_pixels: int


@contextmanager
def opened(content: bytes, limits: ImageLimits) -> Iterator[ImageFile.ImageFile]:
    """Open a picture by its header and check it; any failure within the block becomes an InvalidFrame."""
    if not content:
        raise InvalidFrame(Reason.EMPTY, "the frame has no bytes")
    if len(content) > limits.max_bytes:
        raise InvalidFrame(Reason.TOO_LARGE, f"{len(content)} bytes, at most {limits.max_bytes} are decoded")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.format == "TIFF":
                select_page(image)
            _check_header(image, limits)
            yield image
    except InvalidFrame:
        raise
    except MemoryError:
        raise InvalidFrame(Reason.TOO_MANY_PIXELS, "out of memory while decoding") from None
    except UnidentifiedImageError:
        raise InvalidFrame(Reason.UNDECODABLE, "not an image of a known format") from None
    except Exception as error:  # noqa: BLE001 -- Pillow's plugins raise nearly anything on broken input
        raise InvalidFrame(Reason.UNDECODABLE, f"{type(error).__name__}: {error}"[:200]) from None


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 for upright."""
    orientation: int = image.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation


def _check_header(image: Image.Image, limits: ImageLimits) -> None:
    pixel_count = image.width * image.height
    if pixel_count > limits.max_pixels:
        raise InvalidFrame(Reason.TOO_MANY_PIXELS, f"{pixel_count} pixels, at most {limits.max_pixels} are decoded")
    if getattr(image, "is_animated", False) and image.format not in ("MPO", "TIFF"):
        raise InvalidFrame(Reason.UNDECODABLE, f"more than one frame in this {image.format}")
