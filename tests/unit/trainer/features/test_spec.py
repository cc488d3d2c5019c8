from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qc_worker.simplenet.spec import EmbeddingSpec
from tests.unit.trainer.factories import small_scorer
from trainer.features.spec import PACKAGES, FeatureSpec, feature_spec

EMBEDDING = EmbeddingSpec(
    backbone="b",
    weights_sha256="00",
    levels=(8, 16),
    patch_size=3,
    input_size=(256, 256),
    aspect="squash",
    grid_stride=8,
)
SPEC = FeatureSpec(embedding=EMBEDDING, precision="float32", patches_per_frame=256, device="cpu")
OTHER: dict[str, Any] = {
    "embedding": replace(EMBEDDING, levels=(8,)),
    "precision": "bfloat16",
    "patches_per_frame": 128,
    "device": "cuda",
    "ignored_sha256": "0" * 64,
    "packages": SPEC.packages | {"timm": "0"},
    "format_version": SPEC.format_version + 1,
    "batch_size": SPEC.batch_size + 1,
}


def test_every_field_is_tried_here() -> None:
    assert set(OTHER) == {field.name for field in fields(FeatureSpec)}


@pytest.mark.parametrize("name", OTHER)
def test_another_value_of_any_field_is_another_folder(name: str) -> None:
    assert replace(SPEC, **{name: OTHER[name]}).digest() != SPEC.digest()


EMBEDDINGS = st.builds(
    EmbeddingSpec,
    backbone=st.sampled_from(["b", "c"]),
    weights_sha256=st.sampled_from(["00", "01"]),
    levels=st.sampled_from([(8,), (16,), (8, 16), (1, 6)]),
    patch_size=st.integers(1, 3),
    input_size=st.sampled_from([(64, 64), (64, 256), (256, 64)]),
    aspect=st.sampled_from(["squash", "pad"]),
)
SPECS = st.builds(
    FeatureSpec,
    embedding=EMBEDDINGS,
    precision=st.sampled_from(["float32", "bfloat16"]),
    patches_per_frame=st.integers(1, 3),
    device=st.sampled_from(["cpu 1 threads", "cpu 11 threads"]),
)


@settings(deadline=None)
@given(one=SPECS, other=SPECS)
def test_folders_are_equal_exactly_if_specs_are(one: FeatureSpec, other: FeatureSpec) -> None:
    assert (one.digest() == other.digest()) == (one == other)


def test_a_scorers_spec_names_its_number_format_threads_and_packages(tmp_path: Path) -> None:
    spec = feature_spec(small_scorer(tmp_path), patches_per_frame=64)
    assert spec.precision == "float32"
    assert f"{torch.get_num_threads()} threads" in spec.device
    assert set(spec.packages) == set(PACKAGES)


def test_features_of_a_gpu_that_rounds_convolutions_are_not_those_of_one_that_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = small_scorer(tmp_path)
    scorer.device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "a GPU")
    digests = set()
    for rounding in ("tf32", "ieee"):
        monkeypatch.setattr(torch.backends.cudnn, "conv", SimpleNamespace(fp32_precision=rounding), raising=False)
        digests.add(feature_spec(scorer, patches_per_frame=64).digest())
    assert len(digests) == 2
