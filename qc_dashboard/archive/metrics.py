"""Metrics of the archive."""

from prometheus_client import Counter, Gauge

ARCHIVED = Counter(
    "qc_archived_frames_total",
    "Frames chosen for the archive: stored, or expired (their record was gone).",
    ["verdict", "outcome"],
)
REMOVED = Counter(
    "qc_archive_removed_total",
    "Evidence removed: expired after its days, or full (over the limit).",
    ["verdict", "reason"],
)
BYTES = Gauge("qc_archive_bytes", "Bytes of all evidence in the archive.")
LAG = Gauge("qc_archive_lag_inspections", "Inspections in the history that the archive has yet to look at.")
WITHOUT_HEATMAP = Counter("qc_archived_without_heatmap_total", "Frames archived although their heatmap was gone.")
FAILURES = Counter("qc_archive_failures_total", "Failed attempts to archive or to remove; each is repeated.")
