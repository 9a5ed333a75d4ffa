"""Would the fine level pay on the tiles alone that windows of matches touch?

    python benchmarks/fine_tiles.py ../shared/data

The last layers of the feature pyramid take a third of the full model's backbone, and only windows
of 5 x 5 fine cells around matches are read. First the share of tiles that these windows touch, at
1,500 matches of real pairs on the grid of the full model (cells of 8 px; the places are those where
`lite` matches images of twice the size). Then the time that the processor spends on these layers,
on all of the image and on that share of tiles, with the same results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.evaluation.matchers.pairs import PoseSet, find_pair_sets
from loftr_ros.evaluation.matchers.resizing import resize
from loftr_ros.matching.config import OUTDOOR
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import LoFTR

TILES = (4, 8, 16)
HALO = 2
"""Fine cells that the two 3 x 3 convolutions look beyond a tile."""


def touched(points: NDArray[Any], size: tuple[int, int], tile: int) -> NDArray[np.bool_]:
    """Tiles, `tile` fine cells wide, that windows around points (px) reach: bool (R, C)."""
    fine = np.zeros((size[0] // 2, size[1] // 2), np.bool_)
    for column, row in np.rint((points + 0.5) / 8).astype(int) * 4:
        fine[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = True
    rows, columns = (-(-side // tile) for side in fine.shape)
    padded = np.zeros((rows * tile, columns * tile), np.bool_)
    padded[: fine.shape[0], : fine.shape[1]] = fine
    return np.asarray(padded.reshape(rows, tile, columns, tile).any(axis=(1, 3)))


def shares(data: Path, pairs: int, matches: int) -> dict[str, list[float]]:
    """Share of tiles touched in the query of each set, one value for each size of tiles."""
    matcher = Matcher(
        'lite', precision='float32', longer_side=None, confidence_threshold=0.0, max_matches=matches
    )
    found = {}
    for pair_set in find_pair_sets(data, max_pairs=pairs):
        if not isinstance(pair_set, PoseSet):
            continue
        values = []
        for pair in pair_set.pairs:
            images = []
            for index in (pair.reference, pair.query):
                image = resize(pair_set.sequence[index].frame.image, 640).image
                images.append(np.asarray(cv2.resize(image, None, fx=2, fy=2), np.uint8))
            points = (matcher.match_images(*images).query_points + 0.5) / 2 - 0.5
            size = images[1].shape[0] // 2, images[1].shape[1] // 2
            values.append([float(touched(points, size, tile).mean()) for tile in TILES])
        found[pair_set.name] = [float(value) for value in np.mean(values, axis=0)]
    return found


def on_tiles(smooth: nn.Sequential, skip: Tensor, chosen: Tensor, tile: int) -> Tensor:
    """The two convolutions on some tiles (T, 2: row, column): (T, C, tile, tile)."""
    height, width = skip.shape[-2:]
    side = tile + 2 * HALO
    padded = F.pad(skip, (HALO, HALO + tile, HALO, HALO + tile))
    patches = padded.unfold(2, side, tile).unfold(3, side, tile)[0]
    patches = patches[:, chosen[:, 0], chosen[:, 1]].transpose(0, 1)
    patches = patches.contiguous(memory_format=torch.channels_last)
    first, norm, activation, second = smooth
    middle = activation(norm(F.conv2d(patches, first.weight)))  # type: ignore[arg-type]
    # What lies outside of the image is zero for the second convolution, too.
    steps = torch.arange(-1, tile + 1)
    y, x = (chosen[:, axis, None] * tile + steps for axis in (0, 1))
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    return F.conv2d(middle * inside[:, None], second.weight)  # type: ignore[arg-type]


def timings(found: dict[str, list[float]], rounds: int) -> Table:
    """Time of the layers with random weights at 640x480, whole and on the tiles, in turns."""
    torch.manual_seed(0)
    backbone = LoFTR(OUTDOOR).eval().backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    smooth = backbone.get_submodule('layer1_outconv2')
    assert isinstance(smooth, nn.Sequential)
    skip = torch.randn(1, 196, 240, 320).contiguous(memory_format=torch.channels_last)
    table = Table(title='Layers of the fine level, full model, 640x480, float32')
    for name in ('tiles', 'share', 'CPU ms', 'x whole', 'largest difference'):
        table.add_column(name, justify='right')
    image = torch.rand(1, 1, 480, 640)
    variants = {'backbone': lambda: backbone(image)[1], 'whole': lambda: smooth(skip)}
    choices = {}
    for index, tile in enumerate(TILES):
        share = float(np.mean([values[index] for values in found.values()]))
        grid = torch.ones(240 // tile, 320 // tile, dtype=torch.bool).nonzero()
        order = torch.randperm(len(grid))[: round(share * len(grid))]
        choices[tile] = grid[order.sort().values]
        variants[f'{tile}'] = lambda tile=tile: on_tiles(smooth, skip, choices[tile], tile)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in variants}
    with torch.inference_mode():
        whole = smooth(skip)
        for number in range(rounds + 1):
            for name, variant in variants.items():
                started = time.process_time()
                variant()
                if number:
                    times[name].append(1e3 * (time.process_time() - started))
        base = float(np.median(times['whole']))
        for name, values in times.items():
            covered, difference = '', ''
            if name.isdigit():
                tile, chosen = int(name), choices[int(name)]
                cut = whole.unfold(2, tile, tile).unfold(3, tile, tile)[0]
                truth = cut[:, chosen[:, 0], chosen[:, 1]].transpose(0, 1)
                error = (on_tiles(smooth, skip, chosen, tile) - truth).abs().max()
                covered, difference = f'{len(chosen) * tile**2 / 76800:.2f}', f'{error:.1e}'
            median = float(np.median(values))
            table.add_row(name, covered, f'{median:.0f}', f'{median / base:.2f}', difference)
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('data', type=Path, help='folder with datasets')
    parser.add_argument('--pairs', type=int, default=8, help='of each set at most')
    parser.add_argument('--matches', type=int, default=1500)
    parser.add_argument('--rounds', type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    found = shares(options.data, options.pairs, options.matches)
    table = Table(title=f'Share of tiles that {options.matches} matches touch')
    for name in ('set', *(f'{tile} x {tile}' for tile in TILES)):
        table.add_column(name, justify='left' if name == 'set' else 'right')
    for name, values in found.items():
        table.add_row(name, *(f'{value:.2f}' for value in values))
    console = Console(width=100)
    console.print(table)
    console.print(timings(found, options.rounds))


if __name__ == '__main__':
    main()
