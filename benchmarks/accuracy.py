"""Measure accuracy on labelled products: ours, anomalib's PatchCore and PaDiM, with the same weights and pixels.

Ours runs the product's own code: import good frames, `retrain --offline`, `evaluate`. It holds out good frames, while
the rivals are fitted to all of them, and chooses its input size from the good frames (`--input-size auto`). The row "no
discriminator" is ours with the distance alone. The rivals run on every product twice, at the backbone's own 256 px and
at the size that ours chose. They have a row for each choice of levels; the best one in the mean over products is
compared with ours.

Each method defines its image score and map; one code computes all metrics. Recall at 1 % and 2 % uses thresholds set on
the good test images themselves, to compare methods; "own threshold" is the one that retrain calibrated.

Labels are never used to choose anything for ours. Differences under 0.02 between seeds of one product are noise:
compare the mean over products, and the worst.

Sides take turns within each seed. With `--cache DIR`, each run (product, side, seed) is stored there and reused while
data, settings and code are the same, so an interrupted benchmark resumes, and `--seeds 1` can become `--seeds 5`.

Prints one JSON object: {"products": {PRODUCT: {SIDE: {"mean", "worst", "spread", "by_defect", "seeds", ...}}},
"overall": {SIDE: {"mean", "worst", "worst_product"}}, "contests": {...}, "false_rejects": {PRODUCT: [...]}, ...}.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()

from benchmarks.harness.false_rejects import false_rejects  # noqa: E402
from benchmarks.harness.machine import machine, versions  # noqa: E402
from benchmarks.products.one_run import Product, Run, RunCache, product_at  # noqa: E402
from benchmarks.products.ours import OURS, can_leave_discriminator_out, our_sides  # noqa: E402
from benchmarks.products.summary import Contest, Rows, Summary, best_of, contest, overall_of, row_of  # noqa: E402
from benchmarks.products.tables import print_tables, tables, write_markdown  # noqa: E402
from benchmarks.products.turns import SIZE_OF_OURS, Bench, Task, strides_of  # noqa: E402  (after the wait policy is set)
from benchmarks.rivals.accuracy import BANK_SHARE, MAX_BANK_ROWS, METHODS, Rival  # noqa: E402
from benchmarks.rivals.anomalib import LAYERS, has_anomalib  # noqa: E402
from qc_worker.domain.errors import QcError, SettingsError  # noqa: E402
from qc_worker.observability.logging import configure_logging  # noqa: E402
from qc_worker.simplenet.backbones.weights import local_file, packaged_efficientnet_lite0  # noqa: E402
from trainer.datasets.labelled import GOOD  # noqa: E402
from trainer.features.input_size import parse_input_size  # noqa: E402

DATASETS = Path(__file__).parents[2] / "shared" / "data"
NO_ANOMALIB = "anomalib is not installed: pip install 'qc-worker[bench]'"
NO_SWITCH = "no row without the discriminator: the training settings have no weight for it"
RIVAL_LEVELS = {"efficientnet_lite0": ("16", "8+16", "16+32"), "wide_resnet50_2": ("8+16",)}
"""anomalib's default for PaDiM on WideResNet-50 also has stride 4, left out here: 4096 covariances of 550 features are
5 GB, and four copies are needed to invert them."""


def main() -> None:
    options = _options()
    configure_logging("warning", "json")  # to stderr: stdout is for the JSON object alone
    try:
        products = _products(options.datasets)
        with tempfile.TemporaryDirectory(prefix="qc-bench-") as folder:
            bench = Bench(_task(options), Path(folder), RunCache(options.cache))
            for product in products:
                bench.run(product)
    except QcError as error:
        print(f"accuracy.py: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    _report(options, bench, products)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=Path, nargs="+", default=_present(), help="folders laid out like MVTec AD")
    parser.add_argument("--backbone", choices=sorted(RIVAL_LEVELS), default="efficientnet_lite0")
    parser.add_argument("--weights-dir", type=Path, help="folder with <backbone>.safetensors or .pth")
    parser.add_argument("--seeds", type=int, choices=range(1, 101), default=5, metavar="N")
    parser.add_argument("--input-size", default="auto", help="of ours, as for `qc-trainer retrain --input-size`")
    parser.add_argument("--without-rivals", "--ours-only", action="store_true", help="leave PatchCore and PaDiM out")
    parser.add_argument("--rival-levels", nargs="+", metavar="S+S", help="strides of rivals, a row for each: 16 16+32")
    parser.add_argument("--coreset", action="store_true", help="PatchCore's bank by greedy search: many minutes a fit")
    parser.add_argument("--splits", type=int, default=200, help="random splits in the false-reject experiment")
    parser.add_argument("--cache", type=Path, help="folder that stores finished runs, to resume after an interruption")
    parser.add_argument("--table", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _present() -> list[Path]:
    return sorted(path.parents[1] for path in DATASETS.glob("*/test/good"))


def _products(folders: Sequence[Path]) -> list[Product]:
    if not folders:
        raise SettingsError("no data sets: give folders in the layout of MVTec AD with --datasets")
    products = [product_at(folder) for folder in folders]
    names = [product.name for product in products]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingsError(f"two data sets are named {twice[0]}: results are listed by folder name, so rename one")
    return products


def _task(options: argparse.Namespace) -> Task:
    parse_input_size(options.input_size)
    if options.table and not options.table.resolve().parent.is_dir():
        raise SettingsError(f"--table: there is no folder {options.table.parent}: create it first")
    return Task(options.backbone, _weights(options), options.seeds, options.input_size, _rivals(options))


def _weights(options: argparse.Namespace) -> Path:
    found = local_file(options.backbone, options.weights_dir) if options.weights_dir else None
    if found is None and options.backbone == "efficientnet_lite0":
        found = packaged_efficientnet_lite0(options.weights_dir or Path("weights"))
    if found is None:
        raise SettingsError(f"no weights for {options.backbone}: give their folder with --weights-dir")
    return found


def _rivals(options: argparse.Namespace) -> tuple[Rival, ...]:
    if options.without_rivals or not has_anomalib():
        return ()
    try:
        choices = [strides_of(text) for text in options.rival_levels or RIVAL_LEVELS[options.backbone]]
    except ValueError:
        raise SettingsError("--rival-levels: give strides such as 16 or 16+32") from None
    known = LAYERS[options.backbone]
    if unknown := sorted({stride for levels in choices for stride in levels if stride not in known}):
        raise SettingsError(f"--rival-levels: {options.backbone} has strides {sorted(known)}, not {unknown[0]}")
    return tuple(Rival(method, levels, options.coreset) for levels in choices for method in METHODS)


def _report(options: argparse.Namespace, bench: Bench, products: Sequence[Product]) -> None:
    """Print tables for people, then the JSON object."""
    rows = {side: {product: row_of(runs) for product, runs in found.items()} for side, found in bench.runs.items()}
    summary = Summary(rows, {side: overall_of(of_side) for side, of_side in rows.items()}, _contests(rows, bench.task))
    shown = tables(summary, ours=[side for side in our_sides() if side in rows])
    print_tables(shown)
    if options.table:
        write_markdown(options.table, shown, notes=_notes(bench.task))
    print(json.dumps(_document(options, bench, products, summary)))


def _contests(rows: Rows, task: Task) -> dict[str, Contest]:
    """Compare ours with each method at its best levels, for each input size of the rivals."""
    if not task.rivals:
        return {}
    return {
        where: contest(rows, [best_of(rows, _at(where, method, task)) for method in METHODS])
        for where in (task.own_size, SIZE_OF_OURS)
    }


def _at(where: str, method: str, task: Task) -> list[str]:
    return [f"{rival.name}, {where}" for rival in task.rivals if rival.method == method]


def _notes(task: Task) -> list[str]:
    means = f"Means over seeds ({task.seeds}); `worst` is the worst product's mean."
    if not task.rivals:
        return [means]
    rivals = (
        "Rivals are fitted to all good frames, ours to those that it does not hold out; rivals have the levels "
        f"that are best in the mean over products. PatchCore's bank: {_bank(task)}."
    )
    return [f"{means} {rivals}"]


def _bank(task: Task) -> str:
    way = "greedy coreset" if any(rival.greedy for rival in task.rivals) else "random"
    return f"{way}, {100 * BANK_SHARE:g} % of all patches, at most {MAX_BANK_ROWS} rows"


def _document(
    options: argparse.Namespace, bench: Bench, products: Sequence[Product], summary: Summary
) -> dict[str, object]:
    missing = [] if options.without_rivals or has_anomalib() else [NO_ANOMALIB]
    missing += [] if can_leave_discriminator_out() else [NO_SWITCH]
    return {
        "benchmark": "accuracy",
        "backbone": bench.task.backbone,
        "input_size": bench.task.input_size,
        "seeds": bench.task.seeds,
        "test_frames": {product.name: product.counts for product in products},
        "patchcore_bank": _bank(bench.task) if bench.task.rivals else None,
        "missing": missing,
        "products": {
            product.name: {side: asdict(of_side[product.name]) for side, of_side in summary.rows.items()}
            for product in products
        },
        "overall": {side: asdict(found) for side, found in summary.overall.items()},
        "contests": {where: asdict(found) for where, found in summary.contests.items()},
        "false_rejects": {name: _promise(runs[0], options.splits) for name, runs in bench.runs[OURS].items()},
        "false_rejects_splits": options.splits,
        "machine": machine(),
        "versions": versions(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _promise(run: Run, splits: int) -> list[dict[str, float]]:
    """Measure false rejects on good test frames pooled with held-out good frames; random splits are exchangeable."""
    held_out = run.own.calibration_scores if run.own else ()
    defects = [score for kind, scores in run.scores.items() if kind != GOOD for score in scores]
    return false_rejects([*run.scores[GOOD], *held_out], defects, splits=splits, seed=0)


if __name__ == "__main__":
    main()
