import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.products.one_run import RunCache, product_at
from benchmarks.products.ours import NO_DISCRIMINATOR, OURS, can_leave_discriminator_out
from benchmarks.rivals.accuracy import MAX_BANK_ROWS, Rival, SeparableBlur, run_rival, see
from benchmarks.rivals.anomalib import has_anomalib, layer_names, local_backbone, patchcore
from qc_worker.embedded.simulation.parts_line import write_dataset
from qc_worker.imaging.image_files import image_files
from qc_worker.imaging.preprocessing import decode_picture
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0
from tests.unit.trainer.factories import INPUT_SIZE, LIMITS, write_images

ROOT = Path(__file__).parents[2]
SCRIPT = [sys.executable, "benchmarks/accuracy.py"]
BACKBONE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def two_products(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("sets")
    write_dataset(folder / "masked", line="A", seed=5, train_good=40, test_good=12, test_per_defect=2)
    write_dataset(folder / "plain", line="B", seed=6, train_good=30, test_good=8, test_per_defect=2)
    shutil.rmtree(folder / "plain" / "ground_truth")
    return [folder / "masked", folder / "plain"]


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [*SCRIPT, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def document(ended: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert ended.returncode == 0, ended.stderr
    printed: dict[str, Any] = json.loads(ended.stdout)
    return printed


def test_ours_on_two_products_then_again_from_the_cache(two_products: list[Path], tmp_path: Path) -> None:
    small = ["--input-size", "256", "--splits", "5", "--without-rivals"]
    common = ["--datasets", *two_products, *small, "--cache", tmp_path / "kept"]
    first = document(run(*common, "--seeds", "1", "--table", tmp_path / "table.md"))
    masked, plain = (first["products"][name][OURS] for name in ("masked", "plain"))
    assert masked["mean"]["image_auroc"] > 0.8
    assert masked["mean"]["aupro"] > 0.8
    assert masked["mean"]["mask_iou_at_5"] > 0
    assert masked["mean"]["train_s"] > 0
    assert plain["mean"]["aupro"] is None
    assert plain["mean"]["reject_rate"] is not None
    assert first["overall"][OURS]["products"] == 2
    worst = min(row["mean"]["image_auroc"] for row in (masked, plain))
    assert first["overall"][OURS]["worst"]["image_auroc"] == worst
    assert first["test_frames"]["masked"]["good"] == 12
    assert first["false_rejects"]["masked"]
    table = (tmp_path / "table.md").read_text()
    assert f"| product | {OURS} |" in table
    assert "| worst |" in table

    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()}
    again = run(*common, "--seeds", "1")
    assert document(again)["products"] == first["products"]
    assert "to train" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").iterdir()} == kept


@pytest.mark.skipif(not can_leave_discriminator_out(), reason="training settings have no `learned_weight`")
def test_ours_has_a_row_without_discriminator(two_products: list[Path]) -> None:
    small = ["--input-size", "128", "--splits", "5", "--without-rivals"]
    found = document(run("--datasets", two_products[1], *small, "--seeds", "1"))
    assert NO_DISCRIMINATOR in found["products"]["plain"]


@pytest.mark.skipif(not has_anomalib(), reason="an extra: pip install 'qc-worker[bench]'")
def test_rivals_stand_beside_ours_at_both_sizes(two_products: list[Path]) -> None:
    found = document(
        run(
            "--datasets",
            two_products[1],
            "--splits",
            "5",
            "--seeds",
            "1",
            "--rival-levels",
            "16",
            "--input-size",
            "128",
        )
    )
    rows = found["products"]["plain"]
    assert rows[OURS]["input_size"] == [128, 128]
    for method in ("PatchCore", "PaDiM"):
        assert rows[f"{method} 16, 256 px"]["input_size"] == [256, 256]
        assert rows[f"{method} 16, size of ours"]["input_size"] == [128, 128]
    duel = found["contests"]["size of ours"]["products"]["plain"]
    assert duel["ahead"] == pytest.approx(duel["ours"] - duel["of_rival"], abs=1e-4)
    assert found["contests"]["256 px"]["sides"] == ["PatchCore 16, 256 px", "PaDiM 16, 256 px"]
    assert str(MAX_BANK_ROWS) in found["patchcore_bank"]


@pytest.mark.skipif(not has_anomalib(), reason="an extra: pip install 'qc-worker[bench]'")
def test_rivals_score_as_anomalib_does_with_its_own_feature_extractor(tmp_path: Path) -> None:
    write_images(tmp_path / "set" / "train" / "good", 8)
    write_images(tmp_path / "set" / "test" / "good", 2, first_seed=50)
    write_images(tmp_path / "set" / "test" / "blot", 2, first_seed=60, defect=True)
    product = product_at(tmp_path / "set")
    weights = packaged_efficientnet_lite0(tmp_path)
    backbone = load_backbone(BACKBONE, levels=(8, 16, 32), weights_dir=tmp_path, file=weights)
    seen = see(product, backbone, weights, scratch=tmp_path, input_size=(INPUT_SIZE, INPUT_SIZE))
    found = run_rival(Rival("PatchCore", (8, 16)), seen, seed=3)
    assert (found.frames, found.levels) == (8, (8, 16))

    model: Any = patchcore(local_backbone(BACKBONE, weights, tmp_path / "own"), layer_names(BACKBONE, (8, 16)))

    def judge(path: Path) -> Any:
        picture = decode_picture(path.read_bytes(), input_size=(INPUT_SIZE, INPUT_SIZE), aspect="squash", limits=LIMITS)
        return model((picture.pixels[None].float() - backbone.mean) / backbone.std)

    model.train()
    model.feature_extractor.eval()
    torch.manual_seed(3)
    for path in image_files(product.good):
        judge(path)
    patches = torch.vstack(model.embedding_store)
    model.memory_bank = patches[torch.randperm(len(patches))[: round(0.1 * len(patches))]]
    model.eval()
    with torch.no_grad():
        scores = [judge(image.path).pred_score.item() for image in product.images]
    np.testing.assert_allclose([*found.scores["good"], *found.scores["blot"]], scores, rtol=1e-3)


@pytest.mark.skipif(not has_anomalib(), reason="an extra: pip install 'qc-worker[bench]'")
def test_maps_of_rivals_are_blurred_as_anomalib_blurs_them() -> None:
    from anomalib.models.components import GaussianBlur2d

    blur = GaussianBlur2d(kernel_size=(33, 33), sigma=(4.0, 4.0), channels=1)
    maps = torch.rand(2, 1, 48, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(SeparableBlur(blur)(maps), blur(maps), rtol=1e-5, atol=1e-6)


def test_a_kept_run_of_a_former_program_is_left_aside(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text('{"side": "ours"}')
    assert RunCache(tmp_path).get("old") is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--datasets", "absent"], "is not a folder"),
        (["--datasets", "{set}", "{set}"], "two data sets are named"),
        (["--datasets", "{set}", "--input-size", "huge"], "--input-size: 'huge'"),
        (["--datasets", "{set}", "--table", "absent/table.md"], "--table: there is no folder absent"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(arguments: list[str], said: str, two_products: list[Path]) -> None:
    ended = run(*(argument.format(set=two_products[1]) for argument in arguments))
    assert ended.returncode == 2
    assert said in ended.stderr.strip().splitlines()[-1]
    assert ended.stderr.strip().splitlines()[-1].startswith("accuracy.py: ")
