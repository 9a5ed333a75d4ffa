"""Local feature CNN: a ResNet with a feature pyramid (section 3.1 of the paper)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from loftr_ros.matching.config import LoFTRConfig


def conv1x1(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """Pointwise convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=1, stride=stride, bias=False)


def conv3x3(channels_in: int, channels_out: int, stride: int = 1) -> nn.Conv2d:
    """Padded 3x3 convolution without bias."""
    return nn.Conv2d(channels_in, channels_out, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    """Residual block of two 3x3 convolutions."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels_in, channels, stride)
        self.conv2 = conv3x3(channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = (
            None
            if stride == 1
            else nn.Sequential(conv1x1(channels_in, channels, stride), nn.BatchNorm2d(channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(y.add_(shortcut), inplace=True)


class ResNetFPN(nn.Module):
    """Coarse and fine feature maps; module names are those of the official checkpoints."""

    def __init__(self, config: LoFTRConfig) -> None:
        super().__init__()
        self.stem = config.stem
        self.first, self.last = config.stages
        dims = dict(zip(range(self.first, self.last + 1), config.block_dims, strict=True))
        if config.stem == 'unshuffle':
            self.conv1 = conv3x3(16, config.initial_dim)
        else:
            self.conv1 = nn.Conv2d(1, config.initial_dim, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.initial_dim)
        channels_in = config.initial_dim
        for stage, channels in dims.items():
            stride = 1 if stage == self.first else 2
            blocks = (BasicBlock(channels_in, channels, stride), BasicBlock(channels, channels, 1))
            self.add_module(f'layer{stage}', nn.Sequential(*blocks))
            channels_in = channels
        self._add_pyramid(dims)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode='fan_out', nonlinearity='relu')

    def _add_pyramid(self, dims: dict[int, int]) -> None:
        last = self.last
        self.add_module(f'layer{last}_outconv', conv1x1(dims[last], dims[last]))
        for stage in (last - 1, last - 2):
            self.add_module(f'layer{stage}_outconv', conv1x1(dims[stage], dims[stage + 1]))
            smooth = nn.Sequential(
                conv3x3(dims[stage + 1], dims[stage + 1]),
                nn.BatchNorm2d(dims[stage + 1]),
                nn.LeakyReLU(inplace=True),
                conv3x3(dims[stage + 1], dims[stage]),
            )
            self.add_module(f'layer{stage}_outconv2', smooth)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Coarse (N, C_c, H_c, W_c) and fine (N, C_f, H_f, W_f) maps of images (N, 1, H, W)."""
        x = F.pixel_unshuffle(images, 4) if self.stem == 'unshuffle' else images
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        maps = {}
        for stage in range(self.first, self.last + 1):
            x = self.get_submodule(f'layer{stage}')(x)
            maps[stage] = x
        coarse = self.get_submodule(f'layer{self.last}_outconv')(maps[self.last])
        fine = coarse
        for stage in (self.last - 1, self.last - 2):
            skip = self.get_submodule(f'layer{stage}_outconv')(maps.pop(stage))
            skip += _upsample_to(fine, skip)
            fine = self.get_submodule(f'layer{stage}_outconv2')(skip)
        return coarse, fine

    def fold_batch_norms(self) -> None:
        """Put the batch norms into the convolutions before them, for inference alone.

        The same function, up to the rounding of float32.
        """
        for module in list(self.modules()):
            for name, norm in list(module.named_children()):
                if isinstance(norm, nn.BatchNorm2d):
                    before = str(int(name) - 1) if name.isdigit() else name.replace('bn', 'conv')
                    convolution = module.get_submodule(before)
                    assert isinstance(convolution, nn.Conv2d)
                    module.add_module(before, fuse_conv_bn_eval(convolution, norm))
                    module.add_module(name, nn.Identity())


def _upsample_to(x: Tensor, like: Tensor) -> Tensor:
    """Double the map as the official code does, then crop what a rounded-up size added."""
    doubled = F.interpolate(x, scale_factor=2.0, mode='bilinear', align_corners=True)
    return doubled[..., : like.shape[-2], : like.shape[-1]]
