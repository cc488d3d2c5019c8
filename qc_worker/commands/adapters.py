"""From settings to the models of the worker."""

from pathlib import Path

from qc_worker.engine.residents import BackbonePool, LoadBackbone, ModelLoader
from qc_worker.registry.store import FsspecModelStore
from qc_worker.settings import Settings
from qc_worker.simplenet.backbone import Backbone, load_backbone
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.wiring import compute_device


def model_loader(settings: Settings, backbones: BackbonePool, *, warmup_sizes: tuple[int, ...]) -> ModelLoader:
    store = FsspecModelStore(settings.model_store_url)
    return ModelLoader(store, backbones, cache_dir=settings.state_dir / "model-cache", warmup_sizes=warmup_sizes)


def backbone_pool(settings: Settings) -> BackbonePool:
    return BackbonePool(_load_from(settings.weights_path), device=compute_device(settings))


def _load_from(weights_dir: Path) -> LoadBackbone:
    def load(spec: EmbeddingSpec) -> Backbone:
        return load_backbone(spec.backbone, levels=spec.levels, weights_dir=weights_dir)

    return load
