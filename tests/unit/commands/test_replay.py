"""In which number format `replay` judges."""

from dataclasses import replace

import pytest
import torch

from qc_worker.commands.replay import in_recorded_format
from qc_worker.settings import Settings
from qc_worker.simplenet.inference.precision import Precision
from tests.support import factories

INSPECTION = factories.outcome(factories.record()).inspection


@pytest.mark.parametrize(
    ("setting", "recorded", "judged_in"),
    [
        ("auto", "float32", "float32"),
        ("auto", "bfloat16", "auto"),  # which is bfloat16 wherever a machine computes in it
        ("auto", None, "auto"),
        ("bfloat16", "float32", "bfloat16"),
        ("float32", "bfloat16", "float32"),
    ],
)
def test_a_replay_judges_in_the_recorded_format_unless_a_setting_asks_for_another(
    setting: Precision, recorded: str | None, judged_in: Precision
) -> None:
    inspection = replace(INSPECTION, precision=recorded)
    assert in_recorded_format(Settings(precision=setting), inspection).precision == judged_in


@pytest.mark.parametrize(("supported", "judged_in"), [(True, "float16"), (False, "auto")])
def test_float16_is_judged_in_float16_where_the_device_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, supported: bool, judged_in: Precision
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_fp16": supported})
    settings = in_recorded_format(Settings(device="cpu"), replace(INSPECTION, precision="float16"))
    assert settings.precision == judged_in


def test_without_an_inspection_the_setting_stays() -> None:
    assert in_recorded_format(Settings(precision="auto"), None).precision == "auto"
