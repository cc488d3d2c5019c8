"""Measure how many frames a second a model judges on this machine."""

from collections.abc import Sequence

import torch

from qc_worker.ports.clock import Clock
from qc_worker.simplenet.inference.folded import FoldedHead
from qc_worker.simplenet.inference.scorer import Scorer
from trainer.samples.reading import SampleReader

BATCH_SIZE = 8
"""Frames in a batch: a worker's default."""
ROUNDS = 2
"""The quickest round counts: the first one may still allocate memory."""
SHORTEST_S = 1e-9


def measure_frames_per_s(
    scorer: Scorer, head: FoldedHead, reader: SampleReader, samples: Sequence[str], *, clock: Clock
) -> float:
    """Return frames per second of model passes only: backbone, head and anomaly map, until scores are on the CPU."""
    batch = next(reader.batches(samples[:BATCH_SIZE]))
    heads = [head] * len(batch.pixels)
    durations_s = []
    with torch.inference_mode():
        for _ in range(ROUNDS):
            started_s = clock.monotonic()
            scorer.score(batch.pixels, heads, boxes=batch.boxes).scores.tolist()
            durations_s.append(clock.monotonic() - started_s)
    return len(heads) / max(min(durations_s), SHORTEST_S)
