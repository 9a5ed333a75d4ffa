"""Replay what a function does on the GPU without launching each of its kernels again.

A network of many small kernels spends more time launching them than the GPU spends computing.
A CUDA graph launches all at once. It repeats the same work on the same memory, so the function
must neither wait for the GPU nor let shapes depend on values.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from loftr_ros.matching.precision import on_device

Function = Callable[..., tuple[Tensor, ...]]
Inputs = tuple['Tensor | None', ...]

WARM_UPS = 3
"""Runs before a recording, in which libraries choose algorithms and allocate workspaces."""


@dataclass(frozen=True)
class Recording:
    """What was recorded for one shape of inputs.

    Attributes:
        inputs: Memory that it reads.
        outputs: Memory that it writes.
        replay: Does it again.
    """

    inputs: Inputs
    outputs: tuple[Tensor, ...]
    replay: Callable[[], object]


Record = Callable[[Callable[[], tuple[Tensor, ...]], Inputs], Recording]


def record_cuda_graph(function: Callable[[], tuple[Tensor, ...]], inputs: Inputs) -> Recording:
    """Record a function that reads these inputs.

    Raises:
        RuntimeError: The function does what no graph can hold, or memory ran out.
    """
    device = next(x.device for x in inputs if x is not None)
    # On another device than the current one the recording would be empty.
    with on_device(device):
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                function()
        torch.cuda.current_stream(device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile: only what this one does may break the recording.
        with torch.cuda.graph(graph, capture_error_mode='thread_local'):
            outputs = function()

    def replay() -> None:
        with on_device(device):
            graph.replay()

    return Recording(inputs, outputs, replay)


class Replayed:
    """A function of tensors, recorded once for each shape of its inputs; not for several threads.

    Outputs are copies: the next replay writes over the recording's own memory.
    """

    def __init__(
        self, function: Function, record: Record = record_cuda_graph, limit: int = 6
    ) -> None:
        """Record nothing yet.

        Args:
            function: Takes tensors (or None) by position and options by name.
            record: How to record.
            limit: Number of recordings that are kept; each holds the memory of its activations.
                The least used goes first, so that a stream keeps its own whatever is matched
                beside it.
        """
        self._function = function
        self._record = record
        self._limit = limit
        self._recordings: dict[Hashable, Recording] = {}
        self._uses: dict[Hashable, float] = {}

    def __call__(self, *inputs: Tensor | None, **options: Hashable) -> tuple[Tensor, ...]:
        """Replay with these inputs; the first of their shape and options is recorded."""
        shapes = tuple(None if x is None else (x.shape, x.dtype, x.device) for x in inputs)
        key = shapes, tuple(sorted(options.items()))
        recording = self._recordings.get(key)
        if recording is None:
            recording = self._make(inputs, options)
            self._recordings[key] = recording
        self._uses[key] = self._uses.get(key, 0) + 1
        for kept, given in zip(recording.inputs, inputs, strict=True):
            if kept is not None and given is not None:
                kept.copy_(given)
        recording.replay()
        return tuple(output.clone() for output in recording.outputs)

    def _make(self, inputs: Inputs, options: dict[str, Any]) -> Recording:
        while len(self._recordings) >= self._limit:
            least = min(self._recordings, key=lambda key: self._uses[key])
            del self._recordings[least], self._uses[least]
            # What was used long ago counts less.
            self._uses = {key: uses / 2 for key, uses in self._uses.items()}
        kept = tuple(None if x is None else x.clone() for x in inputs)
        return self._record(lambda: self._function(*kept, **options), kept)

    def forget(self) -> None:
        """Drop all recordings and their memory."""
        self._recordings.clear()
        self._uses.clear()
