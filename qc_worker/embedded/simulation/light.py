"""Lights and photographs a surface: first grey levels, then a colour picture.

Machined metal reflects along its marks, so highlights follow Kajiya and Kay's anisotropic term (SIGGRAPH 1989):
a turned face shows the bow tie, a brushed face a band.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageFilter

from qc_worker.embedded.simulation.canvas import FRAME_SIZE, Field, Pose, Surface, step
from qc_worker.embedded.simulation.parts import Colour

LAMP_HEIGHT = 330.0
HIGHLIGHT_WIDTH = 0.14


@dataclass(frozen=True, slots=True)
class Scene:
    """Conditions that differ from frame to frame: pose, lamp, exposure, focus."""

    pose: Pose
    lamp: tuple[float, float]
    exposure: float
    blur_px: float


def draw_scene(rng: Generator) -> Scene:
    """Draw a scene: the fixture holds parts to a few pixels and degrees, and the lamp hardly drifts."""
    height, width = FRAME_SIZE
    return Scene(
        pose=Pose(
            centre_x=width / 2 + rng.uniform(-5, 5),
            centre_y=height / 2 + rng.uniform(-5, 5),
            angle=rng.uniform(-0.06, 0.06),
            scale=rng.uniform(0.992, 1.008),
        ),
        lamp=(width * 0.30 + rng.uniform(-14, 14), height * 0.12 + rng.uniform(-14, 14)),
        exposure=rng.uniform(0.95, 1.05),
        blur_px=rng.uniform(0.45, 0.75),
    )


def shade(surface: Surface, scene: Scene) -> Field:
    """Compute the grey levels 0..255 of the metal, before blur and noise."""
    height, width = FRAME_SIZE
    y, x = np.ogrid[0:height, 0:width]
    to_lamp_x = (scene.lamp[0] - x).astype(np.float32) / np.float32(LAMP_HEIGHT)
    to_lamp_y = (scene.lamp[1] - y).astype(np.float32) / np.float32(LAMP_HEIGHT)
    slope_y, slope_x = np.gradient(surface.height)
    towards_lamp = -(slope_x * to_lamp_x + slope_y * to_lamp_y)
    steep = slope_x * slope_x + slope_y * slope_y
    diffuse = (0.33 + 0.30 * towards_lamp) / np.sqrt(1 + steep)
    along = surface.marks_x * to_lamp_x + surface.marks_y * to_lamp_y - 0.5 * towards_lamp
    away = to_lamp_x * to_lamp_x + to_lamp_y * to_lamp_y
    highlight = np.exp(-(along * along) / (np.float32(4 * HIGHLIGHT_WIDTH**2) * (1 + away))) / (1 + 0.35 * away + steep)
    light = diffuse * (1 + 0.10 * surface.grain) + 0.46 * highlight * (1 + 0.18 * surface.grain)
    glint = 0.35 * np.clip(towards_lamp - 0.35, 0, 1)
    grey: Field = np.clip((light * surface.tone + glint) * np.float32(235 * scene.exposure), 0, 255)
    return grey


def expose(metal: Field, outline: Field, scene: Scene, shades: tuple[Colour, ...], noise: Generator) -> Image.Image:
    """Blur the metal, lay it on the conveyor with its shadow, add the sensor's noise."""
    lens = ImageFilter.GaussianBlur(scene.blur_px)
    grey = Image.fromarray(metal.astype(np.uint8)).filter(lens)
    cover = Image.fromarray((step(-outline, 1.4) * 255).astype(np.uint8))
    belt = Image.fromarray((_belt() * _shadow(outline) * np.float32(scene.exposure)).astype(np.uint8))
    sensor = noise.standard_normal(FRAME_SIZE, dtype=np.float32) * np.float32(2.2)
    colour = Image.merge("RGB", [_noisy(grey, sensor).point(ramp) for ramp in _ramps(shades)])
    ground = Image.merge("RGB", [_noisy(belt, sensor).point(ramp) for ramp in _ramps(BELT_SHADES)])
    return Image.composite(colour, ground, cover)


BELT_SHADES: tuple[Colour, ...] = ((8, 9, 11), (78, 84, 92), (160, 168, 176), (240, 244, 248))


def _noisy(grey: Image.Image, sensor: Field) -> Image.Image:
    return Image.fromarray(np.clip(np.asarray(grey, dtype=np.float32) + sensor, 0, 255).astype(np.uint8))


def _shadow(outline: Field) -> Field:
    """Compute the part's shadow, which falls to the lower right and into its openings."""
    thrown = np.roll(outline, (7, 6), axis=(0, 1))
    return 0.28 + 0.72 * step(thrown - 4, 22)


@cache
def _belt() -> Field:
    """Draw the conveyor: a matt woven ground, brighter towards the lamp."""
    height, width = FRAME_SIZE
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    weave = np.sin(x * 1.35 + y * 0.75) * np.sin(y * 1.35 - x * 0.75)
    near = 1 - np.hypot(x - width * 0.3, y - height * 0.1) / 760
    speckle = np.random.default_rng(3).normal(0, 1.6, FRAME_SIZE)
    grey: Field = np.clip((64 + 5 * weave + speckle) * near, 0, 255).astype(np.float32)
    return grey


@cache
def _ramps(shades: tuple[Colour, ...]) -> tuple[list[int], ...]:
    """Build one look-up table of 256 entries for each channel."""
    stops = np.linspace(0, 255, len(shades))
    return tuple(
        np.interp(np.arange(256), stops, channel).round().astype(int).tolist() for channel in zip(*shades, strict=True)
    )
