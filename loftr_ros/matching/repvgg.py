"""Local feature CNN of EfficientLoFTR, section 3.1: RepVGG (Ding et al., CVPR 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from loftr_ros.matching.config import EfficientConfig

STRIDES = (2, 1, 2, 2)
"""Of the first block of each stage."""


class NormedConv(nn.Module):
    """Convolution and batch norm, one branch of a block."""

    def __init__(self, channels_in: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        nn.init.kaiming_normal_(self.conv.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y: Tensor = self.bn(self.conv(x))
        return y


class RepVGGBlock(nn.Module):
    """Sum of a 3x3 branch, a 1x1 branch and, where shapes allow, the input, each normed."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.rbr_dense = NormedConv(channels_in, channels, 3, stride)
        self.rbr_1x1 = NormedConv(channels_in, channels, 1, stride)
        same = channels_in == channels and stride == 1
        self.rbr_identity = nn.BatchNorm2d(channels) if same else None
        self.fused: nn.Conv2d | None = None

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        if self.fused is not None:
            return F.relu(self.fused(x), inplace=True)
        y: Tensor = self.rbr_dense(x) + self.rbr_1x1(x)
        return F.relu(y if self.rbr_identity is None else y + self.rbr_identity(x))

    def fuse(self) -> None:
        """Replace the branches by one convolution: the same function, up to rounding."""
        dense = self.rbr_dense.conv
        weight, bias = _folded(dense.weight, self.rbr_dense.bn)
        pointwise, of_pointwise = _folded(self.rbr_1x1.conv.weight, self.rbr_1x1.bn)
        weight, bias = weight + F.pad(pointwise, (1, 1, 1, 1)), bias + of_pointwise
        if self.rbr_identity is not None:
            identity = torch.zeros_like(dense.weight)
            identity[:, :, 1, 1] = torch.eye(len(identity), device=identity.device)
            same, of_same = _folded(identity, self.rbr_identity)
            weight, bias = weight + same, bias + of_same
        fused = nn.Conv2d(dense.in_channels, dense.out_channels, 3, dense.stride[0], 1)
        fused.weight, fused.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
        self.fused = fused.to(dense.weight.device)
        del self.rbr_dense, self.rbr_1x1, self.rbr_identity


def _folded(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution with the batch norm after it."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return fuse_conv_bn_weights(
        weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )


class RepVGG(nn.Module):
    """Maps at 1/8, 1/2 and 1/4; module names are those of the official checkpoints."""

    def __init__(self, config: EfficientConfig) -> None:
        super().__init__()
        channels_in = 1
        for stage, (count, channels) in enumerate(zip(config.blocks, config.dims, strict=True)):
            strides = [STRIDES[stage]] + [1] * (count - 1)
            channels_of = [channels_in] + [channels] * (count - 1)
            blocks = [
                RepVGGBlock(c, channels, s) for c, s in zip(channels_of, strides, strict=True)
            ]
            # The first stage of the official code is a block by itself.
            self.add_module(f'layer{stage}', blocks[0] if stage == 0 else nn.Sequential(*blocks))
            channels_in = channels

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Coarse (N, C_c, H / 8, W / 8), fine (N, C_f, H / 2, W / 2), middle map (at 1/4)."""
        fine = self.get_submodule('layer1')(self.get_submodule('layer0')(images))
        middle = self.get_submodule('layer2')(fine)
        return self.get_submodule('layer3')(middle), fine, middle

    def fuse(self) -> None:
        """Fuse the branches of all blocks, for inference alone."""
        for module in list(self.modules()):
            if isinstance(module, RepVGGBlock) and module.fused is None:
                module.fuse()
