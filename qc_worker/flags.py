"""Options that `qc-worker` and `qc-trainer` have in common."""

from pathlib import Path
from typing import Annotated

import typer


def folder(text: str) -> Path | None:
    """The folder that a flag names; an empty one, as of a shell's variable that is not set, names none."""
    return Path(text) if text.strip() else None


Kafka = Annotated[str | None, typer.Option("--kafka", help="Brokers, host:port, comma-separated.")]
ModelStoreUrl = Annotated[str | None, typer.Option("--model-store", help="Folder or fsspec URL of the model store.")]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Where models, samples, weights and caches live.", parser=folder, metavar="PATH"),
]
WeightsDir = Annotated[
    Path | None,
    typer.Option("--weights-dir", help="Folder with backbone weights files.", parser=folder, metavar="PATH"),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, nothing else.")]
