"""Measure what only a GPU can tell, in one command: run it first on every new kind of GPU.

- start: seconds until compiled, and until every size of batch is warmed up.
- new_sizes: first and second batch of odd sizes; a difference is a pause in service.
- throughput: frames per second by batch size, of the backbone alone, of one line and of 32 lines.
- line_after_line: a mixed batch with stacked heads and without.
- kernels: kernels of a batch; conversions of the memory layout among them are faults.
- memory: peaks of the device's memory.
- number_formats: how far scores move in bfloat16 and float16, as shares of the spread of float32's.
- nvjpeg, beside_compute, cpu_decode: JPEGs by picture and call size, beside computing, on the CPU by threads.
- score, stream: the benchmarks of these names, with settings for a GPU.

Prints one JSON object; a measurement that fails has its error there, and the others go on. Without CUDA it ends with
exit code 2.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness.machine import machine, versions
from benchmarks.on_gpu import decoding
from benchmarks.on_gpu.scoring import DEVICE, Models, ReadyScorer, number_formats
from qc_worker.simplenet.inference.precision import compute_dtype, number_format

ROOT = Path(__file__).parents[1]
BACKBONES = ("efficientnet_lite0", "wide_resnet50_2")
NO_GPU = 2
SCORE = "--batch-sizes 1 8 32 64 --rounds 3 --turn-s 3 --no-rivals --device cuda"
STREAM = "--rounds 2 --batch-size 64 --frames 20000 --plumbing-frames 20000"
STREAM_SETTINGS = {"QC_DECODE_THREADS": "10", "QC_MAX_IN_FLIGHT_FRAMES": "512", "QC_TORCH_THREADS": "1"}

Measure = Callable[[], object]


def main() -> int:
    options = _options()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a CUDA device, and torch finds none here", file=sys.stderr)
        return NO_GPU
    with tempfile.TemporaryDirectory() as folder:
        wanted = _measures(options.backbone, Path(folder))
        found = {name: _measured(name, wanted[name]) for name in options.only or wanted}
    print(json.dumps({"benchmark": "gpu", "backbone": options.backbone, **_device(), **found}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONES[0])
    parser.add_argument("--only", nargs="+", choices=list(_measures("", Path())), help="measure these alone")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _measures(backbone: str, folder: Path) -> Mapping[str, Measure]:
    models = lru_cache(partial(Models, backbone, folder))
    ready = lru_cache(lambda: ReadyScorer(models()))
    return {
        "start": lambda: ready().start(),
        "new_sizes": lambda: ready().new_sizes(),
        "throughput": lambda: ready().throughput(),
        "line_after_line": lambda: ready().line_after_line(),
        "kernels": lambda: ready().kernels(),
        "memory": lambda: ready().memory(),
        "number_formats": lambda: number_formats(models()),
        "nvjpeg": decoding.nvjpeg,
        "beside_compute": lambda: decoding.beside_compute(ready().scorer),
        "cpu_decode": decoding.cpu_decode,
        "score": partial(_other, "score.py", backbone, SCORE, {}),
        "stream": partial(_other, "stream.py", backbone, STREAM, STREAM_SETTINGS),
    }


def _measured(name: str, measure: Measure) -> object:
    print(f"{name} ...", file=sys.stderr)
    try:
        return measure()
    except Exception as error:  # noqa: BLE001  (on a new kind of GPU one fault must not hide the other figures)
        return {"error": f"{type(error).__name__}: {str(error)[-500:]}"}


def _device() -> dict[str, object]:
    return {
        "device": torch.cuda.get_device_name(DEVICE),
        "capability": torch.cuda.get_device_capability(DEVICE),
        "architectures": torch.cuda.get_arch_list(),
        "cuda": torch.version.cuda,
        "precision": number_format(compute_dtype(DEVICE)),
        "machine": machine("cuda"),
        "versions": versions(),
        "taken_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _other(script: str, backbone: str, arguments: str, settings: Mapping[str, str]) -> Any:
    """Run another benchmark in a process of its own and return its JSON object."""
    command = [sys.executable, f"benchmarks/{script}", "--backbone", backbone, *arguments.split()]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, check=True)
    return json.loads(run.stdout)


if __name__ == "__main__":
    sys.exit(main())
