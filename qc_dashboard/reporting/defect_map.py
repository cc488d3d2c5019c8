"""Map where defects sit on the part."""

import json
from collections.abc import Iterable

import numpy as np

from qc_dashboard.reporting.figures import DefectMap

GRID = (12, 16)
"""Rows and columns of a map."""


def defect_maps(documents: Iterable[tuple[str | None, str]], *, grid: tuple[int, int] = GRID) -> tuple[DefectMap, ...]:
    """Make a map of each camera from its inspections, given as camera and JSON document, in alphabetical order."""
    counts: dict[str, np.ndarray] = {}
    frames: dict[str, int] = {}
    defects: dict[str, int] = {}
    for camera, document in documents:
        name, inspection = camera or "", json.loads(document)
        boxes, size = inspection.get("defects") or (), inspection.get("image_size")
        cells = counts.setdefault(name, np.zeros(grid, np.int64))
        frames[name] = frames.get(name, 0) + 1
        defects[name] = defects.get(name, 0)
        for box in boxes if size else ():
            defects[name] += 1
            cells[
                _cells(box["y"], box["height"], size[0], grid[0]), _cells(box["x"], box["width"], size[1], grid[1])
            ] += 1
    return tuple(
        DefectMap(name, defects[name], frames[name], tuple(map(tuple, counts[name].tolist())))
        for name in sorted(counts)
    )


def _cells(start_px: int, length_px: int, size_px: int, cells: int) -> slice:
    """Return the cells that a box touches along one side of the picture; one at the border at least."""
    size_px = max(size_px, 1)
    first = min(max(start_px * cells // size_px, 0), cells - 1)
    last = min(max((start_px + length_px - 1) * cells // size_px, first), cells - 1)
    return slice(first, last + 1)
