"""Map where defects sit on the part."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, tuple_

from qc_dashboard.archive.tables import evidence
from qc_dashboard.database.frames import SOURCE
from qc_dashboard.reporting.figures import DefectMap
from qc_dashboard.reporting.reviewed import Finding
from qc_worker.domain.frame import Position

GRID = (12, 16)
"""Rows and columns of a map."""
MAX_MAPS = 100
LOOKED_FOR = 10
"""Newest frames of a camera of which the archive may have one."""
LOOKED_UP_AT_ONCE = 200
Of = tuple[str, str]


def defect_maps(
    findings: Iterable[Finding], *, pictures: Mapping[Of, Position], grid: tuple[int, int] = GRID
) -> tuple[DefectMap, ...]:
    """Make a map of each line and camera from findings, newest first; the maps with most defects come first."""
    found: dict[Of, list[Any]] = defaultdict(list)
    for one in findings:
        found[_of(one)].append(json.loads(one.document))
    maps = [_map(of, documents, pictures.get(of), grid) for of, documents in found.items()]
    maps.sort(key=lambda one: (-one.defects, one.line or "", one.camera))
    return tuple(maps[:MAX_MAPS])


def archived_pictures(connection: Connection, findings: Iterable[Finding]) -> dict[Of, Position]:
    """Find for each line and camera the newest frame that the archive has, among the newest ones."""
    newest: dict[Of, list[Position]] = defaultdict(list)
    for one in findings:
        if len(newest[_of(one)]) < LOOKED_FOR:
            newest[_of(one)].append(one.source)
    there = set(_archived(connection, [source for some in newest.values() for source in some]))
    found = {of: [source for source in some if source in there] for of, some in newest.items()}
    return {of: some[0] for of, some in found.items() if some}


def _of(finding: Finding) -> Of:
    return finding.line, finding.camera or ""


def _archived(connection: Connection, sources: Sequence[Position]) -> Iterator[Position]:
    key = tuple_(*(evidence.c[name] for name in SOURCE))
    for start in range(0, len(sources), LOOKED_UP_AT_ONCE):
        some = [(one.topic, one.partition, one.offset) for one in sources[start : start + LOOKED_UP_AT_ONCE]]
        for found in connection.execute(select(*key.clauses).where(key.in_(some))):
            yield Position(*found)


def _map(of: Of, documents: Sequence[Any], picture: Position | None, grid: tuple[int, int]) -> DefectMap:
    cells, defects = np.zeros(grid, np.int64), 0
    for inspection in documents:
        size = inspection.get("image_size")
        for box in (inspection.get("defects") or ()) if size else ():
            defects += 1
            rows = _cells(box["y"], box["height"], size[0], grid[0])
            cells[rows, _cells(box["x"], box["width"], size[1], grid[1])] += 1
    sizes = (inspection.get("image_size") for inspection in documents)
    size = next((size for size in sizes if size), None)
    counts = tuple(map(tuple, cells.tolist()))
    return DefectMap(*of, defects, len(documents), counts, None if size is None else (size[0], size[1]), picture)


def _cells(start_px: int, length_px: int, size_px: int, cells: int) -> slice:
    """Return the cells that a box touches along one side of the picture; one at the border at least."""
    size_px = max(size_px, 1)
    first = min(max(start_px * cells // size_px, 0), cells - 1)
    last = min(max((start_px + length_px - 1) * cells // size_px, first), cells - 1)
    return slice(first, last + 1)
