"""Alignment on the images: the last tenths of a pixel, beyond the paper's fine stage.

The fine level of a small network is coarse, and the centre of a cell may lie where the image shows
nothing. So each matched cell offers the pixels that are best localised (Shi and Tomasi, "Good
features to track", CVPR 1994), and the patch around each is aligned with the other image by
Gauss-Newton (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004, inverse compositional).
Patches are normalised for gain and offset, and warped by the affine motion of the matches around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from loftr_ros.matching.fine_matching import cell_centres
from loftr_ros.matching.precision import exact_products

if TYPE_CHECKING:
    from loftr_ros.matching.config import MatchingConfig

PATCH_RADIUS = 4
"""Patches have 9 x 9 px: smaller ones hold too little, larger ones are bent by the parallax."""
STEPS = 4
LONGEST_WAY = 4.0
"""Farther than this from where the fine level puts it, px, a patch has found another place."""
LAST_STEP = 0.5
"""A point that still moves by more, px, has not settled."""
WORST_DEVIATION = 1.5
"""Up to this deviation (:attr:`Aligned.deviation`) points become better; blurred ones do not."""
LEAST_CURVATURE = 1e-3
FLAT = 1e-3
"""Contrast below which a patch holds nothing; images are in [0, 1]."""
LEAST_DIFFERENCE = 0.03
"""Squared difference of normalised patches that even equal ones may hide by interpolation."""
REACH = 2
"""Cells around a match whose matches give its affine motion."""
ALIGNED_TOGETHER = 4096


@dataclass(frozen=True)
class Corners:
    """The best localised pixels of each coarse cell, one in each of its best quarters.

    Attributes:
        pixels: (N, L, P, 2) float32, x and y, px.
        cells: (N, L, P) int64, row-major cell on the grid of quarters, twice as fine.
        usable: (N, L, P) bool; where a mask leaves no pixel, the centre of the coarse cell stands.
    """

    pixels: Tensor
    cells: Tensor
    usable: Tensor

    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """All fields, in their order."""
        return self.pixels, self.cells, self.usable

    def part(self, images: slice) -> Corners:
        """Those of some of the images."""
        return Corners(self.pixels[images], self.cells[images], self.usable[images])


@dataclass(frozen=True)
class Aligned:
    """Points of matched cells, P for each of M matches.

    Attributes:
        points0: (M, P, 2), px of image 0.
        points1: (M, P, 2), px of image 1; not aligned: where the fine level and the affine motion
            put them.
        cells: (M, P), row-major cell of image 0 on the grid of quarters.
        deviation: (M, P), Cramer-Rao bound of the position by the patch's curvature and what
            remains of its difference, px times a factor that is calibrated.
        aligned: (M, P) bool.
    """

    points0: Tensor
    points1: Tensor
    cells: Tensor
    deviation: Tensor
    aligned: Tensor


def find_corners(
    images: Tensor, config: MatchingConfig, grid: tuple[int, int], allowed: Tensor | None = None
) -> Corners:
    """The pixels of each cell that are localised best, by the smaller eigenvalue of the gradients.

    Args:
        images: (N, 1, H, W).
        config: Of the network: how many points a cell has, and where it lies.
        grid: Rows and columns of coarse cells.
        allowed: (N, 1, H, W) bool, where the centre of a patch may lie; None for everywhere.
    """
    stride, (rows, columns) = config.stride, grid
    half = stride // 2
    # The first pixel of the first cell, whose centre is at cell_offset.
    first = round(config.cell_offset - (stride - 1) / 2)
    height, width = images.shape[-2:]
    below, right = rows * stride + first - height, columns * stride + first - width
    strength = _strength(images)
    if allowed is not None:
        strength = strength.masked_fill(~allowed, -1.0)
    strength = F.pad(strength, (-first, right, -first, below), value=-1.0)
    best, index = F.max_pool2d(strength, half, return_indices=True)
    y, x = index // (columns * stride) + first, index % (columns * stride) + first
    highest, chosen = _by_cell(best).topk(config.corner_points, dim=-1)
    usable = highest > -0.5
    quarters = torch.arange(4 * rows * columns, device=images.device).view_as(best[:1])
    pixels = torch.stack([_by_cell(x), _by_cell(y)], dim=-1).to(images.dtype)
    pixels = pixels.gather(2, chosen[..., None].expand(-1, -1, -1, 2))
    centres = cell_centres(config, torch.arange(rows * columns, device=images.device), columns)
    return Corners(
        torch.where(usable[..., None], pixels, centres[:, None].to(images.dtype)),
        _by_cell(quarters).expand(len(images), -1, -1).gather(2, chosen),
        usable,
    )


def _by_cell(quarters: Tensor) -> Tensor:
    """(N, 1, 2 rows, 2 columns) to (N, rows * columns, 4)."""
    rows, columns = quarters.shape[-2] // 2, quarters.shape[-1] // 2
    split = quarters.reshape(len(quarters), rows, 2, columns, 2)
    return split.permute(0, 1, 3, 2, 4).reshape(len(quarters), rows * columns, 4)


def _strength(images: Tensor) -> Tensor:
    """Smaller eigenvalue of the structure tensor of 5 x 5 px: (N, 1, H, W)."""
    x, y = _gradients(images)
    products = torch.cat([x * x, y * y, x * y], dim=1)
    for dim in (-1, -2):
        products = _sums(products, dim)
    xx, yy, xy = products.split(1, dim=1)
    return (xx + yy) / 2 - ((xx - yy) ** 2 / 4 + xy**2).sqrt()


def _sums(values: Tensor, dim: int) -> Tensor:
    """Sums over 5 neighbours along a dimension of (N, C, H, W); pooling takes twice as long."""
    size = values.shape[dim]
    wide = F.pad(values, (2, 2, 0, 0) if dim == -1 else (0, 0, 2, 2))
    total = wide.narrow(dim, 0, size) + wide.narrow(dim, 1, size)
    for shift in (2, 3, 4):
        total += wide.narrow(dim, shift, size)
    return total


def _gradients(images: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along x and y, (N, 1, H, W) each."""
    wide = F.pad(images, (1, 1, 1, 1), mode='replicate')
    x = (wide[..., 1:-1, 2:] - wide[..., 1:-1, :-2]) / 2
    y = (wide[..., 2:, 1:-1] - wide[..., :-2, 1:-1]) / 2
    return x, y


