"""Options of `qc-trainer` that several commands share, or that are long."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from qc_worker.flags import folder


class AspectFlag(StrEnum):
    """How a picture is brought to the size that the backbone sees."""

    SQUASH = "squash"
    PAD = "pad"


class CalibrateByFlag(StrEnum):
    """Where the scores come from that a threshold is calibrated on."""

    CROSS = "cross"
    SPLIT = "split"


class GroupByFlag(StrEnum):
    """What makes good samples belong together."""

    AUTO = "auto"
    SESSION = "session"
    FOLDER = "folder"
    NONE = "none"


Line = Annotated[str, typer.Option("--line", help="Production line.")]
SampleDir = Annotated[
    Path | None, typer.Option("--sample-store", help="Folder of the samples.", parser=folder, metavar="PATH")
]

# Of `retrain`.
InputSize = Annotated[
    str, typer.Option(help="What the backbone sees, pixels: 256, HEIGHTxWIDTH such as 256x384, or auto.")
]
MaxCost = Annotated[
    float | None,
    typer.Option(
        help="Pixels of a frame that --input-size auto may spend, in those of 256 x 256: 0.1 to 64; 2.5 if not "
        "given, with --tiles as many as the frames have.",
        show_default=False,
    ),
]
Tiles = Annotated[
    int, typer.Option(help="Into how many overlapping tiles the long side is cut for the backbone.", min=1, max=8)
]
BitDepth = Annotated[
    str,
    typer.Option(
        help="Bits that hold the brightness of pictures of 16 a channel, aligned right: 8, 10, 12, 14, 16, or auto: "
        "what the good frames need."
    ),
]
GroupBy = Annotated[
    GroupByFlag,
    typer.Option(help="Held out together: frames of a session by their times, or of a folder; auto: what there is."),
]
CalibrateBy = Annotated[
    CalibrateByFlag,
    typer.Option(
        help="cross: the threshold comes from all good frames, each judged by a head without it; "
        "split: from frames that are held out, which bounds the false-reject rate strictly but costs accuracy."
    ),
]
MaxFeatureMib = Annotated[
    int, typer.Option(help="Disk for kept features of all lines; those unused for longest make room.", min=1)
]
