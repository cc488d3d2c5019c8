"""Synthetic defects on good frames, which discriminators learn to call anomalous, beside noised features.

They cover what factories see, from obvious to barely visible: pits, cracks, scratches, foreign texture, misplaced
pieces, broken edges, wrong light, loss of focus. None of them is modelled on a particular data set. They are used
for nothing else: they do not rank heads as real defects do (docs/explanation/model.md has the figures).

Blending by thresholded noise follows DRAEM (Zavrtanik et al., ICCV 2021), moving a piece CutPaste (Li et al., CVPR
2021).
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor

Plane = NDArray[np.float32]
"""Shape (S, S)."""
Canvas = NDArray[np.float32]
"""A picture, 0..255, shape (S, S, 3)."""

VISIBLE_GREY_LEVELS = 4.0
"""A pixel belongs to the mask if a colour of it changed by at least this."""
SYNTHETIC_VERSION = 2
"""Increase it whenever defects are drawn in another way: stored features are those of the old way."""
MIN_DEFECT_PIXELS = 12
MAX_TRIES = 20


class Alteration(NamedTuple):
    """An altered picture, blended over the original by `cover` (S, S), 0..1."""

    picture: Canvas
    cover: Plane


def synthetic_defect(pixels: Tensor, random: Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    """Draw one defect of a random kind on a copy of a good frame; return it with the mask of visible changes.

    Shapes: uint8 (3, H, W) -> uint8 (3, H, W) and (H, W). The same picture and generator state give the same defect.
    """
    kind = str(random.choice(SYNTHETIC_KINDS))
    return defect_of_kind(kind, pixels, random)


def defect_of_kind(kind: str, pixels: Tensor, random: Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    """Draw one defect of a kind out of SYNTHETIC_KINDS; see `synthetic_defect`.

    Sizes of defects are shares of a square's side, so on other pictures they are drawn within a random square.
    """
    height, width = pixels.shape[1:]
    if height != width:
        return _within_a_square(kind, pixels, random)
    picture = pixels.permute(1, 2, 0).numpy().astype(np.float32)
    for attempt in range(1, MAX_TRIES + 1):
        # A moved piece of an even surface changes nothing, nor does a crack on black; the last try is always visible.
        draw = _DRAWN[kind] if attempt < MAX_TRIES else _obvious_pit
        altered, mask = _apply(picture, draw(picture, random))
        if mask.sum() >= MIN_DEFECT_PIXELS:
            break
    return torch.from_numpy(np.ascontiguousarray(altered.transpose(2, 0, 1))), mask


def _within_a_square(kind: str, pixels: Tensor, random: Generator) -> tuple[Tensor, NDArray[np.bool_]]:
    height, width = pixels.shape[1:]
    side = min(height, width)
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    square = np.s_[..., top : top + side, left : left + side]
    altered, mask = pixels.clone(memory_format=torch.contiguous_format), np.zeros((height, width), dtype=np.bool_)
    altered[square], mask[square] = defect_of_kind(kind, pixels[square], random)
    return altered, mask


def _apply(picture: Canvas, alteration: Alteration) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    cover = alteration.cover[..., None]
    blended = picture * (1 - cover) + alteration.picture * cover
    altered = blended.round().clip(0, 255).astype(np.uint8)
    changed = np.abs(altered.astype(np.float32) - picture).max(axis=2) >= VISIBLE_GREY_LEVELS
    # Where the texture happens to have the defect's grey the mask has holes; people would mark them as defect too.
    closed = ndimage.binary_closing(np.pad(changed, 2), iterations=2)[2:-2, 2:-2]
    return altered, closed & (alteration.cover > 0.1) | changed


def _pit(picture: Canvas, random: Generator) -> Alteration:
    """Draw a small hole or grain, dark or bright."""
    size = len(picture)
    cover = _blob(size, random, radius=size * random.uniform(0.012, 0.045), wobble=0.2, softness=0.25)
    return Alteration(picture + _shift(random, 20, 110), cover)


def _obvious_pit(picture: Canvas, random: Generator) -> Alteration:
    size = len(picture)
    cover = _blob(size, random, radius=size * 0.045, wobble=0.2, softness=0.25)
    return Alteration(np.full_like(picture, 255 if picture.mean() < 128 else 0), cover)


def _crack(picture: Canvas, random: Generator) -> Alteration:
    """Draw a thin dark line that wanders and thins out."""
    size = len(picture)
    path = _walk(size, random, turn=random.uniform(0.2, 0.6), length=size * random.uniform(0.12, 0.5))
    cover = _stroke(size, path, width=random.uniform(0.5, 1.4))
    return Alteration(picture - np.float32(random.uniform(15, 90)), cover)


def _scratch(picture: Canvas, random: Generator) -> Alteration:
    """Draw a nearly straight groove, dark or bright, at times several side by side."""
    size = len(picture)
    path = _walk(size, random, turn=0.03, length=size * random.uniform(0.15, 0.6))
    cover = _stroke(size, path, width=random.uniform(0.6, 2.0))
    for _ in range(random.integers(0, 3)):
        aside = path + random.normal(0, size * 0.02, 2)
        cover = np.maximum(cover, _stroke(size, aside, width=random.uniform(0.6, 1.5)))
    return Alteration(picture + _shift(random, 15, 70), cover)


def _foreign_texture(picture: Canvas, random: Generator) -> Alteration:
    """Show the surface itself at another scale and turned, where noise is high."""
    size, zoom = len(picture), random.uniform(1.5, 3)
    top, left = random.uniform(0, size - size / zoom, 2)
    piece = (left, top, left + size / zoom, top + size / zoom)
    whole = Image.fromarray(picture.astype(np.uint8))
    zoomed = whole.resize((size, size), Image.Resampling.BILINEAR, box=piece)
    other = np.rot90(np.asarray(zoomed, dtype=np.float32), int(random.integers(1, 4)))
    strength = np.float32(random.uniform(0.35, 1.0))
    return Alteration(other + _shift(random, 0, 30), strength * _islands(len(picture), random))


def _speckle(picture: Canvas, random: Generator) -> Alteration:
    """Add grain, noise of some fineness, where noise of another is high."""
    size = len(picture)
    grain = ndimage.gaussian_filter(random.standard_normal((size, size)), random.uniform(0.5, 3))
    grain = (grain / grain.std() * random.uniform(8, 40)).astype(np.float32)
    return Alteration(picture + grain[..., None], _islands(size, random))


def _moved_piece(picture: Canvas, random: Generator) -> Alteration:
    """Move a piece of the picture to another place (CutPaste), soft or hard at its edge."""
    size = len(picture)
    distance = random.uniform(0.15, 0.6, 2) * size * random.choice([-1, 1], 2)
    moved = np.roll(picture, tuple(distance.astype(int)), axis=(0, 1))
    radius = size * random.uniform(0.03, 0.13)
    cover = _blob(size, random, radius=radius, wobble=0.3, softness=random.uniform(0.05, 0.3))
    return Alteration(moved + _shift(random, 0, 20), cover)


def _broken_edge(picture: Canvas, random: Generator) -> Alteration:
    """Take a ragged bite out of the frame's rim: the background shows, or the rim is smeared inwards."""
    size = len(picture)
    rim = np.linspace(0.01, 1, size, dtype=np.float32)[:, None] * np.ones(size, dtype=np.float32)
    along = np.exp(-(((np.arange(size) / size - random.uniform(0.1, 0.9)) / random.uniform(0.04, 0.2)) ** 2))
    ragged = 1 + 0.8 * _smooth_noise(size, random, cells=int(random.integers(8, 24)))
    depth = random.uniform(0.02, 0.1) * along[None, :] * ragged
    cover = np.rot90((rim < depth).astype(np.float32), int(random.integers(4)))
    behind = np.full_like(picture, random.uniform(0, 255)) if random.random() < 0.5 else picture[::-1, ::-1]
    return Alteration(picture + np.float32(random.uniform(0.3, 1)) * (behind - picture), _soft(cover, 0.8))


