"""EfficientLoFTR with its stages computed by ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from loftr_ros.matching.efficient import EfficientLoFTR
from loftr_ros.matching.onnx_folder import COARSE, ENCODER, FINE
from loftr_ros.matching.pair_network import FeatureMaps

if TYPE_CHECKING:
    from loftr_ros.matching.config import EfficientConfig
    from loftr_ros.matching.onnx_stages import Stages


class OnnxEfficientLoFTR(EfficientLoFTR):
    """EfficientLoFTR that has graphs instead of weights."""

    def __init__(self, config: EfficientConfig, stages: Stages) -> None:
        """Compute the stages by graphs."""
        super().__init__(config)
        del self.backbone, self.loftr_coarse, self.fine_preprocess
        self._stages = stages
        self.fixed_size = stages.fixed_size

    def encode(
        self,
        images: Tensor,
        mask: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),  # noqa: ARG002 - as in EfficientLoFTR
        allowed: Tensor | None = None,
    ) -> FeatureMaps:
        """Features of grey images; see :meth:`PairNetwork.encode`.

        Raises:
            ImageError: The graphs are for images of another size.
        """
        self._stages.check_size(images)
        parts = [self._stages.run(ENCODER, image=image[None]) for image in images]
        coarse, fine, middle = (torch.cat(part) for part in zip(*parts, strict=True))
        maps = FeatureMaps(coarse, fine, mask, middle=middle)
        return self.with_corners(maps, images, allowed)

    def transform(self, maps0: FeatureMaps, maps1: FeatureMaps) -> tuple[Tensor, Tensor]:
        """Coarse features conditioned on both images."""
        inputs: dict[str, Tensor] = {}
        for image, maps in enumerate((maps0, maps1)):
            inputs[f'map{image}'] = maps.coarse.permute(0, 2, 3, 1)
            everything = torch.ones(len(maps.coarse), *maps.grid, dtype=torch.bool)
            inputs[f'mask{image}'] = everything if maps.mask is None else maps.mask
        pairs = [
            self._stages.run(COARSE, **{n: tensor[i : i + 1] for n, tensor in inputs.items()})
            for i in range(len(maps0.coarse))
        ]
        coarse0, coarse1 = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        return coarse0.flatten(1, 2), coarse1.flatten(1, 2)

    def fused(self, coarse: Tensor, maps: FeatureMaps) -> Tensor:
        """Map (N, C_f, H / 2, W / 2) of transformed coarse features (N, L, C)."""
        assert maps.middle is not None
        grid = coarse.transpose(1, 2).unflatten(2, maps.grid)
        inputs = zip(grid, maps.middle, maps.fine, strict=True)
        parts = [
            self._stages.run(FINE, coarse=c[None], middle=m[None], fine=f[None])[0]
            for c, m, f in inputs
        ]
        return torch.cat(parts)

    def fold_batch_norms(self) -> None:
        """They were folded when the graphs were made."""
