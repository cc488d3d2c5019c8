"""When a picture was taken, by its file."""

from datetime import UTC, datetime
from pathlib import Path

from PIL import ExifTags

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.preprocessing import ImageLimits, opened

_FORMAT = "%Y:%m:%d %H:%M:%S"
_LENGTH = len("2026:11:23 08:15:00")


def exif_time(content: bytes, limits: ImageLimits) -> datetime | None:
    """EXIF DateTimeOriginal, read as UTC: only differences between the pictures of a line matter.

    Only the header is read. None without the tag, or if what it holds is no time.
    """
    try:
        with opened(content, limits) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return None  # Pillow would decode the whole picture to look behind it
            text = image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.DateTimeOriginal)
    except InvalidFrame:
        return None
    try:
        return datetime.strptime(str(text)[:_LENGTH], _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def file_time(path: Path) -> datetime | None:
    """When the file was last changed, UTC; None if the file system states a time that no calendar has."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None
