"""Types of what a request may ask for, as text in its query; each is the parser and the schema in one."""

import math
import re
from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema

from qc_dashboard.api.parameters.cursors import MAX_CURSOR_LENGTH, place_at
from qc_dashboard.history.search import Place

MAX_PAGE = 500
RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII)
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)


def parse_time(text: object) -> datetime:
    """Parse a time of RFC 3339. Raises ValueError."""
    if not (isinstance(text, str) and RFC_3339.fullmatch(text)):
        raise ValueError("give a time with its zone, such as 2026-11-29T08:00:00Z (write + as %2B)")
    return datetime.fromisoformat(text.upper())


def parse_integer(text: object) -> int:
    """Parse a whole number. Raises ValueError."""
    if not (isinstance(text, str) and INTEGER.fullmatch(text)):
        raise ValueError("give a whole number")
    return int(text)


def parse_number(text: object) -> float:
    """Parse a finite number. Raises ValueError."""
    if not (isinstance(text, str) and NUMBER.fullmatch(text) and math.isfinite(float(text))):
        raise ValueError("give a number")
    return float(text)


Text = Annotated[str, Field(max_length=256)]
Time = Annotated[datetime, BeforeValidator(parse_time)]
Number = Annotated[float, BeforeValidator(parse_number)]
PageSize = Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(parse_integer)]
NeighbourCount = Annotated[int, Field(ge=1, le=20), BeforeValidator(parse_integer)]
Cursor = Annotated[Place, PlainValidator(place_at), WithJsonSchema({"type": "string", "maxLength": MAX_CURSOR_LENGTH})]
