"""Watches the operators that torch runs, since a GPU pays for each of them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {"_local_scalar_dense", "nonzero", "bincount", "repeat_interleave", "masked_select", "_unique2"}
"""Operators for which a GPU must be asked for numbers, so that the caller waits for all that it computes."""


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it out
    """Notes the names of operators, in order."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.computing: list[str] = []
        """All but views and allocations, which launch nothing on a GPU."""
        self.waiting: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        views = any(each.alias_info and not each.alias_info.is_write for each in func._schema.arguments)
        if not views and "empty" not in name:
            self.computing.append(name)
        if name in WAITING or (name == "index" and _by_mask(args[1])):
            self.waiting.append(name)
        return func(*args, **(kwargs or {}))


def _by_mask(indices: Iterable[torch.Tensor | None]) -> bool:
    return any(index is not None and index.dtype is torch.bool for index in indices)
