"""Sessions of ONNX Runtime for the stages of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from loftr_ros.matching.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from loftr_ros.matching.onnx_folder import Manifest


class Stages:
    """Sessions of ONNX Runtime, one for each stage."""

    def __init__(self, manifest: Manifest, sessions: Mapping[str, Any]) -> None:
        """Take the sessions by the names of their stages."""
        self._sessions = dict(sessions)
        size = manifest.size
        self.fixed_size = None if size is None else (size[1], size[0])

    def check_size(self, images: Tensor) -> None:
        """Refuse images that the graphs do not take.

        Raises:
            ImageError: The graphs are for images of another size.
        """
        height, width = images.shape[-2:]
        if self.fixed_size not in (None, (height, width)):
            only = f'{self.fixed_size[1]}x{self.fixed_size[0]}' if self.fixed_size else ''
            raise ImageError(
                f'the image is matched at {width}x{height}, the export takes {only} alone: export '
                f'with --size {width}x{height} or --dynamic (longer_side shrinks images before)'
            )

    def run(self, stage: str, **inputs: Tensor) -> list[Tensor]:
        """Outputs of a stage, where its inputs are."""
        device = next(iter(inputs.values())).device
        arrays = {name: np.ascontiguousarray(x.cpu().numpy()) for name, x in inputs.items()}
        outputs = self._sessions[stage].run(None, arrays)
        return [torch.from_numpy(output).to(device) for output in outputs]
