"""Vision transformers as backbones; random weights, for none can be had here."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.layers.pos_embed import resample_abs_pos_embed

from qc_worker.domain.errors import ModelError
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.inference.compilation import compiled
from qc_worker.simplenet.patch_features import AggregatedLevels
from tests.unit.simplenet.factories import an_embedding_spec, random_weights
from trainer.fitting.defaults import BackboneDefaults, defaults_for, with_strides

TINY = "test_vit2"  # timm's own for tests: 64 channels, 8 blocks, patches of 16, embeddings for 160 px
PUBLISHED = {
    "vit_small_patch14_dinov2": 14,
    "vit_small_patch14_reg4_dinov2": 14,
    "vit_small_patch16_dinov3": 16,
    "vit_small_patch16_224": 16,
}


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    for name in (*PUBLISHED, TINY, "mixer_s16_224"):
        random_weights(folder, name)
    return folder


def pixels(height: int, width: int, count: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(height * width)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=random)


def changed(weights_dir: Path, folder: Path, name: str, changes: dict[str, torch.Tensor]) -> Backbone:
    """The backbone with tensors of its file replaced."""
    state = load_file(weights_dir / f"{name}.safetensors")
    assert changes.keys() <= state.keys()
    save_file({**state, **changes}, folder / f"{name}.safetensors")
    return load_backbone(name, levels=(PUBLISHED.get(name, 16),), weights_dir=folder)


def silent_blocks(weights_dir: Path, name: str) -> dict[str, torch.Tensor]:
    """Zeros where blocks would add to a token: what goes in comes out."""
    state = load_file(weights_dir / f"{name}.safetensors")
    ends = ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias")
    return {key: torch.zeros_like(tensor) for key, tensor in state.items() if key.endswith(ends)}


@pytest.mark.parametrize(("name", "stride"), PUBLISHED.items())
@pytest.mark.parametrize(("height", "width"), [(112, 224), (100, 75)])
def test_the_map_has_a_cell_for_every_patch_begun(
    name: str, stride: int, height: int, width: int, weights_dir: Path
) -> None:
    backbone = load_backbone(name, levels=(stride,), weights_dir=weights_dir)
    (level_map,) = backbone(pixels(height, width))
    assert backbone.channels == (384,)
    assert level_map.shape == (2, 384, -(-height // stride), -(-width // stride))
    assert bool(torch.isfinite(level_map).all())


@pytest.mark.parametrize("name", ["vit_small_patch14_dinov2", "vit_small_patch14_reg4_dinov2", "vit_small_patch16_224"])
def test_each_cell_is_its_own_patch_without_class_and_register_tokens(
    name: str, weights_dir: Path, tmp_path: Path
) -> None:
    """With blocks that add nothing a cell is its patch's embedding: a token kept would shift them all."""
    backbone = changed(weights_dir, tmp_path, name, silent_blocks(weights_dir, name))
    stride, frames = PUBLISHED[name], pixels(112, 224)
    network: Any = backbone.network
    positions = network.pos_embed[:, -network.patch_embed.num_patches :]
    patches = network.patch_embed.proj((frames.float() - backbone.mean) / backbone.std)
    size = [112 // stride, 224 // stride]
    own = resample_abs_pos_embed(positions, size, network.patch_embed.grid_size, num_prefix_tokens=0)
    expected = patches + own.transpose(1, 2).reshape(1, -1, *size)
    torch.testing.assert_close(backbone(frames)[0], expected, rtol=1e-4, atol=1e-4)


def test_a_register_tokens_place_is_not_in_the_map(weights_dir: Path, tmp_path: Path) -> None:
    name = "vit_small_patch14_reg4_dinov2"
    loud = {"reg_token": torch.full((1, 4, 384), 1e4), "cls_token": torch.full((1, 1, 384), 1e4)}
    backbone = changed(weights_dir, tmp_path, name, silent_blocks(weights_dir, name) | loud)
    assert float(backbone(pixels(112, 112))[0].abs().max()) < 1e3


@pytest.mark.parametrize("name", PUBLISHED)
def test_positions_fit_the_frame_as_if_the_network_were_built_for_it(name: str, weights_dir: Path) -> None:
    """Rotary embeddings (DINOv3) and learned ones alike, for frames that are not square."""
    stride = PUBLISHED[name]
    size = (stride * 6, stride * 10)
    built: Any = timm.create_model(
        name,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(weights_dir / f"{name}.safetensors")},
        img_size=size,
    ).eval()
    backbone = load_backbone(name, levels=(stride,), weights_dir=weights_dir)
    frames = pixels(*size)
    with torch.no_grad():
        normalised = (frames.float() - backbone.mean) / backbone.std
        (expected,) = built.forward_intermediates(normalised, indices=[7], intermediates_only=True)
    torch.testing.assert_close(backbone(frames)[0], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("height", "width"), [(80, 80), (160, 160), (320, 240)])