def _uneven(picture: Canvas, random: Generator) -> Alteration:
    """Change brightness or contrast weakly over a broad area."""
    cover = _broad(picture, random)
    contrast = np.float32(random.choice([random.uniform(0.3, 0.7), random.uniform(1.4, 2.2), 1.0]))
    local = ndimage.uniform_filter(picture, (25, 25, 1), mode="nearest")
    return Alteration(local + (picture - local) * contrast + _shift(random, 6, 40), cover)


def _blurred(picture: Canvas, random: Generator) -> Alteration:
    """Remove texture over an area: worn, polished, or out of focus."""
    sigma = random.uniform(1.2, 5)
    smooth = ndimage.gaussian_filter(picture, (sigma, sigma, 0), mode="nearest")
    return Alteration(smooth + _shift(random, 0, 10), _broad(picture, random))


def _shift(random: Generator, low: float, high: float) -> np.float32:
    """Draw a change of grey, up or down."""
    return np.float32(random.uniform(low, high) * random.choice([-1, 1]))


def _broad(picture: Canvas, random: Generator) -> Plane:
    size = len(picture)
    if random.random() < 0.5:
        return _soft(_islands(size, random), size * 0.02)
    radius = size * random.uniform(0.08, 0.22)
    return _blob(size, random, radius=radius, wobble=0.3, softness=random.uniform(0.2, 0.6))


