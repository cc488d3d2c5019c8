"""Words, figures and tables in HTML; every text from outside is escaped here."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from qc_worker.observability.printing import plain

NO_BREAK = "\N{NO-BREAK SPACE}"
MISSING = "–"  # noqa: RUF001 (a dash)


def text(value: object) -> str:
    """Any text, safe in HTML, attributes included."""
    return escape(plain(value), quote=True)


def percent(share: float | None) -> str:
    """A share as people read it."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.1f}{NO_BREAK}%"


def rate_name(rate: float) -> str:
    """A round share as people read it, such as 1 %."""
    return f"{100 * rate:g}{NO_BREAK}%"


def figure(value: float | None, digits: int = 3) -> str:
    """A number as people read it."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, last_is_total: bool = False) -> str:
    """A table of texts: the first column names the row, the others are figures, set to the right."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    lines = [
        f'<th scope="row">{text(row[0])}</th>' + "".join(f"<td>{text(cell)}</td>" for cell in row[1:]) for row in rows
    ]
    body = [f"<tr>{line}</tr>" for line in lines]
    if last_is_total:
        body[-1] = body[-1].replace("<tr>", '<tr class="total">', 1)
    return (
        f'<div class="scroll" tabindex="0"><table><caption><span>{text(caption)}</span></caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )
