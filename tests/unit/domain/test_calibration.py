import math
from itertools import permutations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qc_worker.domain.calibration import Calibration, frames_needed, smallest_alpha
from qc_worker.domain.inspection import Verdict

SEVERITY = [Verdict.PASS, Verdict.REVIEW, Verdict.REJECT]

# Few distinct values, so that ties and the bounds themselves are met often.
scores = st.integers(-5, 5).map(float) | st.floats(-10, 10)


@st.composite
def calibrations(draw: st.DrawFn, *, grey_zone: bool = False) -> Calibration:
    held_out = sorted(draw(st.lists(scores, min_size=1, max_size=40)))
    lowest = smallest_alpha(len(held_out))
    alpha = draw(st.floats(lowest, 0.9, allow_nan=False) | st.just(lowest))
    review_rate = None
    if grey_zone:
        assume(alpha < 0.89)
        review_rate = draw(st.floats(alpha, 0.95, exclude_min=True))
    return Calibration(tuple(held_out), alpha, review_rate)


@given(calibrations(), scores)
def test_score_over_the_threshold_means_p_value_of_at_most_alpha(calibration: Calibration, score: float) -> None:
    rejected = calibration.p_value(score) <= calibration.max_false_reject + 1e-12
    assert (score > calibration.threshold) == rejected


@given(calibrations(), st.integers(0, 39))
def test_equivalence_holds_at_the_calibration_scores_themselves(calibration: Calibration, index: int) -> None:
    score = calibration.scores[index % len(calibration.scores)]
    rejected = calibration.p_value(score) <= calibration.max_false_reject + 1e-12
    assert (calibration.verdict(score) is Verdict.REJECT) == rejected


@given(calibrations(grey_zone=True), scores, scores)
def test_higher_score_never_gives_a_milder_verdict(calibration: Calibration, one: float, other: float) -> None:
    milder, harsher = sorted([one, other])
    severity = SEVERITY.index
    assert severity(calibration.verdict(milder)) <= severity(calibration.verdict(harsher))
    assert calibration.p_value(milder) >= calibration.p_value(harsher)


@given(calibrations(grey_zone=True), scores)
def test_grey_zone_lies_below_the_threshold_and_rejects_the_same_frames(calibration: Calibration, score: float) -> None:
    plain = Calibration(calibration.scores, calibration.max_false_reject)
    assert calibration.review_threshold <= calibration.threshold
    assert (calibration.verdict(score) is Verdict.REJECT) == (plain.verdict(score) is Verdict.REJECT)
    assert plain.verdict(score) is not Verdict.REVIEW


@given(st.lists(scores, min_size=2, max_size=30), st.floats(0.03, 0.9))
def test_at_most_alpha_of_exchangeable_good_frames_are_rejected(drawn: list[float], alpha: float) -> None:
    # Exchangeable: each of the n + 1 frames is equally likely to be the new one. So the false-reject rate is exactly
    # the share of the n + 1 choices that are rejected by the other n, ties included.
    assume(smallest_alpha(len(drawn) - 1) <= alpha)
    assert _rejected_in_turn(drawn, alpha) <= alpha * len(drawn) + 1e-9


@pytest.mark.parametrize(("n", "alpha"), [(4, 0.2), (9, 0.1), (9, 0.2), (19, 0.05), (19, 0.1), (99, 0.05), (99, 0.2)])
def test_distinct_scores_use_the_allowance_up_to_one_frame(n: int, alpha: float) -> None:
    assert _rejected_in_turn([float(score) for score in range(n + 1)], alpha) == math.floor(alpha * (n + 1) + 1e-9)


def test_order_in_which_frames_come_does_not_matter() -> None:
    for order in permutations([1.0, 2.0, 2.0, 3.0]):
        *held_out, new = order
        rejected = Calibration(tuple(sorted(held_out)), 0.25).verdict(new) is Verdict.REJECT
        assert rejected == (new == 3.0)


@given(calibrations(), scores)
def test_moved_to_a_score_it_rejects_above_exactly_that_score(calibration: Calibration, score: float) -> None:
    assume(score >= calibration.scores[0])
    moved = calibration.moved_to_score(score, review_rate=None)
    assert (moved.threshold, moved.review_threshold) == (score, score)
    assert moved.verdict(score) is Verdict.PASS
    assert moved.verdict(math.nextafter(score, math.inf)) is Verdict.REJECT
    assert moved.scores == calibration.scores