def align(
    images: tuple[Tensor, Tensor],
    corners: Corners,
    matches: tuple[Tensor, Tensor, Tensor, Tensor, Tensor],
    config: MatchingConfig,
    grid: tuple[int, int],
) -> Aligned:
    """Align the best localised points of matched cells.

    Args:
        images: (N, 1, H, W) and (N, 1, H', W'), float32 in [0, 1].
        corners: Of images 0.
        matches: Pair (M,), cell of image 0 (M,), the points (M, 2) of both images, px, and whether
            it is a match (M,).
        config: Of the network.
        grid: Rows and columns of coarse cells of image 0.
    """
    batch, cells0, points0, points1, found = matches
    pixels, quarters = corners.pixels[batch, cells0], corners.cells[batch, cells0]
    with exact_products(points0.device):
        shape, motion = (len(images[0]), *grid), points1 - points0
        place = points0 - cell_centres(config, cells0, grid[1])
        affine = local_affine((batch, cells0, motion, found), shape, config, place)
        ahead = torch.einsum('mij,mpj->mpi', affine, pixels - points0[:, None])
        start = points1[:, None] + ahead
        layers0 = torch.cat([images[0], *_gradients(images[0])], dim=1)
        rows = (batch, pixels, start, affine)
        parts = zip(*(row.split(ALIGNED_TOGETHER) for row in rows), strict=True)
        results = [_gauss_newton(layers0, images[1], *part) for part in parts]
    moved, deviation, settled = (torch.cat(parts) for parts in zip(*results, strict=True))
    settled = settled & corners.usable[batch, cells0]
    points1 = torch.where(settled[..., None], moved, start)
    return Aligned(pixels, points1, quarters, deviation, settled)


def local_affine(
    matches: tuple[Tensor, Tensor, Tensor, Tensor],
    shape: tuple[int, int, int],
    config: MatchingConfig,
    places: Tensor | None = None,
) -> Tensor:
    """Jacobian (M, 2, 2) of the motion from image 0 to image 1 around each match.

    By least squares over the matches of the cells around, without those that differ by more than
    their distance; where there are few it tends to a shift.

    Args:
        matches: Pair (M,), row-major cell of image 0 (M,), point of image 1 minus that of image 0
            (M, 2), px, and whether it is a match (M,).
        shape: Pairs, and rows and columns of the grid.
        config: Of the network.
        places: Points of image 0 from the centres of their cells (M, 2), px; None for these.
    """
    batch, cells, motion, found = matches
    pairs, rows, columns = shape
    side = 2 * REACH + 1
    places = torch.zeros_like(motion) if places is None else places
    field = motion.new_zeros(pairs, rows * columns, 5)
    # A match that overflowed in half precision must not spread.
    counts = (motion.isfinite().all(dim=1) & found)[:, None].to(motion.dtype)
    field[batch, cells] = torch.cat([motion.nan_to_num(), counts, places], dim=1)
    field = field.transpose(1, 2).reshape(pairs, 5, rows, columns)
    around = F.unfold(field, side, padding=REACH).view(pairs, 5, side**2, rows * columns)
    near = around.permute(0, 3, 2, 1)[batch, cells]
    axis = torch.arange(-REACH, REACH + 1, device=motion.device, dtype=motion.dtype)
    step = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), dim=-1).view(-1, 2)
    step = step * config.stride + near[..., 3:] - places[:, None]
    change = near[..., :2] - motion.nan_to_num()[:, None]
    agree = (near[..., 2] > 0) & (change.square().sum(-1) < step.square().sum(-1))
    weighted = agree[..., None] * step
    ridge = 2.0 * config.stride**2 * torch.eye(2, device=motion.device)
    normal = torch.einsum('mki,mkj->mij', weighted, step) + ridge
    slope = torch.einsum('mki,mkj->mij', change, weighted) @ _inverse(normal)
    return slope + torch.eye(2, device=motion.device)


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of (M, 2, 2) that are regular; torch's own waits for the GPU."""
    a, b, c, d = matrix.flatten(1).unbind(dim=1)
    adjugate = torch.stack([d, -b, -c, a], dim=1).view_as(matrix)
    return adjugate / (a * d - b * c)[:, None, None]


