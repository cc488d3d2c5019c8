"""List what the API serves of stored versions."""

from qc_dashboard.accounts.roles import Role
from qc_dashboard.api.describing.operation import Answer, Operation
from qc_dashboard.api.shapes.versions import GivenRelease, LineVersions, ThresholdTable
from qc_dashboard.api.versions.releasing import promote_version, roll_back
from qc_dashboard.api.versions.showing import show_versions
from qc_dashboard.api.versions.thresholds import LastQuery, show_thresholds
from qc_dashboard.web.routes import RoomRoute
from qc_worker.domain.release import Release

LINE = "/api/v1/models/{line}"
TAKEN = "The release, stored and announced. Workers load it aside and judge with it soon: `judges_since` says when."

VERSIONS = (
    Operation(
        RoomRoute(LINE, show_versions, Role.VIEWER),
        "versions",
        "Stored versions of a line, with what their cards say",
        Answer("The versions.", LineVersions),
        failures=(404,),
    ),
    Operation(
        RoomRoute(f"{LINE}/{{version}}/thresholds", show_thresholds, Role.VIEWER),
        "thresholds",
        "Thresholds of a version: what each promises, and would have done with the last frames",
        Answer("The thresholds.", ThresholdTable),
        query=LastQuery,
        failures=(404, 422),
    ),
    Operation(
        RoomRoute(f"{LINE}/promote", promote_version, Role.ENGINEER, ("POST",), action="promote version"),
        "promote",
        "Let a stored version go live",
        Answer(TAKEN, Release, status=202),
        body=GivenRelease,
        failures=(404, 409),
    ),
    Operation(
        RoomRoute(f"{LINE}/rollback", roll_back, Role.ENGINEER, ("POST",), action="roll back"),
        "rollBack",
        "Let the version before the live one go live again",
        Answer(TAKEN, Release, status=202),
        body=GivenRelease,
        failures=(404, 409),
    ),
)
