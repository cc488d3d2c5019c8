"""Write or check the OpenAPI document, openapi.json in docs/reference.

python -m qc_dashboard.api.reference [--check] [--docs FOLDER]
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from qc_dashboard.api.describing.serving import document_text
from qc_dashboard.api.routes import OPERATIONS

FOLDER = Path("docs/reference")
FILE = "openapi.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the document; return 1 if a check found it stale."""
    parser = argparse.ArgumentParser(
        prog="python -m qc_dashboard.api.reference", description=f"{__doc__}".split("\n\n")[0]
    )
    parser.add_argument("--check", action="store_true", help="change nothing, fail if the document is stale")
    parser.add_argument("--docs", type=Path, default=FOLDER, help=f"folder of the document (default: {FOLDER})")
    options = parser.parse_args(arguments)
    file, text = options.docs / FILE, document_text(OPERATIONS)
    if not options.check:
        file.write_text(text, encoding="utf-8")
    elif not file.is_file() or file.read_text(encoding="utf-8") != text:
        sys.stderr.write(f"error: {file} is stale; run `make docs`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
