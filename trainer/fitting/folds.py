"""Split good samples into folds: each is held out once, so all of them can calibrate a threshold."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Fold:
    """Sample ids to fit to and to hold out, each list in order; every sample is in one of the two."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def folds(samples: Sequence[str], groups: Mapping[str, str] | None, n_folds: int, seed: int) -> tuple[Fold, ...]:
    """Split samples into folds of nearly equal size that never split a group.

    `groups` names each sample's group; without groups, or with a single one, samples are drawn by themselves. There are
    fewer folds than asked for if there are fewer groups. Equal arguments give equal folds, whatever the order of
    `samples`. Without groups a new sample moves at most n_folds - 1 others to another fold; with no more groups
    than folds it moves none.
    """
    ranked = sorted(samples, key=lambda sample: rank(sample, seed))
    in_folds = _grouped(ranked, groups, n_folds, seed) if groups else None
    return tuple(_fold(ranked, held_out) for held_out in in_folds or _in_parts(ranked, n_folds))


def rank(name: str, seed: int) -> bytes:
    """Compute the sort key of a random order in which a new name moves no other."""
    return hashlib.sha256(f"{seed} {name}".encode()).digest()


def members(samples: Sequence[str], groups: Mapping[str, str]) -> dict[str, list[str]]:
    """Sort samples by group, in the order given."""
    by_group: dict[str, list[str]] = {}
    for sample in samples:
        by_group.setdefault(groups[sample], []).append(sample)
    return by_group


def without(samples: Sequence[str], others: Collection[str]) -> list[str]:
    """List the samples that are not among the others, in the order given."""
    outside = set(others)
    return [sample for sample in samples if sample not in outside]


def _grouped(ranked: Sequence[str], groups: Mapping[str, str], n_folds: int, seed: int) -> list[list[str]] | None:
    """Assign groups, the largest first, to the fold with the fewest samples; None if there is only one group."""
    by_group = members(ranked, groups)
    if len(by_group) < 2:
        return None
    parts: list[list[str]] = [[] for _ in range(min(n_folds, len(by_group)))]
    for label in sorted(by_group, key=lambda label: (-len(by_group[label]), rank(label, seed))):
        min(parts, key=len).extend(by_group[label])
    return parts


def _in_parts(ranked: Sequence[str], n_folds: int) -> list[Sequence[str]]:
    count = min(n_folds, len(ranked))
    borders = [len(ranked) * part // count for part in range(count + 1)]
    return [ranked[first:last] for first, last in pairwise(borders)]


def _fold(samples: Sequence[str], held_out: Sequence[str]) -> Fold:
    return Fold(training=tuple(sorted(without(samples, held_out))), held_out=tuple(sorted(held_out)))
