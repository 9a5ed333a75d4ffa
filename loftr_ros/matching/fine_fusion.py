"""Fine features of EfficientLoFTR: transformed coarse features with the maps at 1/4 and 1/2.

Section 3.4 of the paper, "Efficient Fine Feature Extraction". The paper's fine map, of the size of
the image, is the last one here, interpolated; only windows of it are ever made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from loftr_ros.matching.backbone import conv1x1, conv3x3

if TYPE_CHECKING:
    from loftr_ros.matching.config import EfficientConfig


class FineFusion(nn.Module):
    """Pyramid from 1/8 to 1/2; module names are those of the official checkpoints."""

    def __init__(self, config: EfficientConfig) -> None:
        super().__init__()
        fine, middle, coarse = config.dims[1:]
        self.layer3_outconv = conv1x1(coarse, coarse)
        self.layer2_outconv = conv1x1(middle, coarse)
        self.layer2_outconv2 = _smooth(coarse, middle)
        self.layer1_outconv = conv1x1(fine, middle)
        self.layer1_outconv2 = _smooth(middle, fine)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def forward(self, coarse: Tensor, middle: Tensor, fine: Tensor) -> Tensor:
        """Maps (N, C_c, H / 8, W / 8), at 1/4 and at 1/2 to (N, C_f, H / 2, W / 2)."""
        coarse = self.layer3_outconv(coarse / coarse.shape[1] ** 0.5)
        middle = self.layer2_outconv2(_doubled(coarse) + self.layer2_outconv(middle))
        fused: Tensor = self.layer1_outconv2(_doubled(middle) + self.layer1_outconv(fine))
        return fused

    def fold_batch_norms(self) -> None:
        """Put the batch norms into the convolutions before them, for inference alone."""
        for smooth in (self.layer2_outconv2, self.layer1_outconv2):
            if isinstance(smooth[1], nn.BatchNorm2d):
                convolution = smooth[0]
                assert isinstance(convolution, nn.Conv2d)
                smooth[0] = fuse_conv_bn_eval(convolution, smooth[1])
                smooth[1] = nn.Identity()


def _smooth(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        conv3x3(channels_in, channels_in),
        nn.BatchNorm2d(channels_in),
        nn.LeakyReLU(inplace=True),
        conv3x3(channels_in, channels),
    )


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode='bilinear')
