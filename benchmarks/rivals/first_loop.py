"""Judge one frame at a time, from poll to commit: the simplest loop, for comparison.

Prints one JSON line with its frames per second. The model is the paper's pipeline in plain PyTorch, as in `score.py`.
"""
# ruff: noqa: E402 -- memory settings must be made before torch is imported

import argparse
import io
import json
import time

from qc_worker.runtime.cores_and_memory import tune_process

tune_process()  # for the rival too, which is slower without it

import numpy as np
import torch
from kafka import KafkaConsumer, KafkaProducer
from PIL import Image

from benchmarks.harness.contestant import SideSpec
from benchmarks.harness.random_models import INPUT_SIZE
from benchmarks.rivals.inference import build

WARM_UP_FRAMES = 5


def main() -> None:
    options = _options()
    model = build(SideSpec("plain", options.backbone, options.weights, options.scratch))
    consumer = KafkaConsumer(
        options.topic,
        bootstrap_servers=options.bootstrap_servers,
        group_id=options.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=options.session_timeout_ms,
        heartbeat_interval_ms=min(3_000, options.session_timeout_ms // 4),
    )
    producer = KafkaProducer(bootstrap_servers=options.bootstrap_servers)
    started_s = 0.0
    for done, message in enumerate(consumer, start=1):
        score = model.score(_pixels(message.value), [0])
        producer.send(options.results_topic, json.dumps({"score": float(score[0])}).encode(), key=message.key)
        producer.flush()
        consumer.commit()
        if done == WARM_UP_FRAMES:
            started_s = time.monotonic()
        if done == WARM_UP_FRAMES + options.frames:
            break
    print(json.dumps({"fps": options.frames / (time.monotonic() - started_s)}))
    consumer.close()
    producer.close()


def _pixels(content: bytes) -> torch.Tensor:
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((INPUT_SIZE, INPUT_SIZE))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("bootstrap-servers", "topic", "results-topic", "group", "backbone", "weights", "scratch"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--session-timeout-ms", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
