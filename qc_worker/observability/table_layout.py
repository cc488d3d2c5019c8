"""Chooses the widths of a table's columns, so that on a terminal nothing of it is cut."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

NARROWEST = 8
"""Cells that may be folded keep at least this width."""
NARROWEST_HEADER = 5


@dataclass(frozen=True, slots=True)
class Layout:
    """Widths of the columns' text, and whether there is room for a frame."""

    widths: list[int]
    framed: bool


def laid_out(rows: Sequence[Sequence[str]], *, rigid: Collection[int], width: int) -> Layout | None:
    """Lay out a table, its first row the header; None if it does not fit into `width`.

    Headers may be folded, at words if there is room, and so may cells, except those of `rigid` columns.
    """
    header, *body = [[max(map(cell_len, cell.split("\n"))) for cell in row] for row in rows]
    cells = [max((row[number] for row in body), default=1) for number in range(len(header))]
    words = [max(map(cell_len, name.split())) if name else 0 for name in rows[0]]
    folded = [cell if number in rigid else min(cell, NARROWEST) for number, cell in enumerate(cells)]
    least = [max(1, cell, min(word, NARROWEST_HEADER)) for cell, word in zip(folded, words, strict=True)]
    goals = list(map(max, least, words)), list(map(max, cells, header))
    within_frame, without_frame = width - 3 * len(header) - 1, width - 2 * len(header) + 2
    if sum(goals[0]) <= within_frame:
        return Layout(_grown(least, goals, within_frame), framed=True)
    if sum(least) <= without_frame:
        return Layout(_grown(least, goals, without_frame), framed=False)
    return None


def _grown(widths: Sequence[int], goals: Sequence[Sequence[int]], room: int) -> list[int]:
    """Widen columns to one goal after the other while there is room, starting with those that lack most."""
    grown = list(widths)
    for goal in goals:
        if sum(map(max, grown, goal)) <= room:
            grown = list(map(max, grown, goal))
            continue
        while sum(grown) < room:
            lacking = [wanted - width for wanted, width in zip(goal, grown, strict=True)]
            grown[lacking.index(max(lacking))] += 1
    return grown
