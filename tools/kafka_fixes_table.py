"""Write the register of kafka-python's fixes into ARCHITECTURE.md.

Run as `python -m tools.kafka_fixes_table [--check]`.
"""

import sys
from pathlib import Path

from qc_worker.transport.kafka_fixes.register import fixes_table

PAGE = Path(__file__).parents[1] / "ARCHITECTURE.md"
BEGIN, END = "<!-- kafka fixes: written by `make docs` -->", "<!-- kafka fixes: end -->"


def main(arguments: list[str]) -> int:
    """Write the table, or check that it is there; 1 if a check found another one."""
    page = with_table()
    if page == PAGE.read_text(encoding="utf-8"):
        return 0
    if "--check" in arguments:
        sys.stderr.write(f"error: the table of fixes in {PAGE.name} is stale; run `make docs`\n")
        return 1
    PAGE.write_text(page, encoding="utf-8")
    return 0


def with_table() -> str:
    """Return the page with today's table between its two marks."""
    text = PAGE.read_text(encoding="utf-8")
    return f"{text.split(BEGIN)[0]}{BEGIN}\n{fixes_table()}\n{END}{text.split(END)[1]}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
