"""Several pairs at once: what sharing images and what a batch through the network gain.

    python benchmarks/batches.py --cameras 4

A ring of cameras, each matched with the next one: one by one, by `Matcher.match_pairs`, which
encodes each image once, and as one batch through the network, in turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.network import FeatureMaps
from loftr_ros.rendering.procedural import procedural_texture


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('--cameras', type=int, default=4)
    parser.add_argument('--size', default='640x480', help='width x height of the images, px')
    parser.add_argument('--weights', default='lite', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--rounds', type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()
    width, height = map(int, options.size.split('x'))
    matcher = Matcher(options.weights, device=options.device, precision='float32', longer_side=None)
    scene = procedural_texture(2 * max(width, height), np.random.default_rng(5))
    images = [
        np.ascontiguousarray(scene[20:][:height, 30 * i :][:, :width])
        for i in range(options.cameras)
    ]
    pairs = [(image, images[(i + 1) % len(images)]) for i, image in enumerate(images)]
    tensor = torch.from_numpy(np.stack(images)[:, None]).float().to(matcher.device) / 255

    def batch() -> int:
        with torch.inference_mode():
            maps = matcher.network.encode(tensor)
            image = None if maps.image is None else maps.image.roll(-1, 0)
            following = FeatureMaps(maps.coarse.roll(-1, 0), maps.fine.roll(-1, 0), image=image)
            found = matcher.network.match(maps, following, matcher.confidence_threshold)
            return len(found.points1.cpu())

    variants: dict[str, Callable[[], int]] = {
        'one by one': lambda: sum(len(matcher.match_images(*pair)) for pair in pairs),
        'match_pairs: images shared': lambda: sum(map(len, matcher.match_pairs(pairs))),
        'one batch through the network': batch,
    }
    times: dict[str, list[float]] = {name: [] for name in variants}
    matches = {name: variant() for name, variant in variants.items()}
    for _ in range(options.rounds):
        for name, variant in variants.items():
            started = time.perf_counter()
            variant()
            times[name].append(1e3 * (time.perf_counter() - started))
    table = Table(title=f'{len(pairs)} pairs of {options.size}, {matcher.device}')
    for name in ('', 'matches', 'ms', 'p10-p90', 'x one by one'):
        table.add_column(name, justify='right' if name else 'left')
    base = float(np.median(times['one by one']))
    for name, values in times.items():
        low, median, high = np.percentile(values, (10, 50, 90))
        row = f'{median:.0f}', f'{low:.0f}-{high:.0f}', f'{base / median:.2f}'
        table.add_row(name, str(matches[name]), *row)
    Console(width=100).print(table)


if __name__ == '__main__':
    main()
