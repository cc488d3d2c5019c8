"""Geometry for drawing parts: pixel coordinates on the part, distances to outlines, and the surface that is lit.

All arrays are float32 of shape (height, width) unless said otherwise; lengths are pixels.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating[Any]]

FRAME_SIZE = (320, 384)
"""Height and width of every simulated frame, pixels."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Position of the part below the camera; centre and angle vary from part to part."""

    centre_x: float
    centre_y: float
    angle: float
    scale: float

    def part_coordinates(self) -> tuple[Field, Field]:
        """Compute each pixel's place on the part (u to the right, v down, origin at the part's centre)."""
        height, width = FRAME_SIZE
        y, x = np.ogrid[0:height, 0:width]
        dx = ((x - self.centre_x) / self.scale).astype(np.float32)
        dy = ((y - self.centre_y) / self.scale).astype(np.float32)
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        return cos * dx + sin * dy, cos * dy - sin * dx

    def lay(self, texture: Image.Image, *, offset: tuple[float, float] = (0, 0)) -> Field:
        """Lay an 8-bit texture, centred on the part, under the camera; values 0..1."""
        cos, sin = math.cos(self.angle) / self.scale, math.sin(self.angle) / self.scale
        mid_u, mid_v = texture.width / 2 + offset[0], texture.height / 2 + offset[1]
        coefficients = (
            *(cos, sin, mid_u - cos * self.centre_x - sin * self.centre_y),
            *(-sin, cos, mid_v + sin * self.centre_x - cos * self.centre_y),
        )
        height, width = FRAME_SIZE
        laid = texture.transform((width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        return np.asarray(laid, dtype=np.float32) / 255


@dataclass(frozen=True, slots=True)
class Surface:
    """A part before light falls on it.

    `outline` is the signed distance to the metal's edge (negative on metal), `height` the relief, `tone` the share of
    light that comes back, `grain` the machining marks (about -1..1), `marks_x` and `marks_y` their direction.
    """

    outline: Field
    height: Field
    tone: Field
    grain: Field
    marks_x: Field
    marks_y: Field


def circle(u: Field, v: Field, radius: float) -> Field:
    """Compute the signed distance to a circle around the origin."""
    return np.hypot(u, v) - np.float32(radius)


def rounded_box(u: Field, v: Field, half: tuple[float, float], radius: float) -> Field:
    """Compute the signed distance to a rectangle with round corners; `half` is half its width and height."""
    du = np.abs(u) - np.float32(half[0] - radius)
    dv = np.abs(v) - np.float32(half[1] - radius)
    outside: Field = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
    return outside + np.minimum(np.maximum(du, dv), 0) - np.float32(radius)


def chamfer(outline: Field, width: float, slope: float = 0.9) -> Field:
    """Build the relief of a chamfer that falls over the last `width` pixels before the edge."""
    depth: Field = np.clip(-outline - np.float32(width), -width - 1, 0)
    return depth * np.float32(slope)


def step(distance: Field, width: float) -> Field:
    """Build a step: 0 inside, 1 outside, rising over `width` pixels."""
    rising: Field = np.clip(distance / np.float32(width) + np.float32(0.5), 0, 1)
    return rising


def fold(u: Field, v: Field, count: int) -> tuple[Field, Field, NDArray[np.intp]]:
    """Rotate every point into the first of `count` equal sectors; also return the sector that it came from."""
    sector = np.round(np.arctan2(v, u) * np.float32(count / math.tau)).astype(np.intp) % count
    angle = (sector * np.float32(math.tau / count)).astype(np.float32)
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * u + sin * v, cos * v - sin * u, sector
