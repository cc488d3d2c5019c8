"""Frames per second of a real worker process through a real broker, beside the backbone's forward pass alone.

The sides alternate in one run. The worker's side counts everything: broker, decoding, batching, backbone, head,
calibration, masks, heatmaps into the cache, publishing, committing. The floor is the same backbone on batches of the
same size, nothing else.

Prints one JSON object: {"floor_fps", "worker_fps", "worker_over_floor", "worker_rss_mb", "rounds": [...], ...}.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from urllib.request import urlopen

from qc_worker.process_tuning import tune_process

tune_process()

import torch  # noqa: E402  (after the wait policy is set)

from qc_worker.embedded.services import SESSION_TIMEOUT_MS, EmbeddedServices  # noqa: E402
from qc_worker.embedded.simulation import Simulation  # noqa: E402
from qc_worker.simplenet.backbone import load_backbone  # noqa: E402
from qc_worker.simplenet.defaults import defaults_for  # noqa: E402
from qc_worker.transport.camera import CameraProducer  # noqa: E402
from qc_worker.transport.inspections import InspectionReader, PublishedInspection  # noqa: E402
from qc_worker.transport.kafka_config import KafkaAccess  # noqa: E402
from qc_worker.wire.images import encode_frame  # noqa: E402

LINES = "AB"
HEALTH_PORT = 18_099


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServices() as services:
        environment = _environment(Path(folder), services, options)
        _train(Path(folder), environment)
        access = KafkaAccess(services.bootstrap_servers)
        frames = [Simulation(line, seed=9).frame(index).content for index in range(100) for line in LINES]
        with _worker(environment) as process:
            rounds = [_round(access, frames, options, process) for _ in range(options.rounds)]
            rss_mb = _resident_mb(process.pid)
    print(json.dumps(_summary(rounds, rss_mb, frames, options)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=400, help="frames a round")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity; JSON is all there is")
    return parser.parse_args()


def _environment(folder: Path, services: EmbeddedServices, options: argparse.Namespace) -> dict[str, str]:
    return {
        **os.environ,
        "QC_KAFKA_BOOTSTRAP_SERVERS": services.bootstrap_servers,
        "QC_REDIS_URL": services.redis_url,
        "QC_STATE_DIR": str(folder / "state"),
        "QC_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
        "QC_HEALTH_PORT": str(HEALTH_PORT),
        "QC_MAX_BATCH_SIZE": str(options.batch_size),
    }


def _train(folder: Path, environment: dict[str, str]) -> None:
    _command(environment, "qc_worker.cli", "topics", "--json")
    for line in LINES:
        good = folder / line
        good.mkdir()
        simulation = Simulation(line, seed=1, defect_share=0.0)
        for index in range(60):
            (good / f"{index}.jpg").write_bytes(simulation.frame(index).content)
        _command(environment, "trainer.cli", "import", "--line", line, "--good", str(good), "--json")
        _command(environment, "trainer.cli", "retrain", "--line", line, "--json")


def _command(environment: dict[str, str], module: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _worker(environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "qc_worker.cli", "run", "--log-format", "json"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_until_ready(process: "subprocess.Popen[bytes]") -> None:
    deadline = monotonic() + 120
    while monotonic() < deadline and process.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{HEALTH_PORT}/readyz", timeout=1).close()
        except OSError:
            continue
        return
    raise SystemExit("the worker did not get ready")


def _round(
    access: KafkaAccess, frames: list[bytes], options: argparse.Namespace, process: "subprocess.Popen[bytes]"
) -> dict[str, float]:
    # The worker is stopped while the floor is measured: neither side may take the other's cores.
    process.send_signal(signal.SIGSTOP)
    floor = _floor_fps(options.batch_size)
    process.send_signal(signal.SIGCONT)
    return {"floor_fps": floor, **_worker_side(access, frames, options.frames)}


def _floor_fps(batch_size: int) -> float:
    defaults = defaults_for("efficientnet_lite0")
    backbone = load_backbone("efficientnet_lite0", levels=defaults.levels, weights_dir=Path("none"))
    pixels = torch.randint(0, 255, (batch_size, 3, defaults.input_size, defaults.input_size), dtype=torch.uint8)
    backbone(pixels)
    started, passes = monotonic(), 0
    while monotonic() - started < 4:
        backbone(pixels)
        passes += 1
    return passes * batch_size / (monotonic() - started)


def _worker_side(access: KafkaAccess, frames: list[bytes], count: int) -> dict[str, float]:
    reader = InspectionReader(access, topic="results", from_beginning=False)
    reader.start()
    with CameraProducer(access, topic="images") as camera:
        for number in range(count):
            line = LINES[number % len(LINES)]
            content = frames[number % len(frames)]
            now = datetime.now(UTC)
            camera.send(encode_frame(content, line=line, camera=f"c{number % 6}", captured_at=now))
        camera.flush()
    published: list[PublishedInspection] = []
    while len(published) < count:
        published += reader.poll(timeout_s=0.5)
    reader.close()
    return _figures(published)


def _figures(published: list[PublishedInspection]) -> dict[str, float]:
    """Rate between the first and the last inspection, mean milliseconds in each stage, share with a heatmap."""
    times = sorted(one.inspection.scored_at.timestamp() for one in published)
    stages = [one.inspection.stage_ms for one in published]
    return {
        "worker_fps": (len(times) - 1) / (times[-1] - times[0]),
        "decode_ms": statistics.mean(stage.decode for stage in stages),
        "inference_ms_per_batch": statistics.mean(stage.inference for stage in stages),
        "postprocess_ms": statistics.mean(stage.postprocess for stage in stages),
        "heatmap_share": statistics.mean(one.inspection.heatmap_key is not None for one in published),
    }


def _resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _summary(
    rounds: list[dict[str, float]], rss_mb: float, frames: list[bytes], options: argparse.Namespace
) -> dict[str, object]:
    floor = statistics.median(one["floor_fps"] for one in rounds)
    worker = statistics.median(one["worker_fps"] for one in rounds)
    return {
        "benchmark": "worker",
        "backbone": "efficientnet_lite0",
        "batch_size": options.batch_size,
        "frame_kb": round(statistics.mean(map(len, frames)) / 1000, 1),
        "floor_fps": round(floor, 1),
        "worker_fps": round(worker, 1),
        "worker_over_floor": round(worker / floor, 3),
        "worker_rss_mb": round(rss_mb),
        "rounds": [{name: round(figure, 3) for name, figure in one.items()} for one in rounds],
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
    }


if __name__ == "__main__":
    main()
