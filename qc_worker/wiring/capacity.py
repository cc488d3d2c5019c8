"""Chooses from settings, device and cores how much work a worker takes on at once."""

import os
from dataclasses import dataclass

from qc_worker.settings import MEBIBYTE, Settings
from qc_worker.wiring.shared import compute_device


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sizes that are settings, each a number or `auto`."""

    max_batch_size: int
    decode_threads: int
    max_in_flight_frames: int
    max_in_flight_bytes: int


def worker_capacity(settings: Settings) -> Capacity:
    """Choose the capacity for the device that the settings name. Raises SettingsError if it cannot be used."""
    return capacity_on(compute_device(settings).type, settings)


def capacity_on(device_type: str, settings: Settings) -> Capacity:
    """Choose the capacity on a device: `auto` suits the device and the cores, and numbers stay as they are."""
    on_cuda = device_type == "cuda"
    max_batch_size = settings.max_batch_size or (64 if on_cuda else 8)
    return Capacity(
        max_batch_size=max_batch_size,
        decode_threads=decode_threads(settings, device_type),
        # A GPU takes milliseconds for a batch, whose frames are in flight for 0.1 s and more until they are committed.
        max_in_flight_frames=settings.max_in_flight_frames or (8 * max_batch_size if on_cuda else 128),
        max_in_flight_bytes=settings.max_in_flight_bytes or (1024 if on_cuda else 256) * MEBIBYTE,
    )


def decode_threads(settings: Settings, device_type: str = "cpu") -> int:
    """Choose the number of decode threads; on a CPU few, because the model needs the cores as well."""
    cores = len(os.sched_getaffinity(0))
    return settings.decode_threads or (max(2, cores - 2) if device_type == "cuda" else min(2, cores))
