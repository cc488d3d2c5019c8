"""Prints one JSON object for scripts and tables for people; names from outside are never read as markup."""

import json
import math
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qc_worker.domain.names import readable
from qc_worker.observability.table_layout import laid_out

UNLIMITED = 1 << 20
"""Columns if the stream is no terminal: nothing is cut or folded there."""

_unprintable = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Controls, other line ends, changes of direction."""

Cell = str | Text


def print_json(document: Any) -> None:
    """Print one JSON object on one line; figures that are not finite become null."""
    sys.stdout.write(json.dumps(_jsonable(document), default=str) + "\n")


def plain(text: object) -> str:
    r"""Escape what would move the cursor, end the line or not be encodable, as `\x1b` or the like; keep the rest."""
    return _unprintable.sub(lambda found: found[0].encode("unicode_escape").decode(), readable(str(text)))


def multiline(texts: Sequence[object]) -> Text:
    """Join texts to a cell with one line for each."""
    return Text("\n".join(map(plain, texts)))


def console(*, stderr: bool = False) -> Console:
    """Make a console that takes text as it is, as wide as the terminal; without a terminal as wide as the text."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNLIMITED
    return Console(stderr=stderr, width=width, markup=False, emoji=False, highlight=False)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    total: Sequence[Cell] | None = None,
    right: Collection[int] = (),
    copied: Collection[int] = (0,),
    framed: bool = True,
    to: Console | None = None,
) -> None:
    """Print a table without cutting anything: if the terminal is narrow, without its frame, or with one line per cell.

    `right`: columns of figures. `copied`: columns that people copy from. Neither is folded. Without a frame there is no
    header.
    """
    to = to or console()
    every = [list(map(_text, row)) for row in (columns, *rows, *([total] if total else ()))]
    layout = laid_out([[cell.plain for cell in row] for row in every], rigid={*right, *copied}, width=to.width)
    if layout is None:
        _print_cells(every[0], every[1:], to)
        return
    framed_here = framed and layout.framed
    table = Table(box=box.HEAVY_HEAD if framed_here else None, show_header=framed, pad_edge=framed_here)
    for number, (name, width) in enumerate(zip(every[0], layout.widths, strict=True)):
        table.add_column(name, justify="right" if number in right else "left", width=width, overflow="fold")
    for row in every[1 : len(rows) + 1]:
        table.add_row(*row)
    if total:
        table.add_section()
        table.add_row(*every[-1])
    to.print(table)


def _print_cells(names: Sequence[Text], rows: Sequence[Sequence[Text]], to: Console) -> None:
    for row in rows:
        for name, cell in zip(names, row, strict=True):
            to.print(Text.assemble(name, ": ", cell), soft_wrap=True)
        to.print()


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(plain(cell))


def _jsonable(document: Any) -> Any:
    if is_dataclass(document) and not isinstance(document, type):
        return _jsonable(asdict(document))
    if isinstance(document, dict):
        return {str(name): _jsonable(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_jsonable(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return readable(document) if isinstance(document, str) else document
