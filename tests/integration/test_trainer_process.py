"""The real `qc-trainer`, from outside: exit codes, one line for an error, nothing half-written."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qc_worker.domain.feedback import Judgement
from tests.conftest import eventually
from tests.integration.conftest import RunTrainer
from tests.unit.trainer.factories import LINE, filled_store, imported, png, write_images
from trainer.samples.store import SampleStore

QUICK = ("--offline", "--input-size", "64", "--steps", "150", "--json")
ENDLESS = ("--offline", "--input-size", "64", "--steps", "1000000")

NEARLY_FULL = """
import resource, sys
from trainer.cli import main
limit = int(sys.argv.pop())
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
main()
"""


def start(state: Path, *arguments: str, program: tuple[str, ...] = ("-m", "trainer.cli")) -> "subprocess.Popen[str]":
    environment = {**os.environ, "QC_STATE_DIR": str(state), "QC_TORCH_THREADS": "1", "TMPDIR": str(state)}
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        env=environment,
        cwd=state,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=150)
    return process.returncode, out, err


def files(folder: Path) -> set[str]:
    """All but kept features, which are there to outlive whatever happens, and whole or absent."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return {
        path for path in found if not re.fullmatch(r"features/[0-9a-f]{64}/([0-9a-f-]+\.features|spec\.json)", path)
    }


def holds_lock(state: Path) -> bool:
    return (state / "samples" / ".A.lock").exists()


def test_every_error_is_one_line_and_an_exit_code(tmp_path: Path, run_trainer: RunTrainer) -> None:
    broker_away = ("retrain", "--line", "A", "--kafka", "127.0.0.1:1")
    expected = {
        ("retrain", "--line", "A", "--offline"): "0 good samples are too few",
        ("retrain", "--line", "../../etc", "--offline"): "is not a line",
        ("retrain", "--line", "A", "--max-false-reject", "2"): "must lie between 0 and 1",
        ("retrain", "--line", "A", "--offline", "--backbone", "nope"): "no backbone named",
        ("retrain", "--line", "A", "--offline", "--max-cost", "nan"): "--max-cost must be 0.1 to 64, not nan",
        ("retrain", "--line", "A", "--offline", "--max-cost", "65"): "--max-cost must be 0.1 to 64, not 65",
        ("evaluate", "--line", "A", "--dataset", "."): "does not have the layout of MVTec",
        ("evaluate", "--line", "A", "--dataset", ".", "--report", "nowhere/r.html"): "there is no folder nowhere",
        ("evaluate", "--line", "A", "--dataset", ".", "--report", "."): "is a folder",
        ("import", "--line", "A"): "nothing to import",
        ("import", "--line", "A", "--good", "nowhere"): "is not a folder",
        ("promote", "--line", "A", "--version", "v1"): "has no model yet",
        ("rollback", "--line", "A"): "no earlier live version",
        ("threshold", "--line", "A", "--score", "1"): "has no model yet",
        ("threshold", "--line", "../A"): "is not a line",
        ("threshold", "--line", "A", "--version", "../v1"): "is not a model version",
        ("threshold", "--line", "A", "--score", "nan"): "--score must be a finite number, not nan",
        ("threshold", "--line", "A", "--score", "-inf"): "--score must be a finite number, not -inf",
        ("threshold", "--line", "A", "--max-false-reject", "nan"): "must lie between 0 and 1",
        ("threshold", "--line", "A", "--score", "1", "--max-false-reject", "0.1"): "give one of them",
        ("threshold", "--line", "A", "--review-rate", "0.1"): "needs --max-false-reject or --score",
        ("threshold", "--line", "A", "--what-if", "--review-rate", "1"): "--review-rate must lie between 0",
        broker_away: "--offline retrains without a broker",
    }
    for ended, (command, message) in zip(run_trainer(*expected), expected.items(), strict=True):
        last = ended.err.strip().splitlines()[-1]
        assert (ended.code, ended.out) == (75 if command == broker_away else 2, ""), ended.err
        assert last.startswith("error: ")
        assert message in last
        assert "Traceback" not in ended.err


