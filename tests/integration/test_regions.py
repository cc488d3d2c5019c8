"""Regions from outside: drawn, retrained with, judged by."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from pydantic import TypeAdapter

from qc_worker.domain.inspection import Mask
from qc_worker.imaging.run_lengths import decode_mask
from tests.integration.conftest import RunTrainer
from tests.integration.test_trainer_process import QUICK
from tests.support.injected import Commands
from tests.unit.trainer.factories import png, write_images

LEFT_HALF = {"size": [48, 48], "polygons": [[[0, 0], [25, 0], [25, 48], [0, 48]]]}
"""The blot of a defect lies in it."""


def test_a_defect_in_the_ignored_region_passes_and_elsewhere_it_is_rejected(
    tmp_path: Path, run_trainer: RunTrainer, commands: Commands
) -> None:
    write_images(tmp_path / "good", 24)
    (tmp_path / "ignored.json").write_text(json.dumps(LEFT_HALF))
    defect = Image.open(io.BytesIO(png(500, defect=True)))
    defect.save(tmp_path / "inside.png")
    ImageOps.mirror(defect).save(tmp_path / "outside.png")
    ended = run_trainer(
        ("import", "--line", "A", "--good", "good"),
        ("regions", "--line", "A", "--ignore", "ignored.json", "--show", "shown.png", "--json"),
        ("retrain", "--line", "A", *QUICK),
    )
    drawn, retrained = ended[1].document, ended[2].document
    assert (drawn["size"], drawn["takes_effect"]) == ([48, 48], "with the next retrain")
    assert 0.5 < drawn["ignored_share"] < 0.6
    assert Image.open(tmp_path / "shown.png").size == (768, 768)
    assert abs(retrained["ignored_share"] - drawn["ignored_share"]) < 0.02

    score = ("score", "--line", "A", "--json", "--heatmaps", "heat", "inside.png", "outside.png")
    scored = commands.run("qc-worker", *score, cwd=tmp_path, environment={"QC_STATE_DIR": str(tmp_path)})
    inside, outside = scored.document["files"]
    assert (inside["verdict"], inside["defects"]) == ("pass", [])
    assert outside["verdict"] == "reject"
    mask = decode_mask(TypeAdapter(Mask).validate_python(outside["mask"]))
    assert mask.any()
    assert not mask[:, : mask.shape[1] // 2].any()
    assert all(defect["x"] >= 24 for defect in outside["defects"])
    hatched = np.asarray(Image.open(tmp_path / "heat" / "inside.png"))
    assert np.ptp(hatched[24, :24].astype(int), axis=-1).max() == 0  # lines on a grey picture, no heat


def test_regions_are_printed_cleared_and_refused_in_one_line(tmp_path: Path, run_trainer: RunTrainer) -> None:
    write_images(tmp_path / "good", 2)
    (tmp_path / "ignored.json").write_text(json.dumps(LEFT_HALF))
    (tmp_path / "wide.json").write_text(json.dumps(LEFT_HALF | {"size": [24, 48]}))
    (tmp_path / "all.json").write_text(json.dumps(LEFT_HALF | {"polygons": [[[0, 0], [99, 0], [99, 99], [0, 99]]]}))
    (tmp_path / "broken.json").write_text('{"size": [48, 48], "polygons": [[[0, 0], [1, 1]]]}')
    line = ("regions", "--line", "A")
    imported, none, only, kept, cleared, *refused = run_trainer(
        ("import", "--line", "A", "--good", "good"),
        (*line, "--json"),
        (*line, "--only", "ignored.json", "--json"),
        line,
        (*line, "--clear", "--json"),
        (*line, "--ignore", "wide.json"),
        (*line, "--ignore", "all.json"),
        (*line, "--ignore", "ignored.json", "--only", "wide.json"),
        (*line, "--ignore", "broken.json"),
        (*line, "--ignore", "good/000.jpg"),
        (*line, "--clear", "--only", "all.json"),
        (*line, "--show", "ignored.json/shown.png"),
        ("regions", "--line", "../A", "--clear"),
        ("regions", "--line", "B", "--show", "shown.png"),
    )
    assert imported.code == 0
    assert none.document == {"line": "A", "size": None, "ignored_share": 0, "takes_effect": None, "shown": None}
    assert 0.4 < only.document["ignored_share"] < 0.5
    assert "48 x 48" in kept.out
    assert "next retrain" not in kept.out
    assert (cleared.document["ignored_share"], cleared.document["takes_effect"]) == (0, "with the next retrain")
    expected = [
        "do not fit pictures of 48 x 48",
        "nothing would be left to judge",
        "different sizes",
        "polygons.0: Tuple should have at least 3 items",
        "No such file",
        "without --ignore and --only",
        "cannot read or write",
        "is not a line",
        "has no good sample",
    ]
    for ended, message in zip(refused, expected, strict=True):
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err.strip().splitlines()[-1]
        assert "Traceback" not in ended.err
    assert list(tmp_path.glob("samples/A/regions.png")) == []
