"""Read files in which people mark a part of the picture: a PNG, or polygons in JSON."""

import io
from typing import Annotated

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qc_worker.domain.errors import InvalidFrame
from qc_worker.imaging.opening import ImageLimits, opened

Marked = npt.NDArray[np.bool_]
"""True where the file marks the picture; shape (height, width), at the file's own resolution."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_POLYGONS = 1_000
MAX_POINTS = 10_000
MAX_JSON_BYTES = 16 << 20
MAX_SIDE_PX = 65_535

Coordinate = Annotated[float, Field(ge=-MAX_SIDE_PX, le=2 * MAX_SIDE_PX)]
Point = tuple[Coordinate, Coordinate]
Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]


class Polygons(BaseModel):
    """Outlines in pixels of a picture of `size`; the region is their union."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    size: tuple[Side, Side]
    """Height and width of the picture to which the points refer."""
    polygons: Annotated[
        tuple[Annotated[tuple[Point, ...], Field(min_length=3, max_length=MAX_POINTS)], ...],
        Field(min_length=1, max_length=MAX_POLYGONS),
    ]
    """Points (x, y) of each polygon; the last point is joined to the first."""


def marked_in(content: bytes, limits: ImageLimits) -> Marked:
    """Read marked pixels from a PNG (all but 0 are marked) or from JSON (`Polygons`). Raises ValueError."""
    if content.startswith(PNG_SIGNATURE):
        return _in_png(content, limits)
    if content.lstrip()[:1] == b"{":
        return _in_polygons(content, limits)
    raise ValueError('neither a PNG nor JSON like {"size": [height, width], "polygons": [[[x, y], ...], ...]}')


def as_png(marked: Marked) -> bytes:
    """Encode marked pixels as a PNG of one bit a pixel, which `marked_in` can read."""
    encoded = io.BytesIO()
    Image.fromarray(marked).save(encoded, "PNG", optimize=True)
    return encoded.getvalue()


def _in_png(content: bytes, limits: ImageLimits) -> Marked:
    try:
        with opened(content, limits) as image:
            image.load()
            return _not_zero(image)
    except InvalidFrame as error:
        raise ValueError(error.detail) from None


def _not_zero(image: Image.Image) -> Marked:
    """Mark pixels of any colour but black; transparent pixels are not marked."""
    if image.mode.startswith("I"):
        wide: Marked = np.asarray(image) != 0  # a conversion to 8 bits would lose the low values
        return wide
    colours = np.asarray(image.convert("RGBA"))
    marked: Marked = colours[..., :3].any(axis=-1) & (colours[..., 3] > 0)
    return marked


def _in_polygons(content: bytes, limits: ImageLimits) -> Marked:
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{len(content)} bytes of JSON; at most {MAX_JSON_BYTES} are allowed")
    try:
        outlines = Polygons.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc'])) or 'document'}: {first['msg']}") from None
    height, width = outlines.size
    if height * width > limits.max_pixels:
        raise ValueError(f"size: {height * width} pixels; at most {limits.max_pixels} are allowed")
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for polygon in outlines.polygons:
        pen.polygon(polygon, fill=1)
    return np.asarray(canvas) > 0
