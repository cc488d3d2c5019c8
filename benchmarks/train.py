"""Measure seconds from stored frames to a model, and its image AUROC: ours, the paper's schedule, and PatchCore.

- ours: the whole process of `qc-trainer retrain`, imports included: cold (no features cached), warm (all cached), and
  with 20 new frames.
- paper: batches of 4, decoded and passed through the backbone again in each of 40 epochs. Only a slice is run; the time
  of the whole is extrapolated from it (`slice`). Without imports.
- patchcore: anomalib's, 10 % coreset, same backbone and weights, without imports; needs the extra `bench`. It is fitted
  to at most --patchcore-frames; for all frames, its features are extrapolated linearly, its coreset by the square.

Sides take turns within each round. Frames come from the simulation, or from --dataset in the layout of MVTec AD.
Prints one JSON object: {"cold_s", "warm_s", "incremental_s", "paper_s", "paper_over_cold", "patchcore_s", ...}.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()
os.environ.setdefault("TQDM_DISABLE", "1")  # anomalib prints thousands of progress bars

import torch  # noqa: E402  (after the wait policy is set)

from benchmarks.harness.machine import machine, versions  # noqa: E402
from benchmarks.harness.random_models import PAPER  # noqa: E402
from benchmarks.rivals.anomalib import has_anomalib  # noqa: E402
from benchmarks.rivals.training import PaperSlice, PatchcoreFit, Subject, fit_patchcore, paper_slice  # noqa: E402
from qc_worker.embedded.simulation.parts_line import Simulation  # noqa: E402
from qc_worker.imaging.image_files import image_files  # noqa: E402
from qc_worker.simplenet.backbones.backbone import load_backbone  # noqa: E402
from qc_worker.simplenet.backbones.weights import local_file, packaged_efficientnet_lite0  # noqa: E402
from trainer.fitting.defaults import defaults_for  # noqa: E402

LINE = "bench"
NEW_FRAMES = 20
PATCHCORE_FRAMES = 60
"""Choosing the coreset of all 300 takes 15 minutes, and with efficientnet_lite0 more than 24 GB."""
TEST_FRAMES = 60
"""Number of good frames, and of defective ones, that the simulation makes for the test."""
NO_ANOMALIB = "anomalib is not installed: pip install 'qc-worker[bench]'"
NO_AUROC_OF_PAPER = "not measured: it needs the whole schedule"


@dataclass(frozen=True, slots=True)
class Ours:
    """Seconds of the whole process in one round of our command."""

    cold_s: float
    warm_s: float
    incremental_s: float
    documents: dict[str, Any]
    """JSON documents of the three retrains."""


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="qc-bench-") as name:
        folder = Path(name)
        weights, are_random = _weights(options, folder)
        subject = _subject(options, folder, weights)
        ours: list[Ours] = []
        papers: list[PaperSlice] = []
        cores: list[PatchcoreFit] = []
        for number in range(options.rounds):
            ours.append(_ours(subject, folder / f"round-{number}", options))
            _say(f"round {number + 1}: ours cold {ours[-1].cold_s:.1f} s, warm {ours[-1].warm_s:.1f} s")
            papers.append(paper_slice(subject, folder / "paper", steps=options.paper_steps))
            _say(f"round {number + 1}: paper's schedule {papers[-1].extrapolated_s:.0f} s, extrapolated")
            if has_anomalib() and options.patchcore_frames:
                cores.append(fit_patchcore(subject, folder / "patchcore", max_frames=options.patchcore_frames))
                _say(f"round {number + 1}: PatchCore {cores[-1].extrapolated_s:.0f} s")
        evaluation = None if are_random else _evaluate(options, folder / "round-0")
    print(json.dumps(_summary(options, subject, are_random, (ours, papers, cores), evaluation)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["efficientnet_lite0", "wide_resnet50_2"], default="efficientnet_lite0")
    parser.add_argument("--weights-dir", type=Path, help="folder with <backbone>.safetensors or .pth; else random")
    parser.add_argument("--dataset", type=Path, help="folder with train/good, test/good, test/DEFECT")
    parser.add_argument(
        "--frames", type=int, default=300, help="good frames of the simulation, without the 20 new ones"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--paper-steps", type=int, default=20, help="number of steps in the slice")
    parser.add_argument("--patchcore-frames", type=int, default=PATCHCORE_FRAMES, help="0 leaves PatchCore out")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _weights(options: argparse.Namespace, folder: Path) -> tuple[Path, bool]:
    """Return a weights file, and True if it is random: random weights allow timing, not AUROC."""
    given = local_file(options.backbone, options.weights_dir) if options.weights_dir else None
    if given is not None:
        return given, False
    if options.backbone == "efficientnet_lite0":
        return packaged_efficientnet_lite0(folder), False
    from torchvision.models import wide_resnet50_2  # noqa: PLC0415 -- slow to import

    torch.manual_seed(0)
    path = folder / "wide_resnet50_2.pth"
    torch.save(wide_resnet50_2(weights=None).state_dict(), path)
    return path, True


def _subject(options: argparse.Namespace, folder: Path, weights: Path) -> Subject:
    dataset: Path = options.dataset or _simulated(folder / "dataset", options.frames + NEW_FRAMES)
    options.dataset = dataset
    defaults, levels = defaults_for(options.backbone), PAPER[options.backbone].levels
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return Subject(
        backbone=load_backbone(options.backbone, levels=levels, weights_dir=folder, file=weights),
        weights=weights,
        good=tuple(image_files(dataset / "train" / "good"))[:-NEW_FRAMES],
        test_good=tuple(image_files(dataset / "test" / "good")),
        test_defect=tuple(path for path in image_files(dataset / "test") if path.parent.name != "good"),
        input_size=(defaults.input_size, defaults.input_size),
    )


def _simulated(folder: Path, n_good: int) -> Path:
    """Write frames of line A: good ones to train on; other good ones, and as many defective ones, to test on."""
    _say("drawing frames")
    simulation = Simulation("A", seed=1, defect_share=0.0)
    for index in range(n_good):
        _write(folder / "train" / "good" / f"{index}.jpg", simulation.frame(index).content)
    for index in range(n_good, n_good + TEST_FRAMES):
        _write(folder / "test" / "good" / f"{index}.jpg", simulation.frame(index).content)
    broken = Simulation("A", seed=2, defect_share=1.0)
    for index in range(TEST_FRAMES):
        frame = broken.frame(index)
        _write(folder / "test" / str(frame.defect) / f"{index}.jpg", frame.content)
    return folder


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _ours(subject: Subject, state: Path, options: argparse.Namespace) -> Ours:
    # Imports are not timed: frames are imported as they are produced, not at a retrain.
    weights_dir = state / "weights"
    weights_dir.mkdir(parents=True)
    (weights_dir / f"{options.backbone}{subject.weights.suffix}").symlink_to(subject.weights.resolve())
    everything = tuple(image_files(options.dataset / "train" / "good"))
    _import(state, subject.good, "first")
    cold_s, cold = _retrain(state, options.backbone)
    warm_s, warm = _retrain(state, options.backbone)
    _import(state, everything[-NEW_FRAMES:], "new")
    incremental_s, incremental = _retrain(state, options.backbone)
    return Ours(cold_s, warm_s, incremental_s, {"cold": cold, "warm": warm, "incremental": incremental})


def _import(state: Path, files: tuple[Path, ...], name: str) -> None:
    folder = state / name
    folder.mkdir()
    for number, path in enumerate(files):
        (folder / f"{number}{path.suffix}").symlink_to(path.resolve())
    _trainer(state, "import", "--good", str(folder))


def _retrain(state: Path, backbone: str) -> tuple[float, Any]:
    started_s = monotonic()
    side = str(defaults_for(backbone).input_size)  # the input size of the rivals
    document = _trainer(state, "retrain", "--offline", "--backbone", backbone, "--input-size", side)
    return monotonic() - started_s, document


def _trainer(state: Path, command: str, *arguments: str) -> Any:
    run = subprocess.run(
        [sys.executable, "-m", "trainer.cli", command, "--line", LINE, *arguments, "--json"],
        env={**os.environ, "QC_STATE_DIR": str(state)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(run.stdout)


def _evaluate(options: argparse.Namespace, state: Path) -> Any:
    """Evaluate the model of the last retrain, which has the new frames."""
    return _trainer(state, "evaluate", "--dataset", str(options.dataset))


def _summary(
    options: argparse.Namespace,
    subject: Subject,
    are_random: bool,
    rounds: tuple[list[Ours], list[PaperSlice], list[PatchcoreFit]],
    evaluation: Any,
) -> dict[str, object]:
    ours, papers, cores = rounds
    cold_s = statistics.median(one.cold_s for one in ours)
    paper_s = statistics.median(one.extrapolated_s for one in papers)
    patchcore_s = statistics.median(one.extrapolated_s for one in cores) if cores else None
    return {
        "benchmark": "train",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "backbone": options.backbone,
        "weights": "random" if are_random else "pretrained",
        "frames": len(subject.good),
        "new_frames": NEW_FRAMES,
        "cold_s": round(cold_s, 2),
        "warm_s": round(statistics.median(one.warm_s for one in ours), 2),
        "incremental_s": round(statistics.median(one.incremental_s for one in ours), 2),
        "image_auroc": evaluation and evaluation["image_auroc"],
        "paper_s": round(paper_s, 1),
        "paper_over_cold": round(paper_s / cold_s, 1),
        "paper_image_auroc": None,
        "paper_image_auroc_note": NO_AUROC_OF_PAPER,
        "slice": asdict(papers[0]),
        "patchcore_s": patchcore_s and round(patchcore_s, 1),
        "patchcore_over_cold": patchcore_s and round(patchcore_s / cold_s, 2),
        "patchcore_image_auroc": cores[0].image_auroc if cores and not are_random else None,
        "patchcore": asdict(cores[0]) if cores else None if has_anomalib() else NO_ANOMALIB,
        "rounds": [_brief(one) for one in ours],
        "machine": machine(),
        "versions": versions(),
    }


def _brief(ours: Ours) -> dict[str, object]:
    kept = ("features_computed", "features_cached", "duration_s", "stages_s")
    stages = {name: {key: document.get(key) for key in kept} for name, document in ours.documents.items()}
    return {"cold_s": ours.cold_s, "warm_s": ours.warm_s, "incremental_s": ours.incremental_s, "of_which": stages}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
