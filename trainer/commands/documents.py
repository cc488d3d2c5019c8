"""What commands print: one JSON object for scripts, tables for people. Everything else goes to stderr."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from qc_worker.simplenet.image_files import readable

NAMES_SHOWN = 5


def print_json(document: Any) -> None:
    """Print one JSON object on one line; figures that are not numbers become null."""
    sys.stdout.write(json.dumps(_plain(document), default=str) + "\n")


def print_facts(title: str, facts: dict[str, object]) -> None:
    """Print names and values, one a line."""
    table = Table(title=title, title_justify="left", show_header=False, box=None)
    for name, fact in facts.items():
        table.add_row(name.replace("_", " "), shown(fact))
    Console().print(table)


def print_rows(title: str, columns: list[str], rows: list[list[object]], *, copied: tuple[int, ...] = (0,)) -> None:
    """Print a table; figures are set to the right. `copied`: columns that people copy from, and so are never cut."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        figures = any(isinstance(row[number], int | float) for row in rows)
        table.add_column(column, justify="right" if figures else "left", no_wrap=number in copied)
    for row in rows:
        table.add_row(*map(shown, row))
    Console().print(table)


def shown(fact: object) -> str:
    """A value as people read it."""
    match fact:
        case None:
            return "-"
        case bool():
            return "yes" if fact else "no"
        case float():
            return f"{fact:.4g}"
        case tuple():
            return " to ".join(map(shown, fact))
        case dict():
            return ", ".join(f"{name} {shown(value)}" for name, value in fact.items()) or "-"
    return readable(str(fact))


def some_of(names: Sequence[str]) -> str:
    """How many names there are, and the first of them."""
    first = ", ".join(names[:NAMES_SHOWN])
    return f"{len(names)}: {first}{', ...' if len(names) > NAMES_SHOWN else ''}" if names else "0"


def _plain(document: Any) -> Any:
    if is_dataclass(document) and not isinstance(document, type):
        return _plain(asdict(document))
    if isinstance(document, dict):
        return {str(name): _plain(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_plain(value) for value in document]
    if isinstance(document, float) and not math.isfinite(document):
        return None
    return readable(document) if isinstance(document, str) else document