@given(calibrations(), scores, scores)
def test_a_moved_threshold_leaves_p_values_alone_and_rejects_only_what_its_promise_covers(
    calibration: Calibration, threshold: float, score: float
) -> None:
    assume(threshold >= calibration.scores[0])
    moved = calibration.moved_to_score(threshold, review_rate=None)
    assert moved.p_value(score) == calibration.p_value(score)
    if moved.verdict(score) is Verdict.REJECT:
        assert moved.p_value(score) <= moved.max_false_reject + 1e-12


@given(calibrations())
def test_the_score_of_a_threshold_promises_no_more_than_the_rate_that_it_came_from(calibration: Calibration) -> None:
    moved = calibration.moved_to_score(calibration.threshold, review_rate=None)
    assert moved.max_false_reject <= calibration.max_false_reject + 1e-9
    back = moved.moved_to_rate(calibration.max_false_reject, review_rate=calibration.review_rate)
    assert back == calibration


@given(st.lists(scores, min_size=2, max_size=30), scores)
def test_at_most_the_promised_share_of_exchangeable_frames_lies_above_a_set_score(
    drawn: list[float], threshold: float
) -> None:
    rejected = sum(score > threshold for score in drawn)
    for index, new in enumerate(drawn):
        held_out = tuple(sorted(drawn[:index] + drawn[index + 1 :]))
        if new > threshold >= held_out[0]:
            moved = Calibration(held_out, 0.9).moved_to_score(threshold, review_rate=None)
            assert rejected / len(drawn) <= moved.max_false_reject + 1e-12


@given(calibrations(), st.floats(0.01, 10))
def test_above_all_held_out_scores_no_smaller_rate_is_promised(calibration: Calibration, above: float) -> None:
    moved = calibration.moved_to_score(calibration.scores[-1] + above, review_rate=None)
    assert moved.max_false_reject == smallest_alpha(len(calibration.scores))


@given(calibrations(), scores, st.floats(0.01, 0.99), scores)
def test_a_grey_zone_lies_below_a_set_score_as_well(
    calibration: Calibration, threshold: float, review_rate: float, score: float
) -> None:
    assume(threshold >= calibration.scores[0])
    assume(calibration.rate_above(threshold) < review_rate)
    moved = calibration.moved_to_score(threshold, review_rate=review_rate)
    assert moved.review_threshold <= moved.threshold
    if moved.verdict(score) is Verdict.REVIEW:
        assert moved.p_value(score) <= review_rate + 1e-12


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_set_score_that_is_no_number_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"score_threshold|false-reject rate"):
        Calibration((1.0, 2.0, 3.0), 0.5, score_threshold=score)
    with pytest.raises(ValueError, match=r"score_threshold|false-reject rate"):
        Calibration((1.0, 2.0, 3.0), 0.25, score_threshold=score)


def test_a_promise_that_a_set_score_does_not_keep_is_refused() -> None:
    with pytest.raises(ValueError, match=r"promises a false-reject rate of 0\.5000, not 0\.25"):
        Calibration((1.0, 2.0, 3.0), 0.25, score_threshold=2.5)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_score_that_is_no_number_is_never_a_pass(score: float) -> None:
    assert Calibration((1.0,), 0.5, 0.8).verdict(score) is Verdict.ERROR


@pytest.mark.parametrize("held_out", [(), (math.nan,), (1.0, math.inf), (2.0, 1.0)])
def test_unusable_calibration_scores_are_refused(held_out: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Calibration(held_out, 0.5)


def test_rate_that_the_frames_cannot_support_is_refused_with_the_smallest_they_can() -> None:
    with pytest.raises(ValueError, match=r"9 held-out frames support a false-reject rate of 0\.1000 or more"):
        Calibration(tuple(map(float, range(9))), 0.05)


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.0, math.nan])
def test_rate_that_is_no_rate_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match="false-reject rate"):
        Calibration((1.0, 2.0), alpha)


@pytest.mark.parametrize("review_rate", [0.5, 0.4, 1.0, math.nan])
def test_grey_zone_must_be_wider_than_the_reject_zone(review_rate: float) -> None:
    with pytest.raises(ValueError, match="review_rate"):
        Calibration((1.0, 2.0), 0.5, review_rate)


@given(st.integers(1, 5000))
def test_frames_needed_is_the_least_number_that_supports_alpha(n: int) -> None:
    alpha = smallest_alpha(n)
    assert frames_needed(alpha) == n
    Calibration(tuple(map(float, range(frames_needed(alpha)))), alpha)


def _rejected_in_turn(drawn: list[float], alpha: float) -> int:
    rejected = 0
    for index, new in enumerate(drawn):
        held_out = tuple(sorted(drawn[:index] + drawn[index + 1 :]))
        rejected += Calibration(held_out, alpha).verdict(new) is Verdict.REJECT
    return rejected