def test_position_embeddings_are_stretched_over_the_frame(
    height: int, width: int, weights_dir: Path, tmp_path: Path
) -> None:
    """A ramp from the left to the right of the embeddings' grid is one over the frame, whatever its size."""
    state = load_file(weights_dir / f"{TINY}.safetensors")
    ramp = torch.linspace(-1, 1, 10).expand(10, 10).reshape(1, 100, 1).expand(1, 100, 64)
    prefix = state["pos_embed"].shape[1] - 100
    changes = silent_blocks(weights_dir, TINY) | {
        "patch_embed.proj.weight": torch.zeros_like(state["patch_embed.proj.weight"]),
        "patch_embed.proj.bias": torch.zeros_like(state["patch_embed.proj.bias"]),
        "pos_embed": torch.cat([torch.full((1, prefix, 64), 9.0), ramp], dim=1),
    }
    level_map = changed(weights_dir, tmp_path, TINY, changes)(pixels(height, width))[0][0, 0]
    columns = level_map[level_map.shape[0] // 2]
    assert bool((columns.diff() > 0).all())
    torch.testing.assert_close(columns, -columns.flip(0), rtol=0, atol=1e-3)
    assert 0.85 < float(columns[-1]) < 1.15


def test_a_frame_that_is_no_multiple_of_the_patches_is_stretched_to_one(weights_dir: Path) -> None:
    backbone = load_backbone(TINY, levels=(16,), weights_dir=weights_dir)
    frame = pixels(1, 1).float().expand(2, 3, 100, 75).to(torch.uint8)
    torch.testing.assert_close(backbone(frame)[0], backbone(frame[:, :, :1, :1].expand(2, 3, 112, 80))[0])


def test_weights_with_position_embeddings_of_another_size_are_resampled(weights_dir: Path, tmp_path: Path) -> None:
    state = load_file(weights_dir / f"{TINY}.safetensors")
    smaller = resample_abs_pos_embed(
        state["pos_embed"], [7, 7], [10, 10], num_prefix_tokens=state["pos_embed"].shape[1] - 100
    )
    save_file({**state, "pos_embed": smaller.contiguous()}, tmp_path / f"{TINY}.safetensors")
    (level_map,) = load_backbone(TINY, levels=(16,), weights_dir=tmp_path)(pixels(112, 112))
    assert level_map.shape == (2, 64, 7, 7)


def as_published(name: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """timm's tensors under the names of their authors."""
    width = state["cls_token"].shape[-1]
    theirs = {**state, "mask_token": torch.zeros(1, width)}
    if name.endswith("reg4_dinov2"):
        theirs["register_tokens"] = theirs.pop("reg_token")
        # The class token has a position of its own there, which timm adds to the token.
        theirs["pos_embed"] = torch.cat([torch.ones(1, 1, width), state["pos_embed"]], dim=1)
        theirs["cls_token"] = state["cls_token"] - 1
    if name.endswith("dinov3"):
        theirs["storage_tokens"] = theirs.pop("reg_token")
        theirs["rope_embed.periods"] = torch.ones(16)
        gammas = [key for key in theirs if "gamma_" in key]
        theirs |= {key.replace("gamma_", "ls") + ".gamma": theirs.pop(key) for key in gammas}
        theirs |= {f"blocks.{block}.attn.qkv.bias": torch.zeros(3 * width) for block in range(12)}
    return theirs


@pytest.mark.parametrize("name", [name for name in PUBLISHED if "dinov" in name])
def test_weights_as_their_authors_publish_them_are_renamed(
    name: str, weights_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stride = PUBLISHED[name]
    torch.save(as_published(name, load_file(weights_dir / f"{name}.safetensors")), tmp_path / f"{name}.pth")
    own, theirs = (load_backbone(name, levels=(stride,), weights_dir=folder) for folder in (weights_dir, tmp_path))
    frames = pixels(4 * stride, 5 * stride)
    torch.testing.assert_close(own(frames), theirs(frames), rtol=1e-4, atol=1e-4)
    assert capfd.readouterr().out == "", "it would spoil --json"


def test_biases_that_a_network_lacks_are_not_dropped(weights_dir: Path, tmp_path: Path) -> None:
    name = "vit_small_patch16_dinov3"
    theirs = as_published(name, load_file(weights_dir / f"{name}.safetensors"))
    theirs["blocks.3.attn.qkv.bias"][0] = 0.1
    torch.save(theirs, tmp_path / f"{name}.pth")
    with pytest.raises(ModelError, match=f"use {name}_qkvb"):
        load_backbone(name, levels=(16,), weights_dir=tmp_path)


def test_the_map_comes_from_the_block_at_two_thirds_of_the_depth(weights_dir: Path) -> None:
    backbone = load_backbone("vit_small_patch16_224", levels=(16,), weights_dir=weights_dir)
    network: Any = backbone.network
    assert len(network.blocks) == 8, "of 12; those above are not kept"


@pytest.mark.parametrize("name", [TINY, "vit_small_patch14_reg4_dinov2", "vit_small_patch16_dinov3"])
def test_bfloat16_gives_nearly_the_same_map(name: str, weights_dir: Path) -> None:
    stride = PUBLISHED.get(name, 16)
    backbone = load_backbone(name, levels=(stride,), weights_dir=weights_dir)
    frames = pixels(stride * 5, stride * 7)
    (exact,) = backbone(frames)
    (rounded,) = backbone.compute_in(torch.bfloat16)(frames)
    assert rounded.dtype is torch.bfloat16
    assert float(F.cosine_similarity(rounded.float(), exact, dim=1).min()) > 0.995


@pytest.mark.skipif(not shutil.which("g++"), reason="needs g++")
@pytest.mark.parametrize("side", [160, 100])
def test_one_compiled_graph_takes_all_batch_sizes(side: int, weights_dir: Path) -> None:
    backbone_pass = an_embedding_spec(levels=(16,), patch_size=1, input_size=(side, side)).backbone_pass
    levels = AggregatedLevels(load_backbone(TINY, levels=(16,), weights_dir=weights_dir), backbone_pass).eval()
    compute = compiled(levels, input_size=(side, side), max_batch_size=4, device=torch.device("cpu"))
    assert compute is not levels
    with torch.no_grad(), torch._dynamo.config.patch(error_on_recompile=True):
        for count in (1, 3, 2, 4):
            frames = pixels(side, side, count).contiguous(memory_format=torch.channels_last)
            torch.testing.assert_close(compute(frames), levels(frames), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("levels", [(8,), (16, 32), ()])
def test_a_stride_that_a_vit_lacks_is_refused_with_the_one_it_has(levels: tuple[int, ...], weights_dir: Path) -> None:
    with pytest.raises(ModelError, match=f"{TINY} has feature maps of strides 16 only"):
        load_backbone(TINY, levels=levels, weights_dir=weights_dir)


def test_weights_for_other_patches_are_refused(weights_dir: Path) -> None:
    file = weights_dir / "vit_small_patch16_224.safetensors"
    with pytest.raises(ModelError, match="patch_embed"):
        load_backbone("vit_small_patch32_224", levels=(32,), weights_dir=weights_dir, file=file)


@pytest.mark.parametrize("other", ["mixer_s16_224", "vit_small_patch16_dinov3", "vit_small_patch14_reg4_dinov2"])
def test_weights_of_another_network_are_refused(other: str, weights_dir: Path) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        load_backbone(TINY, levels=(16,), weights_dir=weights_dir, file=weights_dir / f"{other}.safetensors")


def test_an_empty_weights_file_is_refused(tmp_path: Path) -> None:
    save_file({}, tmp_path / f"{TINY}.safetensors")
    with pytest.raises(ModelError, match="no weights"):
        load_backbone(TINY, levels=(16,), weights_dir=tmp_path)


def test_a_network_of_one_size_says_so(weights_dir: Path) -> None:
    backbone = load_backbone("mixer_s16_224", levels=(16,), weights_dir=weights_dir)
    assert backbone(pixels(224, 224))[0].shape == (2, 512, 14, 14)
    with pytest.raises(ModelError, match="takes frames of 224 x 224 px only"):
        backbone(pixels(256, 256))


@pytest.mark.parametrize(("name", "stride"), PUBLISHED.items())
def test_a_vit_is_used_at_the_stride_of_its_patches(name: str, stride: int) -> None:
    defaults = defaults_for(name)
    assert (defaults.levels, defaults.grid_stride, defaults.fit.distance_weights) == ((stride,), stride, (1.0,))
    assert defaults.fit.discriminators == ((0,),)
    assert len(defaults.fit.synthetic_shares) == 1
    assert defaults.input_size % stride == 0
    assert abs(defaults.input_size - 256) <= stride / 2


def test_other_networks_of_timm_keep_the_common_settings() -> None:
    assert defaults_for("resnet18").levels == defaults_for("efficientnet_lite0").levels
    assert defaults_for("no such network").levels == defaults_for("efficientnet_lite0").levels


def test_a_tag_that_timm_lacks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no backbone named"):
        defaults_for(f"{TINY}.no_such_tag")


def test_masks_come_from_strides_that_a_backbone_has() -> None:
    assert with_strides(BackboneDefaults(), (8, 16, 32)).mask_levels == (8, 16)
    assert with_strides(BackboneDefaults(), (2, 4, 8, 16, 32)).mask_levels == (4, 8, 16)
    assert with_strides(BackboneDefaults(), (14,)).mask_levels == ()