def test_each_command_prints_one_json_object(tmp_path: Path, run_trainer: RunTrainer) -> None:
    write_images(tmp_path / "good", 24)
    write_images(tmp_path / "set" / "test" / "good", 3, first_seed=100)
    write_images(tmp_path / "set" / "test" / "blot", 3, first_seed=200, defect=True)
    imported, retrained, evaluated, versions, lines = (
        ended.document
        for ended in run_trainer(
            ("import", "--line", "A", "--good", "good", "--json"),
            ("retrain", "--line", "A", *QUICK),
            ("evaluate", "--line", "A", "--dataset", "set", "--report", "r.html", "--json"),
            ("versions", "--line", "A", "--json"),
            ("lines", "--json"),
        )
    )
    assert imported["good"]["added"] == 24
    assert (retrained["training_samples"], retrained["calibration_samples"]) == (24, 24)
    assert retrained["calibrate_by"] == "cross"
    assert retrained["max_false_reject"] == pytest.approx(1 / 25)
    assert (evaluated["version"], evaluated["n"]) == (retrained["version"], 6)
    assert set(evaluated["recall_at"]) == {"0.01", "0.02", "0.05"}
    assert (evaluated["masks"]["found"], evaluated["masks"]["missing"], evaluated["mask_overlap"]) == (0, 3, None)
    report = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"<dd>{retrained['version']}</dd>" in report
    assert "Line A on set" in report
    assert report.count("data:image/jpeg;base64,") == 2 * 6 - 2 * evaluated["verdicts"]["good"].get("pass", 0)
    assert (retrained["features_computed"], retrained["features_cached"]) == (24, 0)
    assert [entry["live"] for entry in versions["versions"]] == [False]
    assert lines == {"lines": [{"line": "A", "good": 24, "defect": 0, "versions": 1, "live": None}]}


def test_a_model_is_measured_on_the_lines_own_defects_and_on_good_samples_that_it_has_not_seen(
    tmp_path: Path, run_trainer: RunTrainer
) -> None:
    store = SampleStore(tmp_path / "samples")
    for seed in range(24):
        store.add(LINE, Judgement.GOOD, png(seed), origin=imported())
    for seed in range(3):
        kind = "blot" if seed else None
        store.add(LINE, Judgement.DEFECT, png(200 + seed, defect=True), origin=imported(), kind=kind)
    write_images(tmp_path / "new", 4, first_seed=100)
    evaluate = ("evaluate", "--line", "A", "--report", "r.html", "--json")
    retrained, none_unseen, _, evaluated = run_trainer(
        ("retrain", "--line", "A", *QUICK), evaluate, ("import", "--line", "A", "--good", "new"), evaluate
    )
    assert (retrained.code, none_unseen.code) == (0, 2)
    assert "trained on all good samples of line A" in none_unseen.err
    found = evaluated.document
    assert {kind: sum(counts.values()) for kind, counts in found["verdicts"].items()} == {
        "good": 4,
        "blot": 2,
        "defect": 1,
    }
    assert found["masks"]["looked_for"] == []
    assert "Line A on its own samples" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_auto_takes_the_input_size_from_the_good_frames_and_says_why(tmp_path: Path, run_trainer: RunTrainer) -> None:
    store = SampleStore(tmp_path / "samples")
    for seed in range(24):
        store.add(LINE, Judgement.GOOD, png(seed, size=160), origin=imported())
    quick = ("retrain", "--line", "A", "--offline", "--dry-run", "--steps", "40", "--json")
    *documented, too_many_tiles = run_trainer(
        quick,
        (*quick, "--max-cost", "0.2"),
        (*quick, "--max-cost", "0.2", "--input-size", "128x160"),
        (*quick, "--tiles", "8"),
    )
    native, bounded, given = (ended.document for ended in documented)
    assert (native["input_size"], native["cost"]) == ([160, 160], 0.391)
    assert native["input_size_reason"] == "frames of 160 x 160 px, as large as they are"
    assert native["frames_per_s"] > 0
    assert bounded["input_size"] == [96, 96]
    assert bounded["input_size_reason"] == "frames of 160 x 160 px, made smaller for --max-cost 0.2"
    assert given["input_size"] == [128, 160]
    assert "--max-cost 0.2 is a bound for auto only" in given["input_size_reason"]
    assert too_many_tiles.code == 2
    assert "input size 160x160 is too small for 8 tiles" in too_many_tiles.err.splitlines()[-1]


