"""Let figures be the JSON of the API as well: docstrings of fields become descriptions, aliases the names."""

from typing import Any

from pydantic import ConfigDict

SHAPE: Any = ConfigDict(use_attribute_docstrings=True, serialize_by_alias=True)
