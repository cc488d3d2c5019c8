"""Prepares servers, folders and cameras for the demo: the user's if they are set, else its own."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from qc_worker.domain.errors import SettingsError
from qc_worker.embedded.cameras import GOOD, Camera, folder_cameras, labelled_files, simulated_cameras
from qc_worker.embedded.services import DELIVERY, SESSION_TIMEOUT_MS, EmbeddedBroker, EmbeddedCache, EmbeddedServices
from qc_worker.embedded.simulation.parts_line import write_good_frames
from qc_worker.imaging.image_files import image_files
from qc_worker.settings import Settings

LINES = ("A", "B")
TRAINING_FRAMES = 120
"""Enough for the default false-reject rate of 1 %, which takes 99 to calibrate."""
MAX_EMBEDDED_BYTES = 1 << 30
"""Limit for all frames of a demo on the embedded broker, which keeps them in memory."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The cameras, and the folder of good images of each line."""

    cameras: Sequence[Camera]
    good: dict[str, Path]


@contextmanager
def opened_stage(settings: Settings) -> Iterator[Settings]:
    """Provide settings with running servers and an existing state folder.

    Raises SettingsError, TransportError, OSError.
    """
    with ExitStack() as stack:
        folders = _own_folders(settings, stack)  # before the servers, which take longer: folders may be refused
        folders["state_dir"].mkdir(parents=True, exist_ok=True)
        yield settings.model_copy(update=_servers(settings, stack) | _own_names() | folders)


TOPICS = ("images", "results", "dead_letter", "feedback", "samples", "models")


def _own_names() -> dict[str, str]:
    """Make topic and group names that nobody else has: on the user's broker the demo must not touch the plant's."""
    prefix = f"qc-demo-{uuid4().hex[:8]}"
    names = {f"{name}_topic": f"{prefix}.{name}" for name in TOPICS}
    return {**names, "consumer_group": prefix}


def _own_folders(settings: Settings, stack: ExitStack) -> dict[str, Any]:
    """Choose stores of the demo's own; the user's backbone weights are used."""
    if "state_dir" in settings.model_fields_set:
        state_dir = settings.state_path / "demo"
    else:
        state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qc-demo-")))
    folders = {"model_store": str(state_dir / "models"), "sample_store": state_dir / "samples"}
    return {"state_dir": state_dir, "weights_dir": settings.weights_path, **folders}


def simulated_parts(folder: Path, *, seed: int) -> Parts:
    """Prepare flanges on line A and brackets on line B; write the training images into `folder`."""
    good = {line: folder / line / GOOD for line in LINES}
    for line, images in good.items():
        write_good_frames(images, line=line, seed=seed + 1, frames=TRAINING_FRAMES)
    return Parts(simulated_cameras(LINES, seed=seed), good)


def parts_of_folder(folder: Path, *, frames: int, seed: int, embedded: bool) -> Parts:
    """Let both lines learn `train/good`; deal out the files of `test` to all cameras. Raises SettingsError."""
    good = folder / "train" / GOOD
    if not good.is_dir() or not image_files(good):
        raise SettingsError(f"{folder} is not laid out as MVTec AD is: there are no images in train/good")
    files = labelled_files(folder, seed=seed)
    total_bytes = sum(path.stat().st_size for path, _ in files) * frames // len(files)
    if embedded and total_bytes > MAX_EMBEDDED_BYTES:
        raise SettingsError(
            f"{frames} of these frames are {total_bytes >> 20} MiB, and the embedded broker keeps them in memory: "
            "give fewer --frames or a broker of your own"
        )
    return Parts(folder_cameras(LINES, files), dict.fromkeys(LINES, good))


def _servers(settings: Settings, stack: ExitStack) -> dict[str, Any]:
    own_kafka = "kafka_bootstrap_servers" in settings.model_fields_set
    own_redis = "redis_url" in settings.model_fields_set
    if own_kafka and own_redis:
        return {}
    if own_kafka:
        cache = EmbeddedCache()
        cache.start()
        stack.callback(cache.stop)
        return {"redis_url": cache.redis_url}
    if own_redis:
        broker = EmbeddedBroker()
        broker.start()
        stack.callback(broker.stop)
        return _of_embedded_broker(broker.bootstrap_servers)
    both = stack.enter_context(EmbeddedServices())
    return {**_of_embedded_broker(both.bootstrap_servers), "redis_url": both.redis_url}


def _of_embedded_broker(bootstrap_servers: str) -> dict[str, Any]:
    return {
        "kafka_bootstrap_servers": bootstrap_servers,
        "session_timeout_ms": SESSION_TIMEOUT_MS,
        "delivery": DELIVERY,
    }
