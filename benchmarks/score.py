"""Measure frames per second from decoded frame to score: the worker's scorer, the backbone alone, and rivals.

Sides (`rivals/inference.py`), each in its own process, take turns in one run:

- floor: the backbone's forward pass alone, in the same number format as ours and compiled alike. For single frames it
  has its own graph, where ours passes the frame twice.
- ours: the worker's Scorer, with 1 and with 32 lines mixed in a batch.
- ours with the default model: with levels and head as our trainer makes them; all other sides have the paper's.
- unfolded: our embedding and head as training computes them.
- plain: the paper's pipeline in plain PyTorch (`rivals/published_simplenet.py`).
- patchcore, super_simple_net: anomalib's, on the same backbone, in bfloat16 by autocast; needs the extra `bench`.

Before the race, ours, unfolded and plain must compute the same scores for the same frames.

Prints one JSON object: {"floor_fps", "ours_fps", "plain_fps", "ours_over_floor", "ours_over_plain", ...}, for the
setting in which ours is quickest; plain is in float32, as published.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks.harness.contestant import Precision, Ready, SideName, SideProcess, SideSpec
from benchmarks.harness.machine import machine, versions
from benchmarks.harness.turns import MANY_LINES, Event, Row, race
from benchmarks.rivals.anomalib import has_anomalib
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from qc_worker.simplenet.inference.precision import compute_dtype, number_format

HEADLINE_BATCH_SIZE = 8
LARGEST_BATCH_OF_RIVALS = 8
"""At 32, rivals need gigabytes and get no faster; only plain in float32 is timed there nevertheless."""
AGREEING_FRAMES = 4
TOLERANCE = 1e-3


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder:
        base = _base_spec(options, Path(folder))
        warm_up = {} if options.no_warm_up else _warm_up(base, Path(folder))
        cache_dir = options.cache_dir or Path(folder) / "kernels"
        with ExitStack() as stack:
            ready = _started(_specs(base, options), cache_dir, stack)
            sides = list(ready)
            differences = _differences(sides)
            rows = race(_events(sides, options), rounds=options.rounds, turn_s=options.turn_s)
    print(json.dumps(_summary(options, base, rows, ready, {"agreement": differences, "warm_up": warm_up})))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=["wide_resnet50_2", "efficientnet_lite0"], default="wide_resnet50_2")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn-s", type=float, default=1.5, help="seconds of each side's turn; at least one batch")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--cache-dir", type=Path, help="folder with compiled kernels of earlier runs; cold starts do not use them"
    )
    parser.add_argument("--eager", action="store_true", help="time floor and ours without compilation as well")
    parser.add_argument("--no-rivals", action="store_true", help="time floor, ours and plain only, plain in float32")
    parser.add_argument("--no-warm-up", action="store_true", help="do not time cold and cached starts")
    parser.add_argument(
        "--quick", action="store_true", help="at most a minute: one short round, float32, nothing compiled, no rivals"
    )
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.turn_s, options.batch_sizes = 1, 0.1, [HEADLINE_BATCH_SIZE]
        options.no_rivals = options.no_warm_up = True
    return options


def _base_spec(options: argparse.Namespace, folder: Path) -> SideSpec:
    weights = packaged_efficientnet_lite0(folder)
    if options.backbone == "wide_resnet50_2":
        weights = _random_wide_resnet(folder / "wide_resnet50_2.pth")
    return SideSpec(
        "floor",
        options.backbone,
        str(weights),
        str(folder),
        max_batch_size=max(options.batch_sizes),
        single_frames=1 in options.batch_sizes,
        device=options.device,
    )


def _random_wide_resnet(path: Path) -> Path:
    """Write random weights: speed does not depend on them."""
    from torchvision.models import wide_resnet50_2  # noqa: PLC0415 -- slow to import

    torch.manual_seed(0)
    torch.save(wide_resnet50_2(weights=None).state_dict(), path)
    return path


def _specs(base: SideSpec, options: argparse.Namespace) -> list[SideSpec]:
    """List every side in every setting that suits this machine."""
    precisions = _precisions(base, quick=options.quick)
    found = [
        replace(base, side=side, precision=precision, compiled=compiled)
        for compiled in _compilations(options)
        for precision in precisions
        for side in _names("floor", "ours")
    ]
    # The trainer's default model, in the number format that a worker would choose.
    best = replace(base, model="default", precision=precisions[-1], compiled=not options.quick)
    found += [replace(best, side=side) for side in _names("floor", "ours")]
    found.append(replace(base, side="plain"))
    if options.no_rivals:
        return found
    found += [replace(base, side="plain", precision=precision) for precision in precisions[1:]]
    found.append(replace(base, side="unfolded"))
    if has_anomalib():
        rivals = _names("patchcore", "super_simple_net")
        found += [replace(base, side=side, precision=precision) for precision in precisions for side in rivals]
    return found


def _compilations(options: argparse.Namespace) -> tuple[bool, ...]:
    if options.quick:
        return (False,)
    return (False, True) if options.eager else (True,)


def _names(*names: SideName) -> tuple[SideName, ...]:
    return names


def _precisions(base: SideSpec, *, quick: bool) -> list[Precision]:
    chosen = number_format(compute_dtype(torch.device(base.device)))
    return ["float32"] if quick or chosen == "float32" else ["float32", chosen]


def _started(specs: Sequence[SideSpec], cache_dir: Path, stack: ExitStack) -> dict[SideProcess, Ready]:
    """Start all sides; those that compile one after the other, or they would compile the same kernels several times."""
    ready = {}
    for spec in (spec for spec in specs if spec.compiled):
        side = _start(spec, cache_dir, stack)
        ready[side] = _await(side)
    eager = [_start(spec, cache_dir, stack) for spec in specs if not spec.compiled]
    return ready | {side: _await(side) for side in eager}


def _start(spec: SideSpec, cache_dir: Path, stack: ExitStack) -> SideProcess:
    side = SideProcess(spec, cache_dir=cache_dir)
    stack.callback(side.close)
    return side


def _await(side: SideProcess) -> Ready:
    ready = side.ready()
    print(f"{side.spec.side} {side.spec.setting}: ready after {side.start_s:.1f} s", file=sys.stderr)
    return ready


def _warm_up(base: SideSpec, folder: Path) -> dict[str, float]:
    """Measure seconds until our side is ready, with an empty cache folder and then with the kernels in it."""
    spec = replace(base, side="ours", precision=_precisions(base, quick=False)[-1], compiled=True)
    seconds: dict[str, float] = {}
    for name in ("cold", "cached"):
        with ExitStack() as stack:
            side = _start(spec, folder / "warm-up", stack)
            seconds[f"{name}_build_s"] = round(_await(side).build_s, 1)
            seconds[f"{name}_start_s"] = round(side.start_s, 1)
    return seconds


def _differences(sides: Sequence[SideProcess]) -> dict[str, float]:
    """Return relative differences from the scores of plain. Raises SystemExit if one in float32 is too large."""
    scores = {side: side.scores(AGREEING_FRAMES, AGREEING_FRAMES) for side in sides if _gives_our_scores(side.spec)}
    plain = next(
        found for side, found in scores.items() if (side.spec.side, side.spec.precision) == ("plain", "float32")
    )
    differences = {}
    for side, found in scores.items():
        worst = max(abs(one - other) / abs(other) for one, other in zip(found, plain, strict=True))
        differences[f"{side.spec.side} {side.spec.setting}"] = float(f"{worst:.2g}")
        if side.spec.precision == "float32" and not worst <= TOLERANCE:
            raise SystemExit(f"{side.spec.side} ({side.spec.setting}) differs from plain: {found}, {plain}")
    return differences


def _gives_our_scores(spec: SideSpec) -> bool:
    return spec.model == "paper" and spec.side in ("ours", "unfolded", "plain")


def _events(sides: Sequence[SideProcess], options: argparse.Namespace) -> list[Event]:
    events = []
    for side in sides:
        for batch_size in options.batch_sizes:
            if batch_size <= LARGEST_BATCH_OF_RIVALS or _takes_large_batches(side.spec):
                events.append(Event(side, batch_size))
            if side.spec.side == "ours":
                events.append(Event(side, batch_size, MANY_LINES))
    return events


def _takes_large_batches(spec: SideSpec) -> bool:
    return spec.side in ("floor", "ours") or (spec.side, spec.precision) == ("plain", "float32")


def _summary(
    options: argparse.Namespace,
    base: SideSpec,
    rows: Sequence[Row],
    ready: dict[SideProcess, Ready],
    checks: dict[str, dict[str, float]],
) -> dict[str, object]:
    headline = HEADLINE_BATCH_SIZE if HEADLINE_BATCH_SIZE in options.batch_sizes else max(options.batch_sizes)
    at_headline = [row for row in rows if row.batch_size == headline]
    single = [row for row in at_headline if row.side == "ours" and row.lines == 1]
    ours = max((row for row in single if row.setting.startswith("paper")), key=lambda row: row.fps)
    default = next(row for row in single if row.setting.startswith("default"))
    default_floor = next(row for row in at_headline if (row.side, row.setting) == ("floor", default.setting))
    floor = next(row for row in at_headline if (row.side, row.setting) == ("floor", ours.setting))
    many = next(row for row in at_headline if row.setting == ours.setting and row.lines == MANY_LINES)
    plain = next(row for row in at_headline if (row.side, row.setting) == ("plain", "paper float32 eager"))
    return {
        "benchmark": "score",
        "backbone": base.backbone,
        "setting": ours.setting,
        "batch_size": headline,
        "floor_fps": floor.fps,
        "ours_fps": ours.fps,
        "plain_fps": plain.fps,
        "ours_over_floor": round(ours.fps / floor.fps, 3),
        "ours_over_plain": round(ours.fps / plain.fps, 2),
        "cpu_time": {
            "ours_over_floor": round(floor.cpu_ms_per_frame / ours.cpu_ms_per_frame, 3),
            "ours_over_plain": round(plain.cpu_ms_per_frame / ours.cpu_ms_per_frame, 2),
            "default_model_ours_over_floor": round(default_floor.cpu_ms_per_frame / default.cpu_ms_per_frame, 3),
        },
        "default_model_floor_fps": default_floor.fps,
        "default_model_ours_fps": default.fps,
        "default_model_ours_over_floor": round(default.fps / default_floor.fps, 3),
        "many_lines_over_one": round(many.fps / ours.fps, 3),
        "ours_peak_bytes": ours.peak_bytes,
        "plain_peak_bytes": plain.peak_bytes,
        "imported_bytes": max(one.imported_bytes for one in ready.values()),
        **_bytes_per_line(ready, ours.setting),
        "ours_over_floor_of": _over_floor(rows),
        **checks,
        "rounds": options.rounds,
        "table": [asdict(row) for row in rows],
        "machine": machine(base.device),
        "versions": versions(),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _bytes_per_line(ready: dict[SideProcess, Ready], setting: str) -> dict[str, int]:
    ours = next(one for side, one in ready.items() if (side.spec.side, side.spec.setting) == ("ours", setting))
    return {"bytes_per_line": ours.bytes_per_line, "measured_bytes_per_line": ours.measured_bytes_per_line}


def _over_floor(rows: Sequence[Row]) -> dict[str, float]:
    """Compute ours over the floor in the same rounds, for each setting, batch size and number of lines."""
    floors = {(row.setting, row.batch_size): row for row in rows if row.side == "floor"}
    found = {}
    for row in (row for row in rows if row.side == "ours"):
        floor = floors[row.setting, row.batch_size]
        ratios = [one / other for one, other in zip(row.fps_of_rounds, floor.fps_of_rounds, strict=True)]
        found[f"{row.setting}, batch {row.batch_size}, lines {row.lines}"] = round(statistics.median(ratios), 3)
    return found


if __name__ == "__main__":
    main()
