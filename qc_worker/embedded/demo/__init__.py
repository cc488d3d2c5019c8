"""`qc-worker demo`: cameras, a worker, heatmaps, and a line retrained and taken up while frames flow."""
