"""Keep one converter between JSON and each dataclass: making them is slow."""

from functools import cache
from typing import Any

from pydantic import TypeAdapter


def adapter_of(kind: Any) -> TypeAdapter[Any]:
    """Return the dataclass's converter."""
    return _adapter(kind)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
