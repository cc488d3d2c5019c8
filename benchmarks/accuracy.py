"""Accuracy on labelled images: ours, anomalib's PatchCore and PaDiM, same weights, same pixels, several seeds.

Sides take turns within each seed. Ours goes the way of `retrain`: it holds good frames out for its threshold and to
stop early, so it is fitted to fewer than the rivals, which get all. A rival has a row for each choice of levels; its
best is the one to compare with. Rows "frames of ours" are rivals at our levels (without the wide map), fitted to the
very frames that ours was: they tell the method from the number of frames. Metrics are computed by the same code for
all; image score as each defines it.

Two things are said of false rejects. "false_rejects" splits held-out and test frames of one pool at random, over and
over: it shows that the threshold keeps its promise where frames are exchangeable, as there they are by construction.
"own_threshold" is each seed's model at the threshold that `retrain` gave it, on the test set: it shows what becomes of
the promise on parts that no training or calibration frame is of, where frames need not be exchangeable, and what
defects escape.

Differences under 0.03 are noise between seeds and sets of this size. The labelled images tell which of a rival's rows
is its best, in its favour; they decide nothing about ours: its defaults were chosen by synthetic defects.

Prints one JSON object: {"sides": [{"side", "levels", "frames", "image_auroc", "pixel_auroc", "aupro", "spread", ...}],
"false_rejects": [...], "own_threshold": {"false_reject_rate", "escape_rate", "of_seeds": [...]}, ...}.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from qc_worker.process_tuning import tune_process

tune_process()

import numpy as np  # noqa: E402  (after the wait policy is set)
import numpy.typing as npt  # noqa: E402
import torch  # noqa: E402

from benchmarks._accuracy_sides import (  # noqa: E402
    BATCH_SIZE,
    Fitted,
    Ours,
    Side,
    Subject,
    picture_of,
    rivals,
)
from benchmarks._anomalib import has_anomalib  # noqa: E402
from benchmarks._false_rejects import at_own_threshold, false_rejects  # noqa: E402
from benchmarks._machine import machine, versions  # noqa: E402
from qc_worker.domain.calibration import Calibration  # noqa: E402
from qc_worker.domain.errors import QcError  # noqa: E402
from qc_worker.observability.logging import configure_logging  # noqa: E402
from qc_worker.simplenet.defaults import defaults_for  # noqa: E402
from qc_worker.simplenet.metrics import auroc  # noqa: E402
from qc_worker.simplenet.precision import compute_dtype  # noqa: E402
from qc_worker.simplenet.weights import local_file, packaged_efficientnet_lite0  # noqa: E402
from trainer.dataset import GOOD, LabelledImage, labelled_images  # noqa: E402
from trainer.localisation import PixelScores, localisation  # noqa: E402
from trainer.masks import mask_at_input_size  # noqa: E402

DATASET = Path(__file__).parents[2] / "shared" / "data" / "magnetic-tile"
NO_ANOMALIB = "anomalib is not installed: pip install 'qc-worker[bench]'"
RIVAL_LEVELS = {"efficientnet_lite0": ((16,), (8, 16), (16, 32)), "wide_resnet50_2": ((8, 16),)}
"""Neither rival is trained: a fit is one pass over the frames, then a bank drawn at random or a Gaussian for each cell,
6 to 10 s in all. Five seeds of all rows take a quarter of an hour on two free cores, most of it judging; PatchCore at
strides 8 and 16, with 1024 patches a frame, is a quarter of that. anomalib's own choice for PaDiM on WideResNet-50 has
stride 4 as well, left out here: 4096 covariances of 550 features are 5 GB, held four times while they are inverted.
"""
FRAMES_OF_OURS = "frames of ours"
METRICS = ("image_auroc", "pixel_auroc", "aupro")
EXCHANGEABILITY = (
    "random splits of pooled good frames are exchangeable by construction, so the mean rate must stay at alpha or "
    "below; frames of one part under several lights are alike, which widens the spread"
)


class TestSet(NamedTuple):
    """Decoded once for all sides. Shapes: uint8 (N, 3, S, S); bool (S, S) each, None where pixels are not known."""

    kinds: list[str]
    pixels: torch.Tensor
    masks: list[npt.NDArray[np.bool_] | None]


def main() -> None:
    options = _options()
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    try:
        test = _test_set(labelled_images(options.dataset), defaults_for(options.backbone).input_size)
    except QcError as error:
        raise SystemExit(f"accuracy.py: {error}") from None
    with tempfile.TemporaryDirectory(prefix="qc-bench-") as folder:
        subject = _subject(options, Path(folder))
        sides = _sides(subject, options)
        runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        promise: list[dict[str, float]] = []
        for seed in range(options.seeds):
            for name, side in sides.items():
                fitted = side.fit(seed)
                runs[name].append(_measure(fitted, test))
                _say(f"seed {seed}, {name}: " + " ".join(f"{runs[name][-1][metric]:.3f}" for metric in METRICS))
                if fitted.calibration and not promise:
                    promise = _promise(fitted.calibration, runs[name][-1], options)
        print(json.dumps(_summary(options, subject, test, runs, promise)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=DATASET, help="laid out as MVTec AD is, with masks")
    parser.add_argument("--backbone", choices=sorted(RIVAL_LEVELS), default="efficientnet_lite0")
    parser.add_argument("--weights-dir", type=Path, help="folder with <backbone>.safetensors or .pth")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--splits", type=int, default=200, help="of the false-reject experiment")
    parser.add_argument("--coreset", action="store_true", help="PatchCore's bank by greedy search: many minutes a fit")
    parser.add_argument("--only-ours", action="store_true", help="leave the rivals out")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _subject(options: argparse.Namespace, scratch: Path) -> Subject:
    weights = local_file(options.backbone, options.weights_dir) if options.weights_dir else None
    if weights is None and options.backbone == "efficientnet_lite0":
        weights = packaged_efficientnet_lite0(scratch)
    if weights is None:
        raise SystemExit(f"accuracy.py: no weights of {options.backbone}: name their folder with --weights-dir")
    return Subject(
        backbone=options.backbone,
        weights=weights,
        defaults=defaults_for(options.backbone),
        dtype=compute_dtype(torch.device("cpu")),
        good=options.dataset / "train" / "good",
        scratch=scratch,
    )


def _sides(subject: Subject, options: argparse.Namespace) -> dict[str, Side]:
    ours = Ours(subject)
    sides: dict[str, Side] = {"ours": ours}
    if options.only_ours:
        return sides
    if not has_anomalib():
        _say(NO_ANOMALIB)
        return sides
    everything = subject.good_frames()
    for levels in RIVAL_LEVELS[options.backbone]:
        sides |= rivals(subject, levels, lambda _: everything, greedy=options.coreset)
    alike = rivals(subject, subject.defaults.levels, ours.training_frames, greedy=options.coreset)
    return sides | {f"{name}, {FRAMES_OF_OURS}": side for name, side in alike.items()}


def _test_set(images: Sequence[LabelledImage], side: int) -> TestSet:
    return TestSet(
        kinds=[image.kind for image in images],
        pixels=torch.stack([picture_of(image.path, side) for image in images]),
        masks=[_mask(image, side) for image in images],
    )


def _mask(image: LabelledImage, side: int) -> npt.NDArray[np.bool_] | None:
    if image.kind == GOOD:
        return np.zeros((side, side), dtype=bool)
    return mask_at_input_size(image.mask, input_size=(side, side), aspect="squash") if image.mask else None


def _measure(fitted: Fitted, test: TestSet) -> dict[str, Any]:
    scores: dict[str, list[float]] = {kind: [] for kind in test.kinds}
    pixels = {kind: PixelScores() for kind in test.kinds}
    for start in range(0, len(test.kinds), BATCH_SIZE):
        judged = fitted.judge(test.pixels[start : start + BATCH_SIZE])
        for offset, (score, anomaly_map) in enumerate(zip(judged.scores.tolist(), judged.maps.numpy(), strict=True)):
            kind, mask = test.kinds[start + offset], test.masks[start + offset]
            scores[kind].append(score)
            if mask is not None:
                pixels[kind].add(anomaly_map, mask)
    for group in pixels.values():
        group.finish()
    defects = [kind for kind in scores if kind != GOOD]
    everywhere = localisation(list(pixels.values()))
    return {
        "image_auroc": auroc(scores[GOOD], _of_defects(scores)),
        "pixel_auroc": everywhere.pixel_auroc,
        "aupro": everywhere.aupro,
        "fit_s": fitted.fit_s,
        "levels": fitted.levels,
        "frames": fitted.frames,
        "by_defect": {kind: _of_kind(scores, pixels, kind) for kind in defects},
        "scores": scores,
        "own_threshold": fitted.calibration and _at_own_threshold(fitted.calibration, scores),
    }


def _of_kind(scores: dict[str, list[float]], pixels: dict[str, PixelScores], kind: str) -> dict[str, float | None]:
    """One kind of defect against all good frames."""
    found = localisation([pixels[GOOD], pixels[kind]])
    image_auroc = auroc(scores[GOOD], scores[kind])
    return {"image_auroc": image_auroc, "pixel_auroc": found.pixel_auroc, "aupro": found.aupro}


def _at_own_threshold(calibration: Calibration, scores: dict[str, list[float]]) -> dict[str, float]:
    return asdict(at_own_threshold(calibration, scores[GOOD], _of_defects(scores)))


def _promise(calibration: Calibration, run: dict[str, Any], options: argparse.Namespace) -> list[dict[str, float]]:
    """The pool: good test frames and the good frames held out of the fit."""
    scores: dict[str, list[float]] = run["scores"]
    pool = [*scores[GOOD], *calibration.scores]
    return false_rejects(pool, _of_defects(scores), splits=options.splits, seed=0)


def _of_defects(scores: dict[str, list[float]]) -> list[float]:
    return [score for kind, found in scores.items() if kind != GOOD for score in found]


def _summary(
    options: argparse.Namespace,
    subject: Subject,
    test: TestSet,
    runs: dict[str, list[dict[str, Any]]],
    promise: list[dict[str, float]],
) -> dict[str, object]:
    return {
        "benchmark": "accuracy",
        "dataset": options.dataset.name,
        "backbone": options.backbone,
        "levels": subject.defaults.levels,
        "input_size": subject.defaults.input_size,
        "precision": str(subject.dtype).removeprefix("torch."),
        "seeds": options.seeds,
        "noise": "differences under 0.03 are noise between seeds and sets of this size",
        "test_frames": {kind: test.kinds.count(kind) for kind in dict.fromkeys(test.kinds)},
        "patchcore_bank": "greedy coreset, 10 %" if options.coreset else "random, 10 %",
        "missing": None if has_anomalib() or options.only_ours else NO_ANOMALIB,
        "sides": [_row(name, measured) for name, measured in runs.items()],
        "false_rejects": promise,
        "false_rejects_splits": options.splits,
        "exchangeability": EXCHANGEABILITY,
        "own_threshold": _own_threshold(runs["ours"]),
        "machine": machine(),
        "versions": versions(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _own_threshold(runs: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Means over the seeds, then each seed."""
    of_seeds = [run["own_threshold"] for run in runs]
    means = {rate: _mean([one[rate] for one in of_seeds]) for rate in ("false_reject_rate", "escape_rate")}
    return {**means, "of_seeds": of_seeds}


def _row(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, object]:
    kinds = runs[0]["by_defect"]
    return {
        "side": name,
        "levels": runs[0]["levels"],
        "frames": runs[0]["frames"],
        **{metric: _mean([run[metric] for run in runs]) for metric in METRICS},
        "spread": {metric: _spread([run[metric] for run in runs]) for metric in METRICS},
        "fit_s": _mean([run["fit_s"] for run in runs]),
        "by_defect": {
            kind: {metric: _mean([run["by_defect"][kind][metric] for run in runs]) for metric in METRICS}
            for kind in kinds
        },
    }


def _mean(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return round(statistics.mean(known), 4) if known else None


def _spread(figures: Sequence[float | None]) -> float | None:
    """Standard deviation between seeds."""
    known = [figure for figure in figures if figure is not None]
    return round(statistics.stdev(known), 4) if len(known) > 1 else None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
