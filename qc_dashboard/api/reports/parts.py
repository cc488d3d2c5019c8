"""Hold what reports are made with."""

from dataclasses import dataclass

from qc_dashboard.reporting.reporter import Reporter
from qc_dashboard.reporting.shifts import Shifts


@dataclass(frozen=True, slots=True)
class ReportParts:
    """What makes reports, and what the plant calls a shift."""

    reporter: Reporter
    shifts: Shifts
