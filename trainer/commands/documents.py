"""Print facts and tables for people."""

from collections.abc import Sequence

from rich.text import Text

from qc_worker.observability.printing import Cell, console, multiline, plain, print_table

NAMES_SHOWN = 5


def print_facts(title: str, facts: dict[str, object]) -> None:
    """Print names and values, one pair a line."""
    _print_title(title)
    rows = [(name.replace("_", " "), _cell(fact)) for name, fact in facts.items()]
    print_table(("", ""), rows, framed=False)


def print_rows(title: str, columns: list[str], rows: list[list[object]], *, copied: tuple[int, ...] = (0,)) -> None:
    """Print a table, figures aligned right. Columns in `copied` are wrapped last, since people copy from them."""
    _print_title(title)
    figures = [number for number in range(len(columns)) if any(isinstance(row[number], int | float) for row in rows)]
    print_table(columns, [list(map(_cell, row)) for row in rows], right=figures, copied=copied)


def shown(fact: object) -> str:
    """Format a value for people."""
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
            return ", ".join(f"{plain(name)} {shown(value)}" for name, value in fact.items()) or "-"
    return plain(fact)


def some_of(names: Sequence[str]) -> str:
    """Format a list of names as their number and the first few."""
    first = ", ".join(names[:NAMES_SHOWN])
    return f"{len(names)}: {first}{', ...' if len(names) > NAMES_SHOWN else ''}" if names else "0"


def _cell(fact: object) -> Cell:
    """Format a value as a cell; a list has one line for each item."""
    return multiline([shown(each) for each in fact]) if isinstance(fact, list) else shown(fact)


def _print_title(title: str) -> None:
    # Not the table's own title, which would be wrapped if the table is narrow.
    if title:
        console().print(Text(plain(title), style="italic"))
