import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, binomtest

from qc_worker.domain.errors import TrainingError
from qc_worker.domain.feedback import Judgement
from qc_worker.domain.inspection import Verdict
from qc_worker.engine.decoding import Decoded, decode
from qc_worker.engine.in_flight import Ticket
from qc_worker.engine.inference import BackbonePool, Computing, ModelRunner
from qc_worker.engine.intake import Admitted
from qc_worker.engine.residents import Resident
from qc_worker.runtime.clock import SystemClock
from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.thresholds.promise import promise
from qc_worker.wire.images import decode_record
from tests.support import factories
from tests.unit.simplenet.factories import a_shape, head_of
from tests.unit.trainer.factories import LIMITS, LINE, filled_store, imported, no_progress, small_scorer
from trainer.features.extract import embed_frames, stored
from trainer.judging.calibrate import (
    calibrate,
    measure_masks,
    promise_with_groups,
    raised_for_groups,
    score_batches,
    score_embeddings,
)
from trainer.judging.group_calibration import calibrate_by_groups
from trainer.samples.reading import SampleReader
from trainer.samples.store import SampleStore, sha256

CPU = torch.device("cpu")


@settings(deadline=None, max_examples=15)
@given(n=st.integers(20, 60), alpha=st.floats(0.05, 0.3), seed=st.integers(0, 1_000))
def test_the_mean_false_reject_rate_stays_below_alpha_on_exchangeable_scores(n: int, alpha: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    rates = []
    for _ in range(400):
        scores = random.lognormal(size=n + 20)
        calibration = calibrate(scores[:n].tolist(), alpha=alpha, review_rate=None)
        rates.append(np.mean(scores[n:] > calibration.threshold))
    # Four standard errors: the bound holds for the expectation.
    assert np.mean(rates) <= alpha + 4 * np.std(rates) / math.sqrt(len(rates))


@given(n=st.integers(20, 500), alpha=st.floats(0.05, 0.4))
def test_the_interval_is_that_of_the_beta_distribution(n: int, alpha: float) -> None:
    k = math.floor(alpha * (n + 1) + 1e-9)
    coverage = beta(n + 1 - k, k)
    found = promise(calibrate(np.arange(n).tolist(), alpha=alpha, review_rate=None))
    assert found.interval == pytest.approx((1 - coverage.ppf(0.975), 1 - coverage.ppf(0.025)), abs=1e-9)
    assert (found.n, found.alpha, found.smallest_alpha) == (n, alpha, 1 / (n + 1))


@given(n=st.integers(20, 500), above=st.integers(0, 19))
def test_the_interval_of_a_set_score_is_that_of_a_share_of_n(n: int, above: int) -> None:
    calibration = calibrate(np.arange(n).tolist(), alpha=0.05, review_rate=None)
    found = promise(calibration.moved_to_score(n - 0.5 - above, review_rate=None))
    low, high = binomtest(above, n).proportion_ci(0.95, method="exact")
    assert found.interval == pytest.approx((low, high), abs=1e-9)
    assert found.alpha == pytest.approx((above + 1) / (n + 1))


@pytest.mark.parametrize("review_rate", [None, 0.2])
def test_a_threshold_for_new_groups_is_taken_where_it_is_higher(review_rate: float | None) -> None:
    scores = [float(score) for score in range(100)]
    calibration = calibrate(scores, alpha=0.05, review_rate=review_rate)
    groups = [f"g{score // 20}" for score in range(100)]
    by_groups = calibrate_by_groups(scores, groups, 0.05)
    raised = raised_for_groups(calibration, by_groups)
    assert raised.threshold == by_groups.threshold > calibration.threshold
    assert raised.max_false_reject == raised.rate_above(raised.threshold) < 0.05
    assert raised.review_rate == review_rate
    stated = promise_with_groups(raised, by_groups)
    assert (stated.groups, stated.group_rate) == (5, by_groups.rate)
    alike = calibrate_by_groups(scores, [f"g{score % 5}" for score in range(100)], 0.05)
    assert raised_for_groups(calibration, alike) is calibration


def test_scores_that_are_not_finite_are_refused() -> None:
    with pytest.raises(TrainingError, match="not finite"):
        calibrate([1.0, math.nan], alpha=0.4, review_rate=None)


def test_a_review_rate_below_alpha_is_refused() -> None:
    with pytest.raises(TrainingError, match="review_rate"):
        calibrate([1.0, 2.0, 3.0], alpha=0.4, review_rate=0.3)


def test_the_grey_zone_lies_below_the_threshold() -> None:
    calibration = calibrate([float(score) for score in range(100)], alpha=0.02, review_rate=0.1)
    assert calibration.verdict(calibration.threshold) is Verdict.REVIEW
    assert calibration.verdict(calibration.review_threshold) is Verdict.PASS


def test_held_out_pictures_are_scored_as_the_worker_scores_them_without_their_padding(tmp_path: Path) -> None:
    spec = replace(factories.embedding_spec(), aspect="pad")
    scorer, store = Scorer(factories.backbone(), spec, CPU), SampleStore(tmp_path)
    contents = [factories.encoded("PNG", seed, width=96, height=24) for seed in range(6)]
    for content in contents:
        store.add(LINE, Judgement.GOOD, content, origin=imported())
    samples = [sha256(content) for content in contents]
    reader = SampleReader(store, LINE, spec, LIMITS, decode_threads=2)
    resident = Resident("A", "v1", spec, scorer.take_in(factories.head()), factories.card().calibration)
    held_out = score_batches(scorer, resident.head, reader.batches(samples), advance=no_progress)
    judged = runner().infer([decoded(content, resident) for content in contents]).scored.scores
    assert held_out == pytest.approx(judged.tolist(), rel=1e-5)


def test_kept_features_score_as_their_frames_do(tmp_path: Path) -> None:
    scorer = small_scorer(tmp_path)
    store = filled_store(tmp_path / "samples", good=11)
    samples = store.ids(LINE, Judgement.GOOD)
    reader = SampleReader(store, LINE, scorer.spec, LIMITS, decode_threads=2)
    head = scorer.take_in(head_of(a_shape(scorer.level_channels, 8), seed=1))
    frames = embed_frames(scorer, reader.pictures(samples))
    kept = score_embeddings(scorer, head, [stored(rows) for rows, _ in frames], advance=no_progress)
    again = score_batches(scorer, head, reader.batches(samples), advance=no_progress)
    assert kept == pytest.approx(again, rel=1e-3)


def runner() -> ModelRunner:
    return ModelRunner(BackbonePool(lambda _: factories.backbone(), Computing(CPU)), SystemClock())


def decoded(content: bytes, resident: Resident) -> Decoded:
    record = factories.record(content=content)
    return decode(Admitted(Ticket(record, 0.0), decode_record(record), resident), LIMITS, SystemClock())


def test_masks_are_measured_by_one_pixel_of_twenty_and_one_peak_of_four(tmp_path: Path) -> None:
    scorer = small_scorer(tmp_path, mask_levels=(4, 8))
    store = filled_store(tmp_path / "samples", good=5)
    samples = store.ids(LINE, Judgement.GOOD)
    reader = SampleReader(store, LINE, scorer.spec, LIMITS, decode_threads=2)
    finer = head_of(a_shape(scorer.mask_channels, 8), seed=1)
    head = head_of(a_shape(scorer.level_channels, 8, mask_head=finer.shape))
    head.adopt(finer)
    folded = scorer.take_in(head)
    found = measure_masks(scorer, folded, reader.batches(samples), advance=no_progress)
    assert found is not None
    (batch,) = reader.batches(samples)
    scored = scorer.score(batch.pixels, [folded] * 5)
    maps = [scored.mask_map_of(index) for index in range(5)]
    every = np.concatenate([each.ravel() for each in maps])
    assert float((every > found.baseline).mean()) == pytest.approx(0.05, abs=0.01)
    assert found.peak == pytest.approx(sorted(float(each.max()) for each in maps)[1], rel=1e-4)
    assert measure_masks(scorer, folded, iter([]), advance=no_progress) is None
