"""List what the API serves of the review."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.describing.operation import Answer, Operation
from qc_dashboard.api.review.claiming import claim_frames, release_frames, renew_leases, show_skipped, skip_frame
from qc_dashboard.api.review.counting import (
    FiguresQuery,
    KindsQuery,
    set_kinds,
    show_figures,
    show_kinds,
)
from qc_dashboard.api.review.given import GivenClaim, GivenFrame, GivenKinds, GivenSession, GivenWord
from qc_dashboard.api.review.judging import WordsQuery, judge_frame, show_words, undo_word
from qc_dashboard.api.review.nearest import NearestQuery, show_nearest_good
from qc_dashboard.api.review.shapes import (
    Claimed,
    LineKindList,
    NearestGood,
    Renewed,
    Returned,
    ReviewFigures,
    ReviewWord,
    ReviewWords,
    Undone,
)
from qc_dashboard.api.shapes.inspections import BASE as INSPECTIONS
from qc_dashboard.web.routes import PassingRoute, RoomRoute

BASE = "/api/v1/review"
POST = ("POST",)

REVIEW = (
    Operation(
        PassingRoute(f"{BASE}/claim", claim_frames, Role.OPERATOR, POST, action="claim frames"),
        "claimFrames",
        "Lease frames to a page; no other page gets them",
        Answer("All frames of the page, and what is left.", Claimed),
        body=GivenClaim,
    ),
    Operation(
        PassingRoute(f"{BASE}/renew", renew_leases, Role.OPERATOR, POST, action="renew leases"),
        "renewLeases",
        "Extend the leases of a page",
        Answer("Leases that the page still has.", Renewed),
        body=GivenSession,
    ),
    Operation(
        PassingRoute(f"{BASE}/release", release_frames, Role.OPERATOR, POST, action="release frames"),
        "releaseFrames",
        "Give back all frames of a page",
        Answer("The page has no frames any more.", Renewed),
        body=GivenSession,
    ),
    Operation(
        PassingRoute(f"{BASE}/skip", skip_frame, Role.OPERATOR, POST, action="skip frame"),
        "skipFrame",
        "Give a frame back; this page does not get it again",
        Answer("The frame is in the queue for others.", Returned),
        body=GivenFrame,
        failures=(409,),
    ),
    Operation(
        PassingRoute(f"{BASE}/unskip", show_skipped, Role.OPERATOR, POST, action="show skipped frames"),
        "showSkipped",
        "Hand out again what a page has skipped",
        Answer("Frames that the page may get again.", Returned),
        body=GivenSession,
    ),
    Operation(
        RoomRoute(f"{BASE}/judge", judge_frame, Role.OPERATOR, POST, action="judge frame"),
        "judgeFrame",
        "Judge a leased frame; a repeated request changes nothing",
        Answer("The word, which is stored and will be sent.", ReviewWord),
        body=GivenWord,
        failures=(404, 409),
    ),
    Operation(
        RoomRoute(f"{BASE}/undo", undo_word, Role.OPERATOR, POST, action="undo judgement"),
        "undoWord",
        "Take back the last word of a page",
        Answer("What is said instead, and the frame.", Undone),
        body=GivenSession,
        failures=(404, 409),
    ),
    Operation(
        RoomRoute(f"{BASE}/words", show_words, Role.OPERATOR),
        "reviewWords",
        "The last words of a page, and if they were sent",
        Answer("The words.", ReviewWords),
        query=WordsQuery,
        failures=(422,),
    ),
    Operation(
        RoomRoute(f"{BASE}/kinds", show_kinds, Role.VIEWER),
        "lineKinds",
        "Kinds of defects of a line",
        Answer("The kinds.", LineKindList),
        query=KindsQuery,
    ),
    Operation(
        RoomRoute(f"{BASE}/kinds", set_kinds, Role.ENGINEER, ("PUT",), action="set kinds of defects"),
        "setLineKinds",
        "Give a line a list of kinds of its own",
        Answer("The kinds.", LineKindList),
        body=GivenKinds,
    ),
    Operation(
        RoomRoute(f"{BASE}/statistics", show_figures, Role.VIEWER),
        "reviewFigures",
        "What is left to review, and who has said how much",
        Answer("The figures.", ReviewFigures),
        query=FiguresQuery,
    ),
    Operation(
        RoomRoute(f"{INSPECTIONS}/{{topic}}/{{partition}}/{{offset}}/nearest-good", show_nearest_good, Role.VIEWER),
        "nearestGood",
        "Archived good frames of the line that look most like one",
        Answer("The frames.", NearestGood),
        query=NearestQuery,
        failures=(404,),
    ),
)