def _gauss_newton(
    layers0: Tensor, images1: Tensor, batch: Tensor, pixels: Tensor, start: Tensor, affine: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Aligned points (M, P, 2), their deviation (M, P), and whether they are to be believed."""
    steps, weight = _patch(pixels)
    patch = _sample(layers0, batch, pixels[..., None, :] + steps)
    template, contrast = _normalised(patch[..., 0], weight)
    gradient = patch[..., 1:] - _mean(patch[..., 1:], weight)
    gradient = gradient / contrast[..., None, None]
    weighted = gradient * weight[:, None]
    normal = torch.einsum('mpki,mpkj->mpij', weighted, gradient)
    curvature = _smaller_eigenvalue(normal).clamp(min=LEAST_CURVATURE)
    ridge = LEAST_CURVATURE * torch.eye(2, device=normal.device)
    inverse = _inverse((normal + ridge).flatten(0, 1)).view_as(normal)
    descent = torch.einsum('mij,mpjk,mplk->mpli', affine, inverse, weighted)
    warped = torch.einsum('mij,kj->mki', affine, steps)[:, None]
    points, step = start, torch.zeros_like(start)
    for _ in range(STEPS):
        seen = _sample(images1, batch, points[..., None, :] + warped)[..., 0]
        rest = _normalised(seen, weight)[0] - template
        step = torch.einsum('mpli,mpl->mpi', descent, rest).clamp(-2, 2)
        points = points - step
    seen, other = _normalised(
        _sample(images1, batch, points[..., None, :] + warped)[..., 0], weight
    )
    remaining = (seen - template).square() @ weight
    deviation = ((remaining + LEAST_DIFFERENCE) / curvature).sqrt()
    believed = (deviation < WORST_DEVIATION) & (torch.minimum(contrast, other) > FLAT)
    believed &= (points - start).square().sum(-1) < LONGEST_WAY**2
    believed &= step.square().sum(-1) < LAST_STEP**2
    # The squared difference of normalised patches is 2 - 2 ZNCC.
    height, width = images1.shape[-2:]
    x, y = points.unbind(-1)
    believed &= (remaining < 1) & (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return points, deviation, believed


def _patch(like: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (K, 2) of a patch around its centre, px, and their weights (K,), which sum to 1."""
    axis = torch.arange(-PATCH_RADIUS, PATCH_RADIUS + 1, device=like.device, dtype=like.dtype)
    steps = torch.stack(torch.meshgrid(axis, axis, indexing='xy'), dim=-1).view(-1, 2)
    weight = torch.exp(-steps.square().sum(-1) / (2 * (0.8 * PATCH_RADIUS) ** 2))
    return steps, weight / weight.sum()


def _sample(images: Tensor, batch: Tensor, points: Tensor) -> Tensor:
    """Bilinear values (M, P, K, C) of images (N, C, H, W) at points (M, P, K, 2), px."""
    number, channels, height, width = images.shape
    # All images in one, below each other; beyond its border each goes on as it ends.
    tall = images.transpose(0, 1).reshape(1, channels, number * height, width)
    x = points[..., 0].clamp(0, width - 1)
    y = points[..., 1].clamp(0, height - 1) + (batch * height)[:, None, None]
    last = number * height - 1
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(last, 1)) - 1], dim=-1)
    values = F.grid_sample(tall, grid.flatten(0, 1)[None], 'bilinear', 'border', True)
    return values[0].permute(1, 2, 0).view(*points.shape[:-1], channels)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return torch.einsum('mpkc,k->mpc', values, weight)[..., None, :]


def _normalised(patches: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (M, P, K) with mean 0 and deviation 1, and what their deviation (M, P) was."""
    centred = patches - (patches @ weight)[..., None]
    contrast = (centred.square() @ weight).sqrt().clamp(min=1e-6)
    return centred / contrast[..., None], contrast


def _smaller_eigenvalue(matrix: Tensor) -> Tensor:
    """Of symmetric (..., 2, 2)."""
    xx, yy, xy = matrix[..., 0, 0], matrix[..., 1, 1], matrix[..., 0, 1]
    return (xx + yy) / 2 - ((xx - yy) ** 2 / 4 + xy**2).sqrt()
