"""Convert the edge of a mask to an SVG path, which stays sharp at any size."""

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.bool_]

MAX_SIDE = 256
MAX_PATH_CHARACTERS = 12_000
"""A detailed mask gets a coarser outline, so that the page stays small."""


def outline(mask: Pixels) -> tuple[str, tuple[int, int]]:
    """Return the path of the edge between defect and background, and the grid's (height, width).

    If the mask touches the border, the border is part of the edge. The path of an empty mask is empty.
    """
    while max(mask.shape) > MAX_SIDE:
        mask = _halved(mask)
    path = _path(mask)
    while len(path) > MAX_PATH_CHARACTERS:
        mask = _halved(mask)
        path = _path(mask)
    return path, (mask.shape[0], mask.shape[1])


def _path(mask: Pixels) -> str:
    """Draw the edge in horizontal and vertical strokes, each as long as possible."""
    framed = np.pad(mask, 1)
    across = framed[1:, 1:-1] != framed[:-1, 1:-1]  # (h + 1, w): the edge above each cell
    down = framed[1:-1, 1:] != framed[1:-1, :-1]  # (h, w + 1): the edge to the left of each cell
    horizontal = (f"M{start} {row}h{length}" for row, start, length in _runs(across))
    vertical = (f"M{column} {start}v{length}" for column, start, length in _runs(down.T))
    return "".join((*horizontal, *vertical))


def _runs(edges: Pixels) -> list[tuple[int, int, int]]:
    """Find runs of true cells in each row: (row, first column, length)."""
    change = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(change == 1)
    _, stops = np.nonzero(change == -1)
    return list(zip(rows.tolist(), starts.tolist(), (stops - starts).tolist(), strict=True))


def _halved(mask: Pixels) -> Pixels:
    """Halve the resolution; a cell is defect if any of its four cells was."""
    even = np.pad(mask, [(0, side % 2) for side in mask.shape])
    height, width = even.shape[0] // 2, even.shape[1] // 2
    return np.asarray(even.reshape(height, 2, width, 2).any(axis=(1, 3)))
