"""Let the docstrings of a shape's fields become the descriptions of its schema."""

from typing import Any

from pydantic import ConfigDict

DOCUMENTED: Any = ConfigDict(use_attribute_docstrings=True)
STRICT: Any = ConfigDict(use_attribute_docstrings=True, extra="forbid")
"""For what requests send: a name that is not known is refused, for it may be a typing error."""
