"""The settings table of docs/operations.md, generated from `qc_worker.settings`.

Run as `python -m docs.settings_table [--check]`.
"""

import re
import sys
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from qc_worker.settings import Settings

PAGE = Path(__file__).with_name("operations.md")
BEGIN = "<!-- settings: written by `make docs` -->"
END = "<!-- settings: end -->"


def main(arguments: list[str]) -> int:
    """Write the table into the page, or check that it is there; 1 if it is stale."""
    page = PAGE.read_text(encoding="utf-8")
    current = with_table(page)
    if "--check" in arguments:
        if page != current:
            sys.stderr.write(f"error: the settings table of docs/{PAGE.name} is stale; run `make docs`\n")
        return int(page != current)
    PAGE.write_text(current, encoding="utf-8")
    return 0


def with_table(page: str) -> str:
    """The page with today's table between the two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{rest.split(END)[1]}"


def settings_table() -> str:
    """One row per setting."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| `qc.toml` | environment | default | meaning |", "|---|---|---|---|", *rows])


def _row(name: str, field: FieldInfo) -> str:
    meaning = " ".join((field.description or "").split()).replace("|", "\\|")
    return f"| `{name}` | `QC_{name.upper()}` | {_default(field)} | {meaning} |"


def _default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is PydanticUndefined:
        return "see `qc-worker --help`" if field.default_factory is None else "the user's data folder"
    return "none" if default in (None, "") else f"`{re.sub(r'[|]', '', str(default))}`"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
