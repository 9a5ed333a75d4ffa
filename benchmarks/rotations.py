"""What `try_views` is worth: matches of images that are rotated by 90, 180 or 270 degrees.

    python benchmarks/rotations.py ../shared/data --pairs 25

Pairs of real images with known poses; the query is rotated as it comes from a camera that rolls. A
match is right if, with both images upright, it lies within 2 px (at 640 px) of its
epipolar line.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.evaluation.matchers.pairs import PairSet, PoseSet, find_pair_sets
from loftr_ros.evaluation.records.metrics import epipolar_distances
from loftr_ros.matching.matcher import Matcher
from loftr_ros.matching.views import QUARTERS, View, see, to_image
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.visualization.matches import draw_matches

LIMIT = 2.0 / 640
DRAWN_ROLL, DRAWN_ZOOM = 40, 0.5


@dataclass
class Counts:
    """Figures of one matcher on one set in one rotation, one entry for each pair.

    Attributes:
        matches: Number of matches.
        right: Number of right ones.
        found: Whether the rotation was found.
        share: Sum of the confidences for each cell of the reference.
        milliseconds: To encode and match the query, with the rotation of the pair before unknown.
        known: The same when it is known, as in a stream.
    """

    matches: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    share: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    known: list[float] = field(default_factory=list)


def run(matcher: Matcher, pairs: PoseSet, view: View) -> Counts:
    """Match all pairs of a set, the queries rotated."""
    counts = Counts()
    for pair in pairs.pairs:
        first, second = (pairs.sequence[i].frame for i in (pair.reference, pair.query))
        if first.camera is None or second.camera is None:
            raise ValueError(f'{pairs.name} has no calibration')
        seen = see(second.image, None, view)
        reference = matcher.encode(first.image)
        for milliseconds in (counts.milliseconds, counts.known):
            started = time.perf_counter()
            matches = matcher.match(reference, matcher.encode(seen.image))
            milliseconds.append(1e3 * (time.perf_counter() - started))
        points = to_image(matches.query_points, seen.image_A_view)
        distances = epipolar_distances(
            matches.reference_points, points, first.camera, second.camera, pair.reference_T_query
        )
        counts.matches.append(len(matches))
        counts.right.append(int((distances < LIMIT * max(second.image.shape[:2])).sum()))
        counts.found.append((matches.rotation + view.rotation) % 360 == 0)
        cells = matches.reference_grid[0] * matches.reference_grid[1]
        counts.share.append(float(matches.confidence.sum()) / cells)
    return counts


def rows(sets: list[PairSet], weights: str, longer_side: int) -> Table:
    """Both matchers on all sets in all rotations."""
    table = Table(title=f'{weights}, queries rotated, mean of the pairs of each set')
    for name in ('set', 'pairs', 'rotated by', 'matches', 'right', 'confidence'):
        table.add_column(name, justify='left' if name == 'set' else 'right')
    for name in ('matches, tried', 'right, tried', 'found', 'ms', 'ms, tried', 'ms, known'):
        table.add_column(name, justify='right')
    plain = Matcher(weights, longer_side=longer_side)
    trying = Matcher(weights, longer_side=longer_side, try_views=True)
    for pairs in (one for one in sets if isinstance(one, PoseSet)):
        for view in QUARTERS:
            one, all_four = run(plain, pairs, view), run(trying, pairs, view)
            table.add_row(
                pairs.name,
                str(len(pairs)),
                f'{view.rotation}',
                f'{np.mean(one.matches):.0f}',
                f'{np.mean(one.right):.0f}',
                f'{min(one.share):.3f}-{max(one.share):.3f}',
                f'{np.mean(all_four.matches):.0f}',
                f'{np.mean(all_four.right):.0f}',
                f'{100 * np.mean(all_four.found):.0f} %',
                f'{np.median(one.milliseconds):.0f}',
                f'{np.median(all_four.milliseconds):.0f}',
                f'{np.median(all_four.known):.0f}',
            )
    return table


def draw(weights: str, longer_side: int, file: Path) -> None:
    """Draw a rendered room whose query is rolled and small: matched as it is, and in views."""
    first, *_, second = render_room_sequence(8, seed=1)
    query = see(second.image, None, View(DRAWN_ROLL), DRAWN_ZOOM).image
    pictures = []
    for try_views in (False, True):
        matcher = Matcher(weights, longer_side=longer_side, try_views=try_views)
        matches = matcher.match_images(first.image, query)
        print(f'try_views {try_views}: {len(matches)} matches')
        pictures.append(draw_matches(first.image, query, matches))
    cv2.imwrite(str(file), np.vstack(pictures)[..., ::-1])


def main() -> None:
    """Measure all sets of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0] if __doc__ else None)
    parser.add_argument('data', type=Path, nargs='?', help='folder with datasets')
    parser.add_argument('--pairs', type=int, default=25, help='of each set at most')
    parser.add_argument('--weights', default='lite', help='lite, outdoor, indoor, or a file')
    parser.add_argument('--longer-side', type=int, default=640, help='px')
    parser.add_argument('--picture', type=Path, help='draw an example into it')
    options = parser.parse_args()
    keep_freed_memory()
    if options.picture is not None:
        draw(options.weights, options.longer_side, options.picture)
    if options.data is not None:
        sets = find_pair_sets(options.data, max_pairs=options.pairs)
        Console(width=160).print(rows(sets, options.weights, options.longer_side))


if __name__ == '__main__':
    main()
