"""Prepare an inspection for templates: what lists show, its boxes, and the addresses of its pages."""

from dataclasses import dataclass
from urllib.parse import quote

from qc_dashboard.api.shapes.inspections import ListedInspection, listed
from qc_dashboard.history.search import StoredInspection
from qc_worker.domain.frame import Position
from qc_worker.domain.inspection import Inspection

FRAME_PAGE = "/history/frame"


@dataclass(frozen=True, slots=True)
class Shown:
    """One inspection on a page."""

    listed: ListedInspection
    inspection: Inspection
    page: str
    """Address of the frame's page."""

    @property
    def title(self) -> str:
        """Name it as people do: by its part, else by the camera's id."""
        if self.listed.part:
            return f"Part {self.listed.part}"
        return f"Frame {self.listed.frame_id or self.listed.source}"


def shown(stored: StoredInspection) -> Shown:
    """Prepare it."""
    return Shown(listed(stored), stored.inspection, frame_page(stored.source))


def frame_page(source: Position) -> str:
    """Return the address of the frame's page, which stays valid as long as the history has it."""
    return f"{FRAME_PAGE}/{quote(source.topic, safe='')}/{source.partition}/{source.offset}"
