"""Read the capture time and the modification time of an image file."""

from datetime import UTC, datetime
from pathlib import Path

from PIL import ExifTags

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.opening import ImageLimits, opened

_FORMAT = "%Y:%m:%d %H:%M:%S"
_LENGTH = len("2026:11:23 08:15:00")


def exif_time(content: bytes, limits: ImageLimits) -> datetime | None:
    """Return EXIF DateTimeOriginal as UTC; None if the tag is missing or is not a time.

    Reads the header only. The camera's time zone is not needed: only differences between pictures of a line count.
    """
    try:
        with opened(content, limits) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return None  # Pillow would decode the whole picture to find EXIF after it
            text = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    except InvalidFrame:
        return None
    try:
        return datetime.strptime(str(text)[:_LENGTH], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def file_time(path: Path) -> datetime | None:
    """Return the file's modification time, UTC; None if the file system gives a time outside the calendar's range."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None
