"""From settings to the models of the worker."""

from pathlib import Path

from qc_worker.engine.residents import BackbonePool, Computing, LoadBackbone, ModelLoader
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.precision import compute_dtype
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.wiring import compute_device


def model_loader(settings: Settings, backbones: BackbonePool) -> ModelLoader:
    store = FsspecModelStore(settings.model_store_url)
    return ModelLoader(store, backbones, cache_dir=settings.state_dir / "model-cache")


def backbone_pool(settings: Settings, *, warmup_sizes: tuple[int, ...], compiled: bool = False) -> BackbonePool:
    """Backbones as the settings want them computed. Raises SettingsError."""
    device = compute_device(settings)
    dtype = compute_dtype(device, settings.precision)
    return BackbonePool(_load_from(settings.weights_path), Computing(device, dtype, compiled, warmup_sizes))


def _load_from(weights_dir: Path) -> LoadBackbone:
    def load(spec: EmbeddingSpec) -> Backbone:
        return load_backbone(spec.backbone, levels=spec.levels, weights_dir=weights_dir)

    return load
