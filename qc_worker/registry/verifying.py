"""Verify that files are the model that they are said to be."""

from pathlib import Path

from qc_worker.simplenet.checkpoint import Model, load_model


def verified_model(folder: Path, line: str, version: str, *, card_sha256: str | None = None) -> Model:
    """Read a model and check that its card names this line and version. Raises ModelError as `load_model` does."""
    model = load_model(folder, card_sha256=card_sha256)
    model.card.check_names(line, version)
    return model
