"""Shape of a judgement that a person sends."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from qc_dashboard.api.shapes.documented import STRICT
from qc_worker.domain.feedback import MAX_BOXES, Judgement

Edge = Annotated[int, Field(ge=0, lt=2**31)]
Side = Annotated[int, Field(gt=0, lt=2**31)]


@dataclass(frozen=True, slots=True)
class GivenBox:
    """A rectangle around a defect, in pixels of the original image."""

    __pydantic_config__: ClassVar = STRICT

    x: Edge
    """Left edge."""
    y: Edge
    """Top edge."""
    width: Side
    """Width."""
    height: Side
    """Height."""


@dataclass(frozen=True, slots=True)
class GivenJudgement:
    """What a person says about a frame; server and sign-in add who, when, and on which inspection."""

    __pydantic_config__: ClassVar = STRICT

    verdict: Judgement
    """The person's verdict."""
    kind: Annotated[str, Field(max_length=64)] | None = None
    """Kind of the defect, such as `scratch`; only for `defect`. It becomes a folder's name: no slash, no dot at the
    beginning."""
    boxes: Annotated[tuple[GivenBox, ...], Field(max_length=MAX_BOXES)] = ()
    """Rectangles around the defect; only for `defect`."""
