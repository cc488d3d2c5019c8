"""Makes objects from settings: the only place that knows adapters."""