def test_a_threshold_is_shown_and_moved_without_a_broker(tmp_path: Path, run_trainer: RunTrainer) -> None:
    filled_store(tmp_path / "samples", good=60, defect=3)
    line = ("--line", "A", "--json")
    retrained, shown, what_if, moved, away, too_low, versions = run_trainer(
        ("retrain", *line, *QUICK[:-1]),
        ("threshold", *line, "--offline"),
        ("threshold", *line, "--offline", "--what-if", "--score", "1e9"),
        ("threshold", *line, "--offline", "--max-false-reject", "0.2"),
        ("threshold", *line, "--kafka", "127.0.0.1:1"),
        ("threshold", *line, "--offline", "--score", "-1e9"),
        ("versions", *line),
    )
    held_out = retrained.document["calibration_samples"]
    rows = shown.document["rows"]
    assert (shown.document["defects"], shown.document["inspections"]) == (3, None)
    assert [row["threshold"] for row in rows if row["current"]] == [retrained.document["threshold"]]
    assert rows[-1]["max_false_reject"] == 0.2
    assert {row["verdicts"] for row in rows} == {None}
    asked_for = next(row for row in what_if.document["rows"] if row["asked_for"])
    assert asked_for["max_false_reject"] == pytest.approx(1 / (held_out + 1))
    assert asked_for["defects_rejected"] == 0.0
    assert (moved.document["announced"], moved.document["max_false_reject"]) == (False, 0.2)
    assert moved.document["head_of"] == retrained.document["version"]
    assert (away.code, too_low.code) == (75, 2)
    assert "with --offline" in away.err
    assert "would reject all" in too_low.err
    assert [entry["head_of"] for entry in versions.document["versions"]] == [None, retrained.document["version"]]
    assert len(list((tmp_path / "models" / "A").glob("*/head.safetensors"))) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_half_way_leaves_nothing_behind_but_features(tmp_path: Path, number: signal.Signals) -> None:
    filled_store(tmp_path / "samples", good=24)
    before = files(tmp_path)
    process = start(tmp_path, "retrain", "--line", "A", *ENDLESS)
    eventually(lambda: holds_lock(tmp_path), timeout_s=60)
    process.send_signal(number)
    code, out, err = finish(process)
    assert (code, out) == (130, "")
    assert err.strip().splitlines()[-1] == "interrupted"
    assert "Traceback" not in err
    assert files(tmp_path) - {"samples/.A.lock"} == before


def test_two_retrains_of_one_line_do_not_run_at_once(tmp_path: Path) -> None:
    filled_store(tmp_path / "samples", good=24)
    first = start(tmp_path, "retrain", "--line", "A", *ENDLESS)
    eventually(lambda: holds_lock(tmp_path), timeout_s=60)
    code, _, err = finish(start(tmp_path, "retrain", "--line", "A", *QUICK))
    first.send_signal(signal.SIGINT)
    finish(first)
    assert code == 2
    assert "line A is being retrained or released by another process" in err


@pytest.mark.parametrize("limit", [20_000, 2_000])
def test_a_disk_that_fills_up_leaves_no_version_and_no_leftovers(tmp_path: Path, limit: int) -> None:
    """With the lower limit not even a frame's features can be written."""
    filled_store(tmp_path / "samples", good=24)
    before = files(tmp_path)
    arguments = ("retrain", "--line", "A", *QUICK, str(limit))
    code, out, err = finish(start(tmp_path, *arguments, program=("-c", NEARLY_FULL)))
    assert (code, out) == (2, "")
    assert "File too large" in err
    assert "Traceback" not in err
    assert files(tmp_path) - {"samples/.A.lock"} == before


def test_a_retrain_killed_in_mid_fit_finds_its_features_again(tmp_path: Path) -> None:
    filled_store(tmp_path / "samples", good=24)
    process = start(tmp_path, "retrain", "--line", "A", *ENDLESS)
    eventually(lambda: len(list(tmp_path.glob("features/*/*.features"))) > 24, timeout_s=60)  # and synthetic ones
    process.kill()
    finish(process)
    code, out, err = finish(start(tmp_path, "retrain", "--line", "A", *QUICK))
    assert code == 0, err
    assert (json.loads(out)["features_computed"], json.loads(out)["features_cached"]) == (0, 24)
