"""Sample a worker's memory, threads, descriptors and frames in flight over time."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import numpy as np
from PIL import Image, ImageDraw
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.harness.plant import Plant, WorkerProcess

WARM_UP_S = 60.0
WINDOW_S = 180.0
PLOT_PX = (1000, 500)
MARGIN_PX = 60
KIBIBYTE = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of the worker. Megabytes are 10^6 bytes."""

    at_s: float
    rss_anon_mb: float
    rss_file_mb: float
    heap_mb: float
    threads: int
    descriptors: int
    in_flight_frames: int
    in_flight_bytes: int
    backlog_frames: int

    @property
    def rss_mb(self) -> float:
        return self.rss_anon_mb + self.rss_file_mb


class SoakedWorker(WorkerProcess):
    """`qc-worker run`, sampled from outside by /proc and by its own metrics."""

    def __init__(self, plant: Plant) -> None:
        super().__init__(plant)
        self._metrics_url = f"http://127.0.0.1:{plant.health_port}/metrics"

    def sample(self, *, at_s: float, backlog_frames: int) -> Sample:
        status = self._status()
        metrics = self.metrics()
        return Sample(
            at_s=at_s,
            rss_anon_mb=status["RssAnon"] * KIBIBYTE / 1e6,
            rss_file_mb=(status["RssFile"] + status["RssShmem"]) * KIBIBYTE / 1e6,
            heap_mb=metrics["qc_heap_in_use_bytes"] / 1e6,
            threads=status["Threads"],
            descriptors=len(list(Path(f"/proc/{self._process.pid}/fd").iterdir())),
            in_flight_frames=int(metrics["qc_in_flight_frames"]),
            in_flight_bytes=int(metrics["qc_in_flight_bytes"]),
            backlog_frames=backlog_frames,
        )

    def metrics(self) -> dict[str, float]:
        """Read metrics by name, followed by the values of labels: `qc_heatmaps_total cached`."""
        with urlopen(self._metrics_url, timeout=30) as page:
            families = text_string_to_metric_families(page.read().decode())
        return {" ".join([one.name, *one.labels.values()]): one.value for family in families for one in family.samples}

    def alive(self) -> bool:
        return self._process.poll() is None

    def _status(self) -> dict[str, int]:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        wanted = ("RssAnon", "RssFile", "RssShmem", "Threads")
        fields = (line.partition(":") for line in lines)
        return {name: int(value.split()[0]) for name, _, value in fields if name in wanted}


def curve_figures(samples: Sequence[Sample]) -> dict[str, object]:
    """Summarise memory by minute and its growth, threads, and descriptors."""
    return {
        "rss_mb_by_minute": _by_minute(samples, lambda one: one.rss_mb, statistics.median),
        "rss_peak_mb_by_minute": _by_minute(samples, lambda one: one.rss_mb, max),
        "rss_anon_mb_by_minute": _by_minute(samples, lambda one: one.rss_anon_mb, statistics.median),
        "rss_file_mb_by_minute": _by_minute(samples, lambda one: one.rss_file_mb, statistics.median),
        **_growth(samples),
        "threads_by_minute": _by_minute(samples, lambda one: one.threads, max),
        "descriptors_by_minute": _by_minute(samples, lambda one: one.descriptors, max),
    }


def write_plot(samples: Sequence[Sample], path: Path) -> None:
    """Draw resident memory over time in black, and its anonymous part in red."""
    image = Image.new("RGB", PLOT_PX, "white")
    draw = ImageDraw.Draw(image)
    axes = _Axes(end_s=samples[-1].at_s, top_mb=1.1 * max(one.rss_mb for one in samples))
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        second, megabytes = share * axes.end_s, share * axes.top_mb
        draw.line([axes.at(0, megabytes), axes.at(axes.end_s, megabytes)], fill="lightgrey")
        draw.text((5, axes.at(0, megabytes)[1] - 6), f"{megabytes:.0f} MB", fill="black")
        draw.text((axes.at(second, 0)[0] - 12, axes.at(0, 0)[1] + 8), f"{second / 60:.1f} min", fill="black")
    draw.line([axes.at(one.at_s, one.rss_mb) for one in samples], fill="black", width=2)
    draw.line([axes.at(one.at_s, one.rss_anon_mb) for one in samples], fill="firebrick", width=1)
    draw.text((MARGIN_PX, 15), "qc-worker under full load: resident memory (black), anonymous (red)", fill="black")
    image.save(path)


@dataclass(frozen=True, slots=True)
class _Axes:
    """Mapping from seconds and megabytes to pixels of the plot."""

    end_s: float
    top_mb: float

    def at(self, second: float, megabytes: float) -> tuple[float, float]:
        right, bottom = PLOT_PX[0] - MARGIN_PX, PLOT_PX[1] - MARGIN_PX
        return (
            MARGIN_PX + (right - MARGIN_PX) * second / self.end_s,
            bottom - (bottom - MARGIN_PX) * megabytes / self.top_mb,
        )


def _growth(samples: Sequence[Sample]) -> dict[str, float]:
    """Compute memory after warm-up and at the end, and the slopes after warm-up and of the second half.

    Floors are the lowest values of both halves after warm-up. They show what remains between bursts: resident memory
    once freed memory has been returned, and allocated memory, which trimming the heap does not affect.
    """
    run_s = samples[-1].at_s
    warm_up_s = min(WARM_UP_S, run_s / 4)
    window_s = min(WINDOW_S, (run_s - warm_up_s) / 2)
    warm = [one for one in samples if one.at_s >= warm_up_s]
    start = [one.rss_mb for one in warm if one.at_s <= warm_up_s + window_s]
    end = [one.rss_mb for one in warm if one.at_s >= run_s - window_s]
    early, late = warm[: len(warm) // 2], warm[len(warm) // 2 :]
    figures = {
        "rss_start_mb": statistics.median(start),
        "rss_end_mb": statistics.median(end),
        "floor_start_mb": min(one.rss_mb for one in early),
        "floor_end_mb": min(one.rss_mb for one in late),
        "heap_floor_start_mb": min(one.heap_mb for one in early),
        "heap_floor_end_mb": min(one.heap_mb for one in late),
        "slope_mb_per_hour": _slope_mb_per_hour(warm),
        "second_half_slope_mb_per_hour": _slope_mb_per_hour([one for one in samples if one.at_s >= run_s / 2]),
        "warm_up_s": warm_up_s,
    }
    return {name: round(figure, 1) for name, figure in figures.items()}


def _by_minute(
    samples: Sequence[Sample], of: Callable[[Sample], float], summed_up: Callable[[list[float]], float]
) -> list[float]:
    minutes: dict[int, list[float]] = {}
    for one in samples:
        minutes.setdefault(int(one.at_s // 60), []).append(of(one))
    return [round(summed_up(values), 1) for values in minutes.values()]


def _slope_mb_per_hour(samples: Sequence[Sample]) -> float:
    """Fit a line to all samples by least squares."""
    hours = [one.at_s / 3600 for one in samples]
    return round(float(np.polyfit(hours, [one.rss_mb for one in samples], 1)[0]), 1)
