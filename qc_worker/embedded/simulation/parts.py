"""Draws the parts that the simulated lines make: a turned brass flange, a brushed steel bracket, a milled bronze gear.

A part is drawn from signed distances in its own coordinates, so its pose costs no quality.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from qc_worker.embedded.simulation.canvas import Field, Pose, Surface, chamfer, circle, fold, rounded_box, step

Colour = tuple[int, int, int]
Drawing = Callable[[Pose, Generator, int | None], Surface]


@dataclass(frozen=True, slots=True)
class PartKind:
    """Kind of part. `shades` colour the metal from deep shadow to highlight; one of `features` can be missing."""

    name: str
    draw: Drawing
    features: int
    shades: tuple[Colour, Colour, Colour, Colour]


def draw_flange(pose: Pose, rng: Generator, missing: int | None) -> Surface:
    """Draw a turned disc with a raised hub, a bore with keyway and six bolt holes; `missing` is the hole left out."""
    u, v = pose.part_coordinates()
    radius = np.hypot(u, v)
    hole_u, hole_v, sector = fold(u, v, 6)
    holes = circle(hole_u - 98, hole_v, 13)
    if missing is not None:
        holes[sector == missing] = 99
    bore = np.minimum(radius - 30, rounded_box(u, v + 31, (7, 8), 1))
    outline = np.maximum(radius - 136, -np.minimum(holes, bore))
    hub = step(radius - 62, 7)
    height = chamfer(outline, 3.5) - 6 * hub - 1.2 * np.exp(-(((radius - 122) / 1.6) ** 2))
    angle = np.where(radius > 1, radius, 1)
    return Surface(
        outline=outline,
        height=height,
        tone=1 - 0.08 * hub,
        grain=_turned(radius, rng),
        marks_x=-v / angle * math.cos(pose.angle) - u / angle * math.sin(pose.angle),
        marks_y=u / angle * math.cos(pose.angle) - v / angle * math.sin(pose.angle),
    )


def draw_bracket(pose: Pose, rng: Generator, missing: int | None) -> Surface:
    """Draw a brushed plate with a counterbored hole, two slots, four corner holes and an engraved number.

    `missing` is the feature left out: 0 to 3 the corner holes, 4 and 5 the slots.
    """
    u, v = pose.part_coordinates()
    quadrant = (u > 0) + 2 * (v > 0).astype(np.intp)
    corners = circle(np.abs(u) - 136, np.abs(v) - 88, 10)
    slots = rounded_box(np.abs(u) - 88, v, (12, 42), 12)
    corners[quadrant == missing] = 99
    slots[(u > 0) == (missing == 5)] = 99 if missing in (4, 5) else slots[(u > 0) == (missing == 5)]
    centre = np.hypot(u, v + 6)
    openings = np.minimum(np.minimum(corners, slots), centre - 26)
    outline = np.maximum(rounded_box(u, v, (162, 114), 22), -openings)
    height = chamfer(outline, 3) - 5 * step(46 - centre, 3) - 1.6 * pose.lay(_engraving("QC-7  B204"), offset=(0, -84))
    shape = np.ones_like(u)
    return Surface(
        outline=outline,
        height=height,
        tone=1 - 0.1 * step(46 - centre, 3),
        grain=_brushed(pose, rng),
        marks_x=shape * math.cos(pose.angle),
        marks_y=shape * math.sin(pose.angle),
    )


def draw_gear(pose: Pose, rng: Generator, missing: int | None) -> Surface:
    """Draw a spur gear with 24 teeth, a ring groove and five lightening holes; `missing` is the hole left out."""
    u, v = pose.part_coordinates()
    radius = np.hypot(u, v)
    tooth_u, tooth_v, _ = fold(u, v, 24)
    flank = np.abs(tooth_v) - (10.5 - 0.24 * (tooth_u - 118))
    teeth = np.minimum(np.maximum(flank, radius - 142), radius - 122)
    hole_u, hole_v, sector = fold(u, v, 5)
    holes = circle(hole_u - 74, hole_v, 19)
    if missing is not None:
        holes[sector == missing] = 99
    outline = np.maximum(teeth, -np.minimum(holes, np.minimum(radius - 24, rounded_box(u, v + 25, (6, 7), 1))))
    web = step(radius - 42, 4) * step(106 - radius, 4)
    length = np.where(radius > 1, radius, 1)
    return Surface(
        outline=outline,
        height=chamfer(outline, 2.6) - 5 * web,
        tone=1 - 0.1 * web,
        grain=_turned(radius, rng),
        marks_x=-v / length * math.cos(pose.angle) - u / length * math.sin(pose.angle),
        marks_y=u / length * math.cos(pose.angle) - v / length * math.sin(pose.angle),
    )


def _turned(radius: Field, rng: Generator) -> Field:
    """Draw lathe marks: new concentric rings for every part."""
    rings = rng.standard_normal(400).astype(np.float32)
    finer: Field = np.interp(np.arange(0, 400, 0.2), np.arange(400), rings).astype(np.float32)
    return finer[(radius * 7).astype(np.intp)]


def _brushed(pose: Pose, rng: Generator) -> Field:
    """Draw brush marks: another stretch of the same brushing for every part."""
    offset = (float(rng.uniform(-240, 240)), float(rng.uniform(-240, 240)))
    return pose.lay(_brushing(), offset=offset) * 4 - 2


@cache
def _brushing() -> Image.Image:
    rng = np.random.default_rng(20)
    long = rng.normal(127, 34, (1000, 30)).clip(0, 255).astype(np.uint8)
    short = rng.normal(127, 34, (1000, 120)).clip(0, 255).astype(np.uint8)
    return Image.blend(_stretched(long), _stretched(short), alpha=0.4)


def _stretched(marks: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(marks).resize((1000, 1000), Image.Resampling.BICUBIC)


@cache
def _engraving(text: str) -> Image.Image:
    canvas = Image.new("L", (400, 400))
    ImageDraw.Draw(canvas).text((200, 200), text, font=ImageFont.load_default(22), fill=255, anchor="mm")
    return canvas.filter(ImageFilter.GaussianBlur(0.6))


FLANGE = PartKind("flange", draw_flange, 6, ((26, 17, 8), (122, 86, 38), (214, 172, 98), (255, 246, 214)))
BRACKET = PartKind("bracket", draw_bracket, 6, ((16, 18, 22), (86, 92, 100), (172, 180, 188), (250, 252, 255)))
GEAR = PartKind("gear", draw_gear, 5, ((24, 13, 9), (112, 66, 46), (206, 140, 108), (255, 232, 214)))
