"""Measure JPEG decoding: nvJPEG by picture and call size, beside computing, and the CPU by threads."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, process_time, sleep

import numpy as np
import torch
from PIL import Image

from benchmarks.harness.random_models import INPUT_SIZE
from benchmarks.on_gpu.scoring import DEVICE, some_pixels
from benchmarks.on_gpu.timing import timed
from qc_worker.imaging.on_gpu.decode_stream import DecodeStream
from qc_worker.imaging.on_gpu.nvjpeg import NvJpegDecoder
from qc_worker.imaging.opening import ImageLimits
from qc_worker.imaging.preprocessing import Picture, decode_picture
from qc_worker.simplenet.inference.scorer import Scorer

LIMITS = ImageLimits(max_bytes=1 << 25, max_pixels=1 << 26)
SIZE = (INPUT_SIZE, INPUT_SIZE)
PICTURES = ((640, 480), (1280, 960), (4000, 3000))
CALL_SIZES = (1, 8, 32, 64)
MOST_PIXELS = 300_000_000
"""Of one call: beyond it the device's memory would be measured."""
CALLS = 8
BESIDE_S = 4.0
SETTLE_S = 0.5
THREADS = (1, 2, 4, 8, 12, 16)
FRAMES_PER_THREAD = 100


class CountingDecoder(NvJpegDecoder):
    """Counts the frames that the CPU had to decode."""

    def __init__(self) -> None:
        self.left_to_cpu = 0
        super().__init__(
            stream=DecodeStream(DEVICE),
            input_size=SIZE,
            aspect="squash",
            limits=LIMITS,
            cpu_threads=4,
            tally=self._count,
        )

    def full_size(self, contents: list[bytes]) -> None:
        """Decode without resizing."""
        with self._stream.decoding():
            self._full_size(contents)

    def _count(self, _by_nvjpeg: int, by_cpu: int) -> None:
        self.left_to_cpu += by_cpu


def jpeg(size: tuple[int, int]) -> bytes:
    """Encode a smooth picture, as cameras see; (width, height)."""
    coarse = np.random.default_rng(0).integers(0, 255, (size[1] // 12, size[0] // 12, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def nvjpeg() -> list[dict[str, object]]:
    """Time nvJPEG by picture and call size; `left_to_cpu` must be 0."""
    sizes = [(size, call) for size in PICTURES for call in CALL_SIZES if call * size[0] * size[1] <= MOST_PIXELS]
    return [_nvjpeg_of(size, call) for size, call in sizes]


def _nvjpeg_of(size: tuple[int, int], call: int) -> dict[str, object]:
    decoder, contents = CountingDecoder(), [jpeg(size)] * call
    alone = timed(partial(decoder.full_size, contents), CALLS)
    whole = timed(partial(decoder.decode, contents), CALLS)
    decoder.close()
    return {
        "picture": size,
        "kb": len(contents[0]) >> 10,
        "call": call,
        "decode_only_fps": round(1000 * call / alone.wall_ms),
        "whole_fps": round(1000 * call / whole.wall_ms),
        "cpu_ms_per_frame": round(whole.cpu_ms / call, 3),
        "left_to_cpu": decoder.left_to_cpu,
    }


def beside_compute(scorer: Scorer) -> dict[str, int]:
    """Decode and compute at once, each in a thread of its own, as the worker does."""
    stop, computed = threading.Event(), [0]
    pixels, contents, decoder = some_pixels(64).to(DEVICE), [jpeg((1280, 960))] * 32, CountingDecoder()

    def compute() -> None:
        with torch.no_grad():
            while not stop.is_set():
                scorer._compute_levels(pixels)
                torch.cuda.current_stream().synchronize()
                computed[0] += len(pixels)

    thread = threading.Thread(target=compute)
    thread.start()
    sleep(SETTLE_S)
    computed[0], decoded, started = 0, 0, perf_counter()
    while perf_counter() - started < BESIDE_S:
        decoder.decode(contents)
        decoded += len(contents)
    seconds, frames = perf_counter() - started, computed[0]
    stop.set()
    thread.join()
    decoder.close()
    return {"decoded_fps": round(decoded / seconds), "computed_fps": round(frames / seconds)}


def cpu_decode() -> list[dict[str, float]]:
    """Time decoding on the CPU by the number of threads, with torch's threads as they are and with one."""
    usual, content = torch.get_num_threads(), jpeg((1280, 960))
    return [_cpu_decode_of(content, threads, of_torch) for of_torch in (usual, 1) for threads in THREADS]


def _cpu_decode_of(content: bytes, threads: int, threads_of_torch: int) -> dict[str, float]:
    def decode(_: int) -> Picture:
        return decode_picture(content, input_size=SIZE, aspect="squash", limits=LIMITS)

    frames = FRAMES_PER_THREAD * threads
    with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, threads_of_torch)) as pool:
        list(pool.map(decode, range(2 * threads)))
        started, cpu_started = perf_counter(), process_time()
        list(pool.map(decode, range(frames)))
        seconds, cpu_s = perf_counter() - started, process_time() - cpu_started
    fps, cpu_ms = round(frames / seconds), round(1000 * cpu_s / frames, 2)
    return {"torch_threads": threads_of_torch, "threads": threads, "fps": fps, "cpu_ms_per_frame": cpu_ms}
