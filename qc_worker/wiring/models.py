"""Builds from settings: model loader, backbones, pipeline."""

from dataclasses import replace
from pathlib import Path

from qc_worker.domain import names
from qc_worker.domain.errors import ModelError, SettingsError
from qc_worker.engine.batcher import Batcher, BatchQueue
from qc_worker.engine.decoding import DecodeThreads, Decoding
from qc_worker.engine.gpu_decoding import GpuDecoding
from qc_worker.engine.inference import BackbonePool, Computing, LoadBackbone, ModelRunner
from qc_worker.engine.judge import HeatmapDesk, Judge
from qc_worker.engine.model_loader import ModelLoader
from qc_worker.engine.pipeline import Pipeline
from qc_worker.engine.residents import Resident
from qc_worker.ports.clock import Clock
from qc_worker.registry.store import FsspecModelStore, without_secrets
from qc_worker.runtime.compile_lock import compiling_alone
from qc_worker.runtime.state_folder import usable
from qc_worker.settings import Settings
from qc_worker.simplenet.backbones.backbone import Backbone, load_backbone
from qc_worker.simplenet.inference.precision import compute_dtype
from qc_worker.simplenet.spec import EmbeddingSpec
from qc_worker.wiring.capacity import Capacity, worker_capacity
from qc_worker.wiring.shared import compute_device, image_limits, keep_compiled_kernels


def model_loader(settings: Settings, backbones: BackbonePool) -> ModelLoader:
    """Build the loader that copies models into the state folder. Raises SettingsError if it cannot write there."""
    store = FsspecModelStore(settings.model_store_url)
    cache_dir = usable(settings.state_path) / "model-cache"
    return ModelLoader(store, backbones, cache_dir=cache_dir, local=FsspecModelStore(str(cache_dir)))


def backbone_pool(settings: Settings, *, warmup_sizes: tuple[int, ...], compiled: bool = False) -> BackbonePool:
    """Build the pool of backbones for the settings' device and number format. Raises SettingsError, DeviceLost."""
    device = compute_device(settings)
    computing = Computing(device, compute_dtype(device, settings.precision), warmup_sizes=warmup_sizes)
    if compiled:
        folder = keep_compiled_kernels(settings)
        computing = replace(computing, compiled=True, compiling=lambda: compiling_alone(folder))
    return BackbonePool(_load_from(settings.weights_path), computing)


def load_resident(settings: Settings, loader: ModelLoader, line: str, version: str | None) -> Resident:
    """Load a line's model: the version given, else the live one, else the newest. Raises ModelError, SettingsError."""
    try:
        names.line_name(line)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    store = FsspecModelStore(settings.model_store_url)
    released = [release for release in store.releases(line) if version in (None, release.version)]
    if released:
        return loader.load(released[-1])
    versions = [version] if version else store.versions(line)
    if not versions:
        raise ModelError(
            f"line {line} has no model in {without_secrets(settings.model_store_url)}: "
            f"run qc-trainer retrain --line {line}"
        )
    return loader.load_version(line, versions[-1])


def worker_pipeline(settings: Settings, backbones: BackbonePool, heatmaps: HeatmapDesk, clock: Clock) -> Pipeline:
    """Build the pipeline from admitted frames to outcomes. Raises SettingsError."""
    capacity = worker_capacity(settings)
    return Pipeline(
        runner=ModelRunner(backbones, clock),
        judge=Judge(heatmaps, clock, heatmap_pass_share=settings.heatmap_pass_share),
        batches=BatchQueue(Batcher(max_size=capacity.max_batch_size, max_wait_s=settings.max_wait_ms / 1000), clock),
        decoding=_decoding(settings, capacity, clock),
        clock=clock,
    )


def _decoding(settings: Settings, capacity: Capacity, clock: Clock) -> Decoding:
    limits = image_limits(settings)
    if not settings.gpu_decode:
        return DecodeThreads(threads=capacity.decode_threads, limits=limits, clock=clock)
    device = compute_device(settings)
    if device.type != "cuda":
        raise SettingsError(f"gpu_decode: device {device.type} cannot decode JPEGs: set gpu_decode to false")
    return GpuDecoding(device=device, limits=limits, cpu_threads=capacity.decode_threads, clock=clock)


def _load_from(weights_dir: Path) -> LoadBackbone:
    def load(spec: EmbeddingSpec) -> Backbone:
        return load_backbone(spec.backbone, levels=spec.backbone_levels, weights_dir=weights_dir)

    return load
