"""Everything that decides the bits of a frame's features; specs that differ in anything share nothing on disk."""

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import version

import torch

from qc_worker.simplenet.inference.scorer import Scorer
from qc_worker.simplenet.regions import Ignored
from qc_worker.simplenet.spec import EmbeddingSpec

FORMAT_VERSION = 1
"""Increase it whenever this package computes, draws or stores features in another way."""
BATCH_SIZE = 8
"""Frames in every backbone pass for features: a frame's bits depend on this number, not on the other frames."""
PACKAGES = ("qc-worker", "torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One way of computing, drawing and storing features."""

    embedding: EmbeddingSpec
    precision: str
    """Number format of the backbone: `bfloat16`, `float16` or `float32`."""
    patches_per_frame: int
    """Largest number of cells of a frame that are kept."""
    device: str
    """Processor, as far as it decides the bits: its kind, and on a CPU the number of threads."""
    ignored_sha256: str = ""
    """SHA-256 of the ignored area, whose pixels take no part in features and whose cells are not kept; empty: none."""
    packages: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})
    """Versions of the packages that decode, resize and compute."""
    format_version: int = FORMAT_VERSION
    batch_size: int = BATCH_SIZE

    def document(self) -> str:
        """Write the spec as JSON, for people and for the digest."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    def digest(self) -> str:
        """Compute the SHA-256 that names the spec's folder."""
        return hashlib.sha256(self.document().encode()).hexdigest()


def feature_spec(scorer: Scorer, *, patches_per_frame: int, ignored: Ignored | None = None) -> FeatureSpec:
    """Describe the features that `scorer` computes in this process."""
    return FeatureSpec(
        embedding=scorer.spec,
        precision=str(scorer.dtype).removeprefix("torch."),
        patches_per_frame=patches_per_frame,
        device=_device(scorer.device),
        ignored_sha256="" if ignored is None else hashlib.sha256(ignored.tobytes()).hexdigest(),
    )


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        # Convolutions may round float32 to TF32: see `keep_float32`.
        rounding = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]  # made at run time
        return f"cuda {torch.cuda.get_device_name(device)} {rounding}"
    # Sums in float32 are split between threads, so their number shows in the last bits.
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{device.type} {platform.machine()} {kernels} {torch.get_num_threads()} threads"
