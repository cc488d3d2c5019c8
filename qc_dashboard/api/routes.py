"""List what the API serves."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.csv_export import CSV, export_inspections
from qc_dashboard.api.describing.operation import BINARY, Answer, Operation
from qc_dashboard.api.describing.serving import document_route
from qc_dashboard.api.feedback.giving import give_feedback
from qc_dashboard.api.feedback.listing import FEEDBACK
from qc_dashboard.api.inspections import (
    NeighbourQuery,
    PageQuery,
    SearchQuery,
    search_inspections,
    show_inspection,
    show_neighbours,
)
from qc_dashboard.api.lines import show_lines
from qc_dashboard.api.models import show_models
from qc_dashboard.api.parameters.queries import parameter_schemas
from qc_dashboard.api.pictures.showing import JPEG, PNG, FrameQuery, show_frame, show_heatmap
from qc_dashboard.api.replaying import REPLAYS
from qc_dashboard.api.reports.routes import REPORTS
from qc_dashboard.api.review.routes import REVIEW
from qc_dashboard.api.review.shapes import ReviewWord
from qc_dashboard.api.shapes.inspections import BASE, InspectionPage, NeighbourList, WholeInspection
from qc_dashboard.api.shapes.judgement import GivenJudgement
from qc_dashboard.api.shapes.live import LineStates, NewInspections, Reload, StreamStart
from qc_dashboard.api.shapes.models import Models
from qc_dashboard.api.stream import EVENT_STREAM, StreamQuery, show_stream
from qc_dashboard.api.versions.operations import VERSIONS
from qc_dashboard.web.routes import RoomRoute

ONE = f"{BASE}/{{topic}}/{{partition}}/{{offset}}"
LAST_EVENT = "Id of the last event that the client got; the stream continues there."
PICTURE = {"ETag": "Tag that changes with the picture.", "Cache-Control": "Time for which it may be kept."}
IF_NONE_MATCH = {"If-None-Match": {"type": "string", "description": "Tags of pictures that the client has."}}
LAST_EVENT_ID = {"Last-Event-ID": {**parameter_schemas(StreamQuery)["after"], "description": LAST_EVENT}}

LIVE = (
    Operation(
        RoomRoute("/api/v1/lines", show_lines, Role.VIEWER),
        "lines",
        "What every line does now",
        Answer("State of every line.", LineStates),
    ),
    Operation(
        RoomRoute("/api/v1/models", show_models, Role.VIEWER),
        "models",
        "Releases of every line, and the versions that judge now",
        Answer("Models of every line.", Models),
    ),
    Operation(
        RoomRoute("/api/v1/stream", show_stream, Role.VIEWER),
        "stream",
        "New inspections as they come, counted exactly and sampled by line",
        Answer(
            "Server-sent events: `start` (StreamStart), `inspections` (NewInspections), `reload` (Reload).",
            BINARY,
            EVENT_STREAM,
        ),
        query=StreamQuery,
        also=(StreamStart, NewInspections, Reload),
        headers=LAST_EVENT_ID,
    ),
)
INSPECTIONS = (
    Operation(
        RoomRoute(BASE, search_inspections, Role.VIEWER),
        "searchInspections",
        "Search inspections, page by page",
        Answer("A page of what meets the search.", InspectionPage),
        query=PageQuery,
    ),
    Operation(
        RoomRoute(f"{BASE}.csv", export_inspections, Role.VIEWER),
        "exportInspections",
        "All inspections that meet a search, as CSV",
        Answer("One row for each inspection, below a row of names.", str, CSV),
        query=SearchQuery,
    ),
    Operation(
        RoomRoute(ONE, show_inspection, Role.VIEWER),
        "inspection",
        "One inspection, whole, with what people said about it",
        Answer("The inspection.", WholeInspection),
        failures=(404,),
    ),
    Operation(
        RoomRoute(f"{ONE}/neighbours", show_neighbours, Role.VIEWER),
        "neighbours",
        "Inspections of the same line and camera, before and after one",
        Answer("The neighbours.", NeighbourList),
        query=NeighbourQuery,
        failures=(404,),
    ),
    Operation(
        RoomRoute(f"{ONE}/frame.jpg", show_frame, Role.VIEWER),
        "frame",
        "The frame, encoded again",
        Answer("The frame.", BINARY, JPEG, headers=PICTURE),
        query=FrameQuery,
        headers=IF_NONE_MATCH,
        failures=(304, 404),
    ),
    Operation(
        RoomRoute(f"{ONE}/heatmap.png", show_heatmap, Role.VIEWER),
        "heatmap",
        "The heatmap over the frame, encoded again",
        Answer("The heatmap.", BINARY, PNG, headers=PICTURE),
        headers=IF_NONE_MATCH,
        failures=(304, 404),
    ),
    Operation(
        RoomRoute(f"{ONE}/feedback", give_feedback, Role.OPERATOR, ("POST",), action="judge frame"),
        "giveFeedback",
        "Judge a frame; the last judgement counts",
        Answer("The word, which is stored and will be sent.", ReviewWord, status=202),
        body=GivenJudgement,
        failures=(404,),
    ),
)
OPERATIONS = (*LIVE, *INSPECTIONS, *FEEDBACK, *REVIEW, *REPLAYS, *VERSIONS, *REPORTS)
ROUTES = (*(operation.route for operation in OPERATIONS), document_route(OPERATIONS))
