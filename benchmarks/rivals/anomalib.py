"""Build anomalib's torch models on the same backbone and weights as ours.

timm loads weights from a folder if the network's name is `local-dir:<folder>`. So nothing is downloaded, and anomalib's
feature extractor computes the same maps as ours (compared in `tests/benchmarks/test_benchmarks.py`).
"""

import json
import warnings
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path

import timm
from safetensors.torch import save_file
from torch import nn

from qc_worker.simplenet.backbones.timm import in_order
from qc_worker.simplenet.backbones.weights import read_state

TIMM_NAMES = {"efficientnet_lite0": "tf_efficientnet_lite0", "wide_resnet50_2": "wide_resnet50_2"}
LAYERS = {
    "efficientnet_lite0": {8: "blocks.2", 16: "blocks.4", 32: "blocks.6"},
    "wide_resnet50_2": {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"},
}
"""anomalib's names for our strides."""


def has_anomalib() -> bool:
    return find_spec("anomalib") is not None


def layer_names(backbone: str, levels: tuple[int, ...]) -> list[str]:
    return [LAYERS[backbone][stride] for stride in levels]


def local_backbone(backbone: str, weights: Path, folder: Path) -> str:
    """Write a folder from which timm can build the backbone; return its name for anomalib's models.

    `weights` is a file that `load_backbone` can read.
    """
    network = timm.create_model(TIMM_NAMES[backbone], pretrained=False)
    state, expected = read_state(weights), network.state_dict()
    if state.keys() != expected.keys():
        state = in_order(state, expected)
    target = folder / backbone
    target.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, target / "model.safetensors")
    config: dict[str, object] = {
        "architecture": TIMM_NAMES[backbone],
        "num_classes": network.num_classes,
        "pretrained_cfg": dict[str, object](),
    }
    (target / "config.json").write_text(json.dumps(config))
    return f"local-dir:{target}"


def patchcore(name: str, layers: list[str]) -> nn.Module:
    """Build anomalib's PatchCore. Its input: normalised (B, 3, S, S)."""
    with _quietly():
        from anomalib.models.image.patchcore.torch_model import PatchcoreModel  # noqa: PLC0415 -- an extra, and slow

        model: nn.Module = PatchcoreModel(backbone=name, layers=layers, pre_trained=True)
    return model


def super_simple_net(name: str, layers: list[str]) -> nn.Module:
    """Build anomalib's SuperSimpleNet. Its input: normalised (B, 3, S, S)."""
    with _quietly():
        from anomalib.models.image.supersimplenet.torch_model import SupersimplenetModel  # noqa: PLC0415 -- likewise

        model: nn.Module = SupersimplenetModel(backbone=name, layers=layers)
    return model


def padim(name: str, layers: list[str], features: int) -> nn.Module:
    """Build anomalib's PaDiM. Its input: normalised (B, 3, S, S)."""
    with _quietly():
        from anomalib.models.image.padim.torch_model import PadimModel  # noqa: PLC0415 -- likewise

        model: nn.Module = PadimModel(backbone=name, layers=layers, pre_trained=True, n_features=features)
    return model


def _quietly() -> AbstractContextManager[object]:
    """Suppress FutureWarnings: anomalib imports names that its dependencies have moved."""
    return warnings.catch_warnings(action="ignore", category=FutureWarning)
