"""Adds defects, from obvious to barely visible, to a surface's relief and tone; light does the rest."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from qc_worker.embedded.simulation.canvas import FRAME_SIZE, Field, Surface

Defecting = Callable[[Surface, Generator], Surface]
Point = tuple[float, float]


def scratch(surface: Surface, rng: Generator) -> Surface:
    """Add a slightly bent groove with bright lips, in any direction."""
    x, y = _place(surface, rng, margin_px=12)
    angle, length = rng.uniform(0, np.pi), rng.uniform(36, 130)
    bend = rng.uniform(-0.25, 0.25)
    points = [(x, y)]
    for _ in range(4):
        angle += bend
        points.append((points[-1][0] + np.cos(angle) * length / 4, points[-1][1] + np.sin(angle) * length / 4))
    away = _distance_to_path(points)
    width, depth = rng.uniform(1.1, 2.0), rng.uniform(1.2, 3.6)
    groove = np.exp(-((away / width) ** 2)) - 0.4 * np.exp(-(((away - 2 * width) / width) ** 2))
    bright = 0.2 * depth * np.exp(-((away / (width + 0.4)) ** 2))
    return replace(surface, height=surface.height - depth * groove, tone=surface.tone + bright)


def dent(surface: Surface, rng: Generator) -> Surface:
    """Add an oval hollow from a knock."""
    blob = _blob(_place(surface, rng, margin_px=9), rng, radii_px=(9, 18), wobble=0.15)
    hollow = np.exp(-1.3 * blob * blob)
    depth = rng.uniform(6, 15)
    return replace(surface, height=surface.height - depth * hollow, tone=surface.tone - 0.024 * depth * hollow)


def stain(surface: Surface, rng: Generator) -> Surface:
    """Add dried coolant: darker, with a drying rim."""
    blob = _blob(_place(surface, rng, margin_px=10), rng, radii_px=(13, 32), wobble=0.45)
    body = 1 / (1 + np.exp(np.clip((blob - 1) * 12, -30, 30)))
    rim = np.exp(-(((blob - 1) / 0.10) ** 2))
    strength = rng.uniform(0.18, 0.55)
    return replace(surface, tone=surface.tone * (1 - strength * body - 0.4 * strength * rim))


def crack(surface: Surface, rng: Generator) -> Surface:
    """Add a jagged dark line that starts at an edge."""
    x, y = _edge_point(surface, rng)
    angle = np.arctan2(*_inward(surface, x, y)[::-1])
    points = [(x, y)]
    for _ in range(rng.integers(5, 9)):
        turned = angle + rng.normal(0, 0.55)
        reach = rng.uniform(4, 9)
        points.append((points[-1][0] + np.cos(turned) * reach, points[-1][1] + np.sin(turned) * reach))
    away = _distance_to_path(points)
    gap = np.exp(-((away / rng.uniform(0.8, 1.4)) ** 2))
    depth = rng.uniform(0.4, 0.85)
    return replace(surface, tone=surface.tone * (1 - depth * gap), height=surface.height - 0.8 * depth * gap)


def burr(surface: Surface, rng: Generator) -> Surface:
    """Add ragged metal left standing along a stretch of an edge."""
    x, y = _edge_point(surface, rng)
    height, width = FRAME_SIZE
    rows, columns = np.ogrid[0:height, 0:width]
    ragged = rng.normal(0, 1, (24, 24)).astype(np.float32).repeat(3, 0).repeat(3, 1)
    near = np.exp(-(((columns - x) ** 2 + (rows - y) ** 2) / rng.uniform(12, 22) ** 2)).astype(np.float32)
    teeth = np.abs(ragged[rows % 72, columns % 72]) * near
    along = np.exp(-((surface.outline / 3.2) ** 2))
    strength = rng.uniform(2.4, 5.0)
    return replace(
        surface,
        outline=surface.outline - strength * teeth * along * 1.5,
        height=surface.height + strength * teeth * along,
        tone=surface.tone + 0.22 * teeth * along,
    )


DEFECTS: dict[str, Defecting] = {"burr": burr, "crack": crack, "dent": dent, "scratch": scratch, "stain": stain}
MISSING_FEATURE = "missing_feature"
DEFECT_KINDS: tuple[str, ...] = (*DEFECTS, MISSING_FEATURE)


def _place(surface: Surface, rng: Generator, *, margin_px: float) -> Point:
    """Choose a point on the metal, `margin_px` from any edge."""
    candidates = np.flatnonzero(surface.outline < -margin_px)
    y, x = divmod(int(rng.choice(candidates)), FRAME_SIZE[1])
    return float(x), float(y)


def _edge_point(surface: Surface, rng: Generator) -> Point:
    inside = np.flatnonzero(np.abs(surface.outline[20:-20, 20:-20] + 1) < 0.8)
    y, x = divmod(int(rng.choice(inside)), FRAME_SIZE[1] - 40)
    return float(x + 20), float(y + 20)


def _inward(surface: Surface, x: float, y: float) -> tuple[float, float]:
    """Compute the direction from an edge into the metal (x, y)."""
    row, column = int(y), int(x)
    outline = surface.outline
    return (
        float(outline[row, column - 2] - outline[row, column + 2]),
        float(outline[row - 2, column] - outline[row + 2, column]),
    )


def _distance_to_path(points: list[Point]) -> Field:
    """Compute the distance of every pixel to a polyline."""
    height, width = FRAME_SIZE
    y, x = np.ogrid[0:height, 0:width]
    x, y = x.astype(np.float32), y.astype(np.float32)
    nearest = np.full(FRAME_SIZE, 1e6, dtype=np.float32)
    for (ax, ay), (bx, by) in pairwise(points):
        dx, dy = np.float32(bx - ax), np.float32(by - ay)
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy + np.float32(1e-6)), 0, 1)
        nearest = np.minimum(nearest, (x - ax - along * dx) ** 2 + (y - ay - along * dy) ** 2)
    return np.sqrt(nearest)


def _blob(centre: Point, rng: Generator, *, radii_px: tuple[float, float], wobble: float) -> Field:
    """Compute the distance from a wobbly oval's centre in units of its radius: 1 on its outline."""
    height, width = FRAME_SIZE
    y, x = np.ogrid[0:height, 0:width]
    dx, dy = (x - np.float32(centre[0])).astype(np.float32), (y - np.float32(centre[1])).astype(np.float32)
    turn, radius, oval = rng.uniform(0, np.pi), rng.uniform(*radii_px), rng.uniform(0.65, 1)
    u = (np.cos(turn) * dx + np.sin(turn) * dy) / np.float32(radius)
    v = (np.cos(turn) * dy - np.sin(turn) * dx) / np.float32(radius * oval)
    angle = np.arctan2(v, u)
    waves = sum(rng.normal(0, wobble / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 5))
    blob: Field = (np.hypot(u, v) / np.clip(1 + waves, 0.5, 1.6)).astype(np.float32)
    return blob
