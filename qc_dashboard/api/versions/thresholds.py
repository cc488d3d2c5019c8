"""Compare thresholds of a version: what each promises, and what it would have done with the last frames."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from qc_dashboard.api.answers import json_answer
from qc_dashboard.api.parameters.fields import parse_integer
from qc_dashboard.api.parameters.queries import query_of
from qc_dashboard.api.parts import ApiParts, api_of
from qc_dashboard.api.shapes.documented import DOCUMENTED
from qc_dashboard.api.shapes.versions import ThresholdRow, ThresholdTable
from qc_dashboard.api.versions.asking import NO_VERSION, line_in, told_of_the_store, version_in
from qc_dashboard.history.times import SECOND_US, to_us
from qc_dashboard.review.evidence import Scored
from qc_dashboard.web.problems import Problem
from qc_worker.domain.calibration import Calibration
from qc_worker.domain.errors import ModelError, StoreAway
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.inspection import Verdict
from qc_worker.domain.version import VersionCard
from qc_worker.thresholds.promise import CONFIDENCE, promise
from qc_worker.thresholds.table import operating_points, verdict_counts

MAX_LAST = 5_000
JUDGED_US = 90 * 24 * 3600 * SECOND_US


@dataclass(frozen=True, slots=True)
class LastQuery:
    """How far back to look."""

    __pydantic_config__: ClassVar = DOCUMENTED

    last: Annotated[int, Field(ge=1, le=MAX_LAST), BeforeValidator(parse_integer)] = 1_000
    """Number of the line's last inspections that are looked at."""


@dataclass(frozen=True, slots=True)
class _Comparable:
    """Scores that this version's thresholds apply to."""

    last: list[float]
    good: list[float]
    defects: list[float]


def show_thresholds(request: Request) -> Response:
    """Answer with the table of thresholds."""
    last, line, version = query_of(request, LastQuery).last, line_in(request), version_in(request)
    api = api_of(request)
    with told_of_the_store():
        if version not in api.versions.stored(line):
            raise Problem(404, NO_VERSION)
        card = api.versions.card(line, version)
        seen = api.evidence.last(line, last)
        judged = api.evidence.judged(line, since_us=to_us(api.clock.now()) - JUDGED_US)
        is_comparable = _same_head(api, card, {one.version for one in (*seen, *judged) if one.version is not None})
    scored = [one for one in seen if one.version is not None and one.score is not None]
    found = _Comparable(
        _scores(scored, is_comparable),
        _scores((one for one in judged if one.word is Judgement.GOOD), is_comparable),
        _scores((one for one in judged if one.word is Judgement.DEFECT), is_comparable),
    )
    current = card.calibration
    points = operating_points(current, None, review_rate=current.review_rate)
    return json_answer(
        ThresholdTable(
            line=line,
            version=version,
            held_out=len(current.scores),
            confidence=CONFIDENCE,
            counted=len(found.last),
            other_models=len(scored) - len(found.last),
            not_judged=len(seen) - len(scored),
            good=len(found.good),
            defects=len(found.defects),
            rows=tuple(_row(point, found, is_current=point == current) for point in points),
        )
    )


def _same_head(api: ApiParts, card: VersionCard, versions: Iterable[str]) -> Callable[[str | None], bool]:
    same = {card.version}
    for version in versions:
        try:
            if api.versions.card(card.line, version).head_sha256 == card.head_sha256:
                same.add(version)
        except StoreAway:
            raise
        except ModelError:  # not stored any more, or not readable: its scores cannot be compared
            continue
    return same.__contains__


def _scores(found: Iterable[Scored], is_comparable: Callable[[str | None], bool]) -> list[float]:
    return [one.score for one in found if one.score is not None and is_comparable(one.version)]


def _row(point: Calibration, found: _Comparable, *, is_current: bool) -> ThresholdRow:
    counts = verdict_counts(point, found.last)
    return ThresholdRow(
        threshold=point.threshold,
        review_threshold=point.review_threshold,
        is_current=is_current,
        max_false_reject=point.max_false_reject,
        interval=promise(point).interval,
        passed=counts[Verdict.PASS],
        reviewed=counts[Verdict.REVIEW],
        rejected=counts[Verdict.REJECT],
        good_rejected=verdict_counts(point, found.good)[Verdict.REJECT],
        defects_passed=verdict_counts(point, found.defects)[Verdict.PASS],
    )
