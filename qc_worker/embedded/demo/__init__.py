"""The demo (`qc-worker demo`): cameras, a worker, heatmaps, and a line whose new model goes live while frames flow."""
