"""Matrix products of a fit in the number format that the device is made for; weights and sums stay float32."""

from contextlib import AbstractContextManager, nullcontext

import torch


def multiplying_in(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[object]:
    """Within it, linear layers multiply in `dtype`."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)