def _blob(size: int, random: Generator, *, radius: float, wobble: float, softness: float) -> Plane:
    """Place a wobbly oval at random, 1 inside, fading over `softness` of its radius."""
    y, x = np.mgrid[:size, :size] - random.uniform(0.05, 0.95, 2)[:, None, None] * size
    turn, oval = random.uniform(0, np.pi), random.uniform(0.5, 1)
    u, v = np.cos(turn) * x + np.sin(turn) * y, (np.cos(turn) * y - np.sin(turn) * x) / oval
    angle = np.arctan2(v, u)
    waves = sum(random.normal(0, wobble / k) * np.cos(k * angle + random.uniform(0, 2 * np.pi)) for k in (2, 3, 5))
    away = np.hypot(u, v) / (radius * np.clip(1 + waves, 0.5, 1.6))
    cover: Plane = ((1 - away) / softness + 0.5).clip(0, 1).astype(np.float32)
    return cover


def _islands(size: int, random: Generator) -> Plane:
    """Cover a few ragged islands, 1 to 8 % of the picture, where noise of two octaves is high."""
    cells = int(random.integers(3, 9))
    noise = _smooth_noise(size, random, cells=cells) + 0.5 * _smooth_noise(size, random, cells=2 * cells)
    window = _blob(size, random, radius=size * random.uniform(0.2, 0.4), wobble=0.1, softness=0.8)
    noise = noise - 4 * (1 - window)
    level = np.quantile(noise, 1 - random.uniform(0.01, 0.08))
    return _soft((noise > level).astype(np.float32), 0.8)


def _smooth_noise(size: int, random: Generator, *, cells: int) -> Plane:
    """Interpolate random values smoothly, `cells` to a side; mean 0, about -1..1."""
    grid = Image.fromarray(random.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32))
    within = (1.5, 1.5, cells + 1.5, cells + 1.5)  # from the middle of one value to that of another
    return np.asarray(grid.resize((size, size), Image.Resampling.BICUBIC, box=within))


def _walk(size: int, random: Generator, *, turn: float, length: float) -> NDArray[np.float64]:
    """Draw a path whose direction drifts; points half a pixel apart. Shape: (n, 2), row and column."""
    stretches = random.normal(0, turn, max(2, int(length / 4)))
    angles = random.uniform(0, 2 * np.pi) + np.repeat(np.cumsum(stretches), 8)
    start = random.uniform(0.1, 0.9, 2) * size
    points: NDArray[np.float64] = start + np.cumsum(np.stack([np.sin(angles), np.cos(angles)], axis=1) / 2, axis=0)
    return points


def _stroke(size: int, path: NDArray[np.float64], *, width: float) -> Plane:
    """Draw a line of `width` pixels (standard deviation of its profile) along a path; thinner to its ends."""
    cells = path.round().astype(int)
    inside = ((cells >= 0) & (cells < size)).all(axis=1)
    line = np.zeros((size, size), dtype=np.float32)
    line[tuple(cells[inside].T)] = np.sin(np.linspace(0.2, np.pi - 0.2, len(path)))[inside]
    # Scaled so that the middle of a long straight line has 1: the profile's height is 1 / (sqrt(2 pi) width).
    drawn: Plane = (ndimage.gaussian_filter(line, width) * np.sqrt(2 * np.pi) * width).clip(0, 1).astype(np.float32)
    return drawn


def _soft(cover: Plane, sigma: float) -> Plane:
    softened: Plane = ndimage.gaussian_filter(cover, sigma)
    return softened


_DRAWN = MappingProxyType[str, Callable[[Canvas, Generator], Alteration]](
    {
        "pit": _pit,
        "crack": _crack,
        "scratch": _scratch,
        "foreign_texture": _foreign_texture,
        "speckle": _speckle,
        "moved_piece": _moved_piece,
        "broken_edge": _broken_edge,
        "uneven": _uneven,
        "blurred": _blurred,
    }
)
SYNTHETIC_KINDS: tuple[str, ...] = tuple(_DRAWN)
