"""A device without values, what makes the host wait for it, and recordings without CUDA graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from loftr_ros.matching.graphs import Inputs, Recording, Replayed

META = torch.device('meta')

# The result's size or value is needed on the host, which waits for all the device has to do.
WAITING = {
    *('_local_scalar_dense', 'item', 'is_nonzero', 'equal', 'allclose', 'masked_select'),
    *('nonzero', 'nonzero_numpy', 'argwhere', '_unique2', 'unique_dim', 'unique_consecutive'),
}


class Waits(TorchDispatchMode):
    """Counts what makes the host wait; copies from `meta` bring zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        name = str(func).split('.')[1]
        if name in WAITING or (name.startswith('index') and has_booleans(args)):
            self.counts[name] += 1
        given = kwargs.get('device', next((x for x in args[1:] if is_place(x)), None))
        if name in ('to', '_to_copy') and given is not None:
            source, target = args[0].device.type, device_of(given).type
            self.counts[f'{source} to {target}'] += source != target
            if (source, target) == ('meta', 'cpu'):
                return torch.zeros(args[0].shape, dtype=args[0].dtype)
        return func(*args, **kwargs)


def is_place(argument: object) -> bool:
    return isinstance(argument, Tensor | torch.device)


def device_of(place: Tensor | torch.device | str) -> torch.device:
    return place.device if isinstance(place, Tensor) else torch.device(place)


def has_booleans(args: tuple[Any, ...]) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], list | tuple) else ()
    return any(isinstance(index, Tensor) and index.dtype == torch.bool for index in indices)


def record_on_cpu(function: Callable[[], tuple[Tensor, ...]], inputs: Inputs) -> Recording:
    """Do what a CUDA graph does: read and write the same memory at each replay."""
    outputs = function()

    def replay() -> None:
        for kept, result in zip(outputs, function(), strict=True):
            kept.copy_(result)

    return Recording(inputs, outputs, replay)


class ReplayedOnCpu(Replayed):
    """Counts the recordings that were made."""

    made = 0

    def __init__(self, function: Callable[..., tuple[Tensor, ...]]) -> None:
        def record(work: Callable[[], tuple[Tensor, ...]], given: Inputs) -> Recording:
            ReplayedOnCpu.made += 1
            return record_on_cpu(work, given)

        super().__init__(function, record, limit=3)
