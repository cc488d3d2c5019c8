"""Measure milliseconds per megapixel from encoded bytes to the backbone's input, before and after optimisation.

`before` is the simplest code: decode the whole picture, convert to RGB, resize, then NumPy, PyTorch, floats. `after` is
`decode_picture` and the conversion to the same floats, which the worker does later and for whole batches. The sides
alternate in one run, with one and with two decode threads. Peak memory is the additional memory of a fresh process that
decodes one of the largest pictures, including Pillow's own.

Prints one JSON object: {"cases": [{"kind", "megapixels", "before_ms_per_mp", "after_ms_per_mp", ...}], ...}.
"""

import argparse
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()

import numpy as np  # noqa: E402  (after the process is tuned)
import PIL  # noqa: E402
import torch  # noqa: E402
from PIL import Image, ImageDraw  # noqa: E402
from torch import Tensor  # noqa: E402

from qc_worker.imaging.opening import ImageLimits  # noqa: E402
from qc_worker.imaging.preprocessing import decode_picture  # noqa: E402

INPUT_SIZE = 256
LIMITS = ImageLimits(max_bytes=1 << 28, max_pixels=64_000_000)
SIZES = ((365, 274), (640, 480), (1280, 800), (2048, 1536), (4000, 3000), (6000, 4000))
KINDS = ("jpeg colour", "jpeg grey", "png colour", "png grey 16 bit", "tiff grey 16 bit")
THREADS = (1, 2)
ROUND_S = 0.06
"""Shortest time of a side's turn."""

Decode = Callable[[bytes], Tensor]


@dataclass(frozen=True, slots=True)
class Case:
    """One picture to decode."""

    kind: str
    megapixels: float
    content: bytes


def main() -> None:
    options = _options()
    if options.peak:
        side, file = options.peak
        print(json.dumps(_peak_mb(SIDES[side], Path(file).read_bytes())))
        return
    torch.set_num_threads(1)
    cases = [_case(kind, size) for size in SIZES for kind in KINDS]
    measured = [_measured(case, options.rounds) for case in cases]
    print(json.dumps(_summary(measured, options)))


def before(content: bytes) -> Tensor:
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def after(content: bytes) -> Tensor:
    return (
        decode_picture(content, input_size=(INPUT_SIZE, INPUT_SIZE), aspect="squash", limits=LIMITS).pixels.float()
        / 255
    )


SIDES: dict[str, Decode] = {"before": before, "after": after}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--peak", nargs=2, metavar=("SIDE", "FILE"), help="print the peak memory of one decode only, MB"
    )
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _case(kind: str, size: tuple[int, int]) -> Case:
    image = _scene(size)
    if "grey" in kind:
        image = image.convert("L")
    if "16 bit" in kind:
        # The low bits of a sensor are noise, so such files compress badly.
        low = np.random.default_rng(2).integers(0, 256, (size[1], size[0]), dtype=np.uint16)
        image = Image.fromarray(np.asarray(image).astype(np.uint16) << 8 | low)
    buffer = io.BytesIO()
    options = {"quality": 90} if kind.startswith("jpeg") else {}
    image.save(buffer, kind.split(maxsplit=1)[0].upper(), **options)
    return Case(kind, size[0] * size[1] / 1e6, buffer.getvalue())


@lru_cache(maxsize=1)
def _scene(size: tuple[int, int]) -> Image.Image:
    """Draw a scene with a light gradient, blotches of several sizes, sharp edges and sensor noise."""
    generator = np.random.default_rng(1)
    scene = Image.new("RGB", size, (120, 120, 110))
    for cells, weight in ((4, 0.5), (24, 0.35), (96, 0.2)):
        coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        scene = Image.blend(scene, coarse.resize(size, Image.Resampling.BICUBIC), weight)
    draw = ImageDraw.Draw(scene)
    for left, top, right, bottom in generator.random((30, 4)) * (*size, *size):
        draw.line((left, top, right, bottom), fill=(40, 45, 50), width=max(1, size[0] // 300))
    grain = generator.normal(0, 4, (size[1], size[0], 1)).astype(np.int16)
    return Image.fromarray((np.asarray(scene) + grain).clip(0, 255).astype(np.uint8))


def _measured(case: Case, rounds: int) -> dict[str, object]:
    figures: dict[str, object] = {
        "kind": case.kind,
        "megapixels": round(case.megapixels, 2),
        "kb": round(len(case.content) / 1000),
    }
    for threads in THREADS:
        times = _alternated(case, threads, rounds)
        suffix = "" if threads == 1 else f"_{threads}_threads"
        for side, ms in times.items():
            figures[f"{side}_ms_per_mp{suffix}"] = round(ms / case.megapixels, 3)
        figures[f"speed_up{suffix}"] = round(times["before"] / times["after"], 2)
    if case.megapixels == max(width * height for width, height in SIZES) / 1e6:
        figures |= {f"{side}_peak_mb": _peak_in_subprocess(side, case) for side in SIDES}
    return figures


def _alternated(case: Case, threads: int, rounds: int) -> dict[str, float]:
    """Return wall milliseconds per picture of each side, median over the rounds."""
    with ThreadPoolExecutor(threads) as pool:
        counts = {side: _count_for_round(pool, decode, case.content, threads) for side, decode in SIDES.items()}
        times: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, decode in SIDES.items():
                times[side].append(_round_ms(pool, decode, case.content, counts[side]))
    return {side: statistics.median(each) for side, each in times.items()}


def _count_for_round(pool: ThreadPoolExecutor, decode: Decode, content: bytes, threads: int) -> int:
    _round_ms(pool, decode, content, threads)
    one_s = _round_ms(pool, decode, content, threads) / 1000
    return max(1, round(ROUND_S / one_s / threads)) * threads


def _round_ms(pool: ThreadPoolExecutor, decode: Decode, content: bytes, count: int) -> float:
    started = perf_counter()
    for _ in pool.map(decode, [content] * count):
        pass
    return 1000 * (perf_counter() - started) / count


def _peak_in_subprocess(side: str, case: Case) -> float | None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(case.content)
        file.flush()
        command = [sys.executable, __file__, "--peak", side, file.name]
        answer: float | None = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return answer


def _peak_mb(decode: Decode, content: bytes) -> float | None:
    """Measure the peak of resident memory that one decode adds, in MB; None if the system does not allow it."""
    torch.set_num_threads(1)
    decode(_case("jpeg grey", (64, 64)).content)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:
        return None
    resident_before = _status_mb("VmRSS")
    decode(content)
    return round(_status_mb("VmHWM") - resident_before, 1)


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1000


def _summary(measured: list[dict[str, object]], options: argparse.Namespace) -> dict[str, object]:
    return {
        "benchmark": "decode",
        "input_size": INPUT_SIZE,
        "rounds": options.rounds,
        "cases": measured,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, Pillow {PIL.__version__}",
    }


if __name__ == "__main__":
    main()
