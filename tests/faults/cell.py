"""One cell of the fault matrix, and how long a fault may silence a line."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.site import Site

DRAINED_WITHIN_S = 90.0
"""From the last frame to the last verdict, in every cell."""

SLACK_S = 15.0
"""Two busy cores: what starts, elects or rebalances has to share them with brokers, cameras and readers."""
ON_AND_ON_S = SLACK_S
"""Nothing stops for the fault, or a member that lives takes over."""
START_S = 15 + SLACK_S
"""A process starts: Python and torch, backbone, group."""
SESSION_S = 6.0
"""The session timeout of the tests: a member that fell silent is left behind after it."""
ELECTION_S = 3 + 10 + SLACK_S
"""A broker that fell silent is left behind, another leads, and the clients look for it."""
TRANSACTION_S = 20 + 10 + SLACK_S
"""An open transaction that nobody ends is aborted by the broker: its timeout, and how often the broker looks."""


def _nothing_more(_site: Site) -> None:
    pass


@dataclass(frozen=True)
class Cell:
    """One fault. `run` breaks things and, where that is part of it, mends them; it ends with what may stay.

    `proof` looks at what came of it, once all frames are judged.
    """

    name: str
    promise: str
    run: Callable[[Site], None]
    allowed_silence_s: float
    proof: Callable[[Site], None] = _nothing_more
