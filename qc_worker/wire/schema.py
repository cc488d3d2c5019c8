"""Write or check the published contract: schemas/*.json and asyncapi.json in docs/reference.

python -m qc_worker.wire.schema [--check] [--docs FOLDER]
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from qc_worker.wire.asyncapi import asyncapi_document
from qc_worker.wire.json_schemas import json_schemas

FOLDER = Path("docs/reference")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the documents; return 1 if a check found a stale one."""
    parser = argparse.ArgumentParser(prog="python -m qc_worker.wire.schema", description=f"{__doc__}".split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, fail if a document is stale")
    parser.add_argument("--docs", type=Path, default=FOLDER, help=f"folder of the documents (default: {FOLDER})")
    options = parser.parse_args(arguments)
    return check(options.docs) if options.check else write(options.docs)


def documents() -> Mapping[str, str]:
    """Build the text of every generated document, by its path below docs/reference."""
    schemas = {f"schemas/{name}.schema.json": schema for name, schema in json_schemas().items()}
    return {path: _text(document) for path, document in (schemas | {"asyncapi.json": asyncapi_document()}).items()}


def check(docs: Path) -> int:
    """Name every stale document on stderr; return 1 if there is one."""
    stale = [path for path, text in documents().items() if not _is_current(docs / path, text)]
    for path in stale:
        sys.stderr.write(f"error: {docs / path} is stale; run `make docs`\n")
    return 1 if stale else 0


def write(docs: Path) -> int:
    """Write every document."""
    for path, text in documents().items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text, encoding="utf-8")
    return 0


def _is_current(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _text(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
