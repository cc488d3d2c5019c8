"""Print the tables of `accuracy.py` on a terminal, and write them as Markdown, from the same cells."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import table as rich
from rich.console import Console

from benchmarks.products.summary import AUROC, Amounts, Contest, Overall, Row, Summary

FILE_WIDTH = 180
RECALL = ("recall_at_0.01", "recall_at_0.02")
DETAILS: Mapping[str, str] = {
    AUROC: "image AUROC",
    "recall_at_0.01": "recall at 1 %",
    "recall_at_0.02": "at 2 %",
    "max_false_reject": "own rate",
    "reject_rate": "defects rejected",
    "false_reject_rate": "good rejected",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "mask_iou_at_5": "mask IoU",
    "mask_area_ratio_at_5": "mask / true area",
    "train_s": "training, s",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with cells as text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(summary: Summary, *, ours: Sequence[str]) -> list[Table]:
    """Build all tables; `ours` lists our sides that have runs."""
    best = list(dict.fromkeys(side for contest in summary.contests.values() for side in contest.sides))
    return [
        _by_product("Image AUROC", summary, [*ours, *best], [AUROC]),
        _by_product("Defects rejected where 1 %; 2 % of the good test images are", summary, [*ours, *best], RECALL),
        *(_details(side, summary.rows[side], summary.overall[side]) for side in ours),
        _all_sides(summary.overall),
        *([_leads(summary.contests)] if summary.contests else []),
    ]


def _by_product(title: str, summary: Summary, sides: Sequence[str], names: Sequence[str]) -> Table:
    rows, overall = summary.rows, summary.overall
    lines = [[product, *(_cell(rows[side][product].mean, names) for side in sides)] for product in rows[sides[0]]]
    lines.append(["mean", *(_cell(overall[side].mean, names) for side in sides)])
    lines.append(["worst", *(_cell(overall[side].worst, names) for side in sides)])
    return Table(title, ["product", *sides], lines)


def _details(side: str, rows: Mapping[str, Row], overall: Overall) -> Table:
    lines = [[product, _size(row), *_cells(row.mean)] for product, row in rows.items()]
    lines += [["mean", "", *_cells(overall.mean)], ["worst", "", *_cells(overall.worst)]]
    title = f'{side}: "own rate" is what its threshold promises; masks at that for 5 % false rejects, medians'
    return Table(title, ["product", "input", *DETAILS.values()], lines)


def _cells(amounts: Amounts) -> list[str]:
    return [_text(amounts[name], digits=1 if name in ("train_s", "mask_area_ratio_at_5") else 3) for name in DETAILS]


def _all_sides(overall: Mapping[str, Overall]) -> Table:
    names = [AUROC, *RECALL, "pixel_auroc", "aupro"]
    columns = ["side", *(f"{DETAILS[name]}: mean; worst" for name in names), "worst product", "training, s"]
    lines = [
        [
            side,
            *(f"{_text(found.mean[name])}; {_text(found.worst[name])}" for name in names),
            found.worst_product,
            _text(found.mean["train_s"], digits=1),
        ]
        for side, found in overall.items()
    ]
    return Table("All sides, over all products", columns, lines)


def _leads(contests: Mapping[str, Contest]) -> Table:
    """Build the table of our leads over the better rival."""
    products = list(next(iter(contests.values())).products)
    lines = [
        [
            product,
            *(f"{(duel := found.products[product]).ahead:+.3f} ({duel.rival})" for found in contests.values()),
        ]
        for product in products
    ]
    lines.append(["mean over products", *(f"{found.mean_ahead:+.3f}" for found in contests.values())])
    lines.append(["of the better mean", *(f"{found.ahead_of_better_mean:+.3f}" for found in contests.values())])
    return Table("Ours ahead of the better rival, image AUROC", ["product", *contests], lines)


def _size(row: Row) -> str:
    height, width = row.input_size
    return str(height) if height == width else f"{height}x{width}"


def _cell(amounts: Amounts, names: Sequence[str]) -> str:
    return "; ".join(_text(amounts[name]) for name in names)


def _text(amount: float | None, *, digits: int = 3) -> str:
    return "-" if amount is None else f"{amount:.{digits}f}"


def print_tables(shown: Sequence[Table]) -> None:
    """Print tables on stderr; FILE_WIDTH characters wide if it is not a terminal."""
    console = Console(stderr=True, width=None if sys.stderr.isatty() else FILE_WIDTH)
    for table in shown:
        drawn = rich.Table(title=table.title, title_justify="left")
        for number, column in enumerate(table.columns):
            drawn.add_column(column, justify="right" if number else "left")
        for row in table.rows:
            drawn.add_row(*row)
        console.print(drawn)


def write_markdown(path: Path, shown: Sequence[Table], *, notes: Sequence[str]) -> None:
    """Write tables as Markdown, for RESULTS.md."""
    blocks = ["\n".join(_markdown(table)) for table in shown]
    path.write_text("\n\n".join([*notes, *blocks]) + "\n")


def _markdown(table: Table) -> Iterator[str]:
    yield f"{table.title}:"
    yield ""
    yield _line(table.columns)
    yield _line(["---"] * len(table.columns))
    yield from map(_line, table.rows)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"
