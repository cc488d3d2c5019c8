"""Format texts, figures and tables as HTML; all text from outside is escaped here."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from qc_worker.observability.printing import plain

NO_BREAK = "\N{NO-BREAK SPACE}"
MISSING = "–"  # noqa: RUF001 (a dash)


def text(value: object) -> str:
    """Escape a text for HTML, attributes included."""
    return escape(plain(value), quote=True)


def percent(share: float | None) -> str:
    """Format a share as a percentage with one decimal."""
    return MISSING if share is None or math.isnan(share) else f"{100 * share:.1f}{NO_BREAK}%"


def rate_name(rate: float) -> str:
    """Format a round share without trailing zeros, such as 1 %."""
    return f"{100 * rate:g}{NO_BREAK}%"


def figure(value: float | None, digits: int = 3) -> str:
    """Format a number; a dash if it is missing."""
    return MISSING if value is None or math.isnan(value) else f"{value:.{digits}f}"


def table(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]], *, last_is_total: bool = False) -> str:
    """Build a table: the first column names the row, the others hold figures and are aligned to the right."""
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
