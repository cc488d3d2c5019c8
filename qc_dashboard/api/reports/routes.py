"""List what the API serves of reports and timelines."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.csv_export import CSV
from qc_dashboard.api.describing.operation import Answer, Operation
from qc_dashboard.api.reports.report import ReportQuery, export_report, show_report
from qc_dashboard.api.reports.timeline import TimelineCounts, TimelineQuery, show_timeline
from qc_dashboard.reporting.figures import Figures
from qc_dashboard.web.routes import RoomRoute

REPORTS = (
    Operation(
        RoomRoute("/api/v1/report", show_report, Role.VIEWER),
        "report",
        "Figures of lines in a span of time: yield, defects, estimated false rejects and escapes, what is missing",
        Answer("The figures, all from one moment.", Figures),
        query=ReportQuery,
    ),
    Operation(
        RoomRoute("/api/v1/report.csv", export_report, Role.VIEWER),
        "exportReport",
        "The figures of a report as CSV, without maps",
        Answer("Rows of section, name and value.", str, CSV),
        query=ReportQuery,
    ),
    Operation(
        RoomRoute("/api/v1/timeline", show_timeline, Role.VIEWER),
        "timeline",
        "Number of inspections over time by verdict, with releases",
        Answer("Counts by bucket of time.", TimelineCounts),
        query=TimelineQuery,
    ),
)
