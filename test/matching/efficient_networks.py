"""EfficientLoFTR with random weights that let signals keep their size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from loftr_ros.matching.config import EfficientConfig
from loftr_ros.matching.efficient import EfficientLoFTR


def randomized(config: EfficientConfig) -> EfficientLoFTR:
    """A network whose signals keep their size: norms know the statistics of what they see."""
    torch.manual_seed(1)
    network = EfficientLoFTR(config)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.2)
    with torch.no_grad():
        for branch in network.backbone.layer3[-1].children():  # type: ignore[index,union-attr]
            getattr(branch, 'bn', branch).weight.mul_(0.4)
    maps = network.train().encode(smooth_noise(4, (128, 128)))
    with torch.no_grad():
        # What all cells have in common would make one of them match all.
        mean = network.transform(maps, maps)[0].mean(dim=(0, 1))
        network.loftr_coarse.layers[-1].norm2.bias.sub_(mean)  # type: ignore[union-attr,operator]
        for _ in range(2):  # the fusion sees transformed features
            network.fused(network.transform(maps, maps)[0], maps)
    return network.eval()


def smooth_noise(batch: int, size: tuple[int, int]) -> Tensor:
    coarse = torch.rand(batch, 1, -(-size[0] // 3), -(-size[1] // 3))
    return F.interpolate(coarse, size=size, mode='bilinear')
