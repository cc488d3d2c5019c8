"""Read what a stored version's card says, without its head and without torch."""

from qc_worker.domain.version import VersionCard
from qc_worker.ports.models import ModelStore
from qc_worker.simplenet.card import ModelCard, parse_card


def read_version_card(models: ModelStore, line: str, version: str) -> VersionCard:
    """Read and check a card. Raises ModelError, and StoreAway if the store cannot be reached."""
    card = parse_card(models.read_card(line, version), f"the card of {line}/{version}")
    card.check_names(line, version)
    return version_card(card)


def version_card(card: ModelCard) -> VersionCard:
    """Take the facts of a card that people compare versions by."""
    samples = card.samples
    return VersionCard(
        line=card.line,
        version=card.version,
        created_at=card.created_at,
        backbone=card.embedding.backbone,
        input_size=card.embedding.input_size,
        tiles=card.embedding.tiles,
        bit_depth=card.embedding.bit_depth,
        calibration=card.calibration,
        training_samples=len(samples.training),
        calibration_samples=len(samples.calibration),
        samples=len({*samples.training, *samples.calibration}),
        calibrate_by=samples.calibrate_by,
        groups=len(samples.groups),
        head_sha256=card.head_sha256,
        head_of=card.head_of,
        derived_from=card.derived_from,
        duration_s=card.duration_s,
    )
