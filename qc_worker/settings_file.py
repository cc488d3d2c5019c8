"""Reads qc.toml as people save it: with a byte-order mark, in UTF-8 or in Windows' UTF-16."""

import codecs
import tomllib
from pathlib import Path
from typing import Any


def read_toml(path: Path) -> dict[str, Any]:
    """Read the settings in a file; empty if there is no file. Raises ValueError with one line that names the file."""
    try:
        if not path.is_file():
            return {}
        return tomllib.loads(_text(path.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: {error}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _text(content: bytes) -> str:
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    return text.replace("\r\n", "\n")
