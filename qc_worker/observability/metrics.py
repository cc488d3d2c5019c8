"""Defines every metric of the worker.

The label `line` only ever holds lines with a resident model: the number of names from outside has no bound.
"""

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

INSPECTIONS = Counter("qc_inspections_total", "Inspections published.", ["line", "verdict"])
DEAD_LETTERS = Counter("qc_dead_letters_total", "Frames that could not be judged.", ["reason"])
IGNORED_HEADERS = Counter("qc_ignored_headers_total", "Optional headers that could not be used.", ["header"])
LATE_VERDICTS = Counter("qc_late_verdicts_total", "Verdicts made after the frame's deadline.")
DROPPED_FRAMES = Counter("qc_dropped_frames_total", "Frames in flight left to the new owner of their partition.")
EXPIRED_FRAMES = Counter("qc_expired_frames_total", "Frames that retention removed before they were judged.")
FRAME_SECONDS = Histogram("qc_frame_seconds", "Time from polling a frame to publishing its verdict.", buckets=_SECONDS)
DECODE_SECONDS = Histogram("qc_decode_seconds", "Decoding and preprocessing one frame.", buckets=_SECONDS)
GPU_DECODED = Counter("qc_gpu_decoded_total", "With `gpu_decode`: pictures by decoder, nvjpeg or cpu.", ["by"])
INFERENCE_SECONDS = Histogram("qc_inference_seconds", "One batch through backbone and heads.", buckets=_SECONDS)
PUBLISH_SECONDS = Histogram("qc_publish_seconds", "Publishing and committing once.", buckets=_SECONDS)
BATCH_FRAMES = Histogram("qc_batch_frames", "Frames in a batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256))
HALVED_BATCHES = Counter("qc_halved_batches_total", "Batches that did not fit the device's memory, and were halved.")
DEVICE_INFO = Gauge(
    "qc_device_info",
    "1 for the device that judges, with its driver, number format, and whether the backbones are compiled.",
    ["device", "name", "driver", "cuda", "precision", "compiled"],
)
IN_FLIGHT_FRAMES = Gauge("qc_in_flight_frames", "Frames between polling and committing.")
IN_FLIGHT_BYTES = Gauge("qc_in_flight_bytes", "Encoded bytes between polling and committing.")
HEAP_BYTES = Gauge("qc_heap_in_use_bytes", "Allocated bytes when freed memory was last returned to the system (glibc).")
LAG_FRAMES = Gauge("qc_lag_frames", "Frames on the topic that this worker has yet to poll.")
ASSIGNED_PARTITIONS = Gauge("qc_assigned_partitions", "Partitions of `images` this worker owns.")
TRANSPORT_FAILURES = Counter("qc_transport_failures_total", "Failed attempts to reach a broker.")
RELEASES = Counter("qc_releases_total", "Releases read from `models`.", ["outcome"])
RESIDENT_MODELS = Gauge("qc_resident_models", "Lines with a model in memory.")
HEATMAPS = Counter("qc_heatmaps_total", "Heatmaps, by outcome.", ["outcome"])
HISTORY_RECORDS = Counter(
    "qc_history_records_total", "Dashboard: records of a topic, by what became of them.", ["topic", "outcome"]
)
ARCHIVED = Counter(
    "qc_archived_frames_total",
    "Dashboard: frames chosen for the archive: stored, or expired (their record was gone).",
    ["verdict", "outcome"],
)
ARCHIVE_REMOVED = Counter(
    "qc_archive_removed_total",
    "Dashboard: evidence removed: expired after its days, or full (over the limit).",
    ["verdict", "reason"],
)
ARCHIVE_BYTES = Gauge("qc_archive_bytes", "Dashboard: bytes of all evidence in the archive.")
ARCHIVE_LAG = Gauge(
    "qc_archive_lag_inspections", "Dashboard: inspections in the history that the archive has yet to look at."
)
ARCHIVED_WITHOUT_HEATMAP = Counter(
    "qc_archived_without_heatmap_total", "Dashboard: frames archived although their heatmap was gone."
)
ARCHIVE_FAILURES = Counter(
    "qc_archive_failures_total", "Dashboard: failed attempts to archive or to remove; each is repeated."
)
