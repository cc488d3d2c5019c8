"""What decides a frame's features, to the bit; two of these that differ in anything share nothing on disk."""

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
"""Raised whenever this package computes, draws or stores features in another way."""
BATCH_SIZE = 8
"""Frames in a backbone pass for features, always: a frame's bits depend on it, but on nothing else in the batch."""
PACKAGES = ("qc-worker", "torch", "torchvision", "timm", "pillow", "numpy")


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How features are computed, drawn and stored."""

    embedding: EmbeddingSpec
    precision: str
    """Number format of the backbone: `bfloat16` or `float32`."""
    patches_per_frame: int
    """Cells of a frame that are kept at the most."""
    device: str
    """What computes, as far as it shows in the bits: kind of processor, and threads where there are some."""
    ignored_sha256: str = ""
    """Of what is not judged: its pixels take no part in features, and its cells are not kept; empty: all is judged."""
    packages: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in PACKAGES})
    """Versions of what decodes, resizes and computes."""
    format_version: int = FORMAT_VERSION
    batch_size: int = BATCH_SIZE

    def document(self) -> str:
        """The spec as JSON, for people and for the digest."""
        return json.dumps(asdict(self), sort_keys=True, indent=1)

    def digest(self) -> str:
        """Names the spec's folder."""
        return hashlib.sha256(self.document().encode()).hexdigest()


def feature_spec(scorer: Scorer, *, patches_per_frame: int, ignored: Ignored | None = None) -> FeatureSpec:
    """The spec of the features that `scorer` gives here and now."""
    return FeatureSpec(
        embedding=scorer.spec,
        precision=str(scorer.dtype).removeprefix("torch."),
        patches_per_frame=patches_per_frame,
        device=_device(scorer.device),
        ignored_sha256="" if ignored is None else hashlib.sha256(ignored.tobytes()).hexdigest(),
    )


def _device(device: torch.device) -> str:
    if device.type == "cuda":
        # Whether convolutions round float32 to TF32: see `keep_float32`.
        rounding = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]  # made at run time
        return f"cuda {torch.cuda.get_device_name(device)} {rounding}"
    # Sums in float32 are split between threads, so their number shows in the last bits.
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{device.type} {platform.machine()} {kernels} {torch.get_num_threads()} threads"
