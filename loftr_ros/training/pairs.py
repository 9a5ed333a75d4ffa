"""Training pairs with their ground-truth matches, made on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from loftr_ros.matching.config import LoFTRConfig
from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.rendering.planes import render, transfer
from loftr_ros.rendering.textures import TextureBank

from .photometric import degrade
from .scenes import ScenePair, SceneSampler


@dataclass(frozen=True)
class Labels:
    """Ground-truth coarse matches of a batch of pairs.

    Attributes:
        batch: (M,) int64, pair of each match.
        cells0: (M,) int64, row-major cell of image 0.
        cells1: (M,) int64, row-major cell of image 1.
        offset: (M, 2) float32, true position minus centre of ``cells1``, px.
    """

    batch: Tensor
    cells0: Tensor
    cells1: Tensor
    offset: Tensor


@dataclass(frozen=True)
class TrainingPairs:
    """A batch of image pairs and where their cells correspond.

    Attributes:
        images0: float32 (B, 1, H, W) in [0, 1].
        images1: float32 (B, 1, H, W) in [0, 1].
        labels: The matches that the network should find.
        geometry: The scenes, from which any other truth can be derived.
    """

    images0: Tensor
    images1: Tensor
    labels: Labels
    geometry: ScenePair


def make_pairs(
    sampler: SceneSampler, bank: TextureBank, config: LoFTRConfig, batch: int, size: tuple[int, int]
) -> TrainingPairs:
    """Draw scenes, render both views, degrade the images, label the cells; size is (H, W)."""
    pair = sampler.sample(batch, size)
    images0, _ = render(pair.scene, pair.camera0, size, bank)
    images1, _ = render(pair.scene, pair.camera1, size, bank)
    images = degrade(torch.cat([images0, images1]), sampler.generator)
    return TrainingPairs(images[:batch], images[batch:], label_cells(pair, config, size), pair)


def label_cells(pair: ScenePair, config: LoFTRConfig, size: tuple[int, int]) -> Labels:
    """Cells whose centres project nearest to each other's, both ways (supplement of the paper)."""
    stride = config.resolution[0]
    rows, columns = -(-size[0] // stride), -(-size[1] // stride)
    batch = len(pair.scene.u)
    device = pair.scene.u.device
    centres = cell_centres(config, torch.arange(rows * columns, device=device), columns)
    centres = centres.expand(batch, -1, -1)
    there, seen0 = transfer(pair.scene, pair.camera0, pair.camera1, centres)
    back, seen1 = transfer(pair.scene, pair.camera1, pair.camera0, centres)
    cells1, valid0 = nearest_cells(config, there, seen0, rows, columns)
    cells0, valid1 = nearest_cells(config, back, seen1, rows, columns)
    own = torch.arange(rows * columns, device=device)
    mutual = (cells0.gather(1, cells1) == own) & valid0 & valid1.gather(1, cells1)
    index, matched0 = torch.nonzero(mutual, as_tuple=True)
    matched1 = cells1[index, matched0]
    offset = there[index, matched0] - cell_centres(config, matched1, columns)
    return Labels(index, matched0, matched1, offset)


def nearest_cells(
    config: LoFTRConfig, points: Tensor, seen: Tensor, rows: int, columns: int
) -> tuple[Tensor, Tensor]:
    """Cell (B, N) nearest to points (B, N, 2) and whether it is on the grid and the point seen."""
    cells = ((points - config.cell_offset) / config.resolution[0]).round().nan_to_num(-1)
    x, y = cells.clamp(-1, 1e6).long().unbind(-1)
    valid = seen & (x >= 0) & (y >= 0) & (x < columns) & (y < rows)
    return torch.where(valid, y * columns + x, torch.zeros_like(x)), valid
