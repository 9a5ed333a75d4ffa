"""What the weights cannot do, as a picture: `python benchmarks/failures.py --out failures.jpg`.

One rendered room, changed so as to leave the truth known. Right matches (within 4 px of their
true place) are coloured by confidence, wrong ones are red.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from loftr_ros.matching.matcher import Matcher
from loftr_ros.rendering.room import RenderedView, camera_pose, render_room_sequence
from loftr_ros.visualization.matches import draw_matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

WIDTH, HEIGHT = 640, 480
CLOSE_PX = 4.0


@dataclass(frozen=True)
class Failure:
    """A pair of images and where the points of the first one appear in the second."""

    name: str
    reference: NDArray[np.uint8]
    query: NDArray[np.uint8]
    truth: Callable[[NDArray[np.float32]], NDArray[np.float64]]


def warped(name: str, image: NDArray[np.uint8], query_H_reference: NDArray[np.float64]) -> Failure:
    """The image against itself seen through a homography."""
    query = cv2.warpPerspective(image, query_H_reference, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)

    def truth(points: NDArray[np.float32]) -> NDArray[np.float64]:
        homogeneous = np.column_stack([points, np.ones(len(points))]) @ query_H_reference.T
        return homogeneous[:, :2] / homogeneous[:, 2:]

    return Failure(name, image, np.asarray(query, np.uint8), truth)


def similarity(degrees: float, scale: float) -> NDArray[np.float64]:
    """Roll and zoom about the centre of the image."""
    centre = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    return np.vstack([cv2.getRotationMatrix2D(centre, degrees, scale), [0, 0, 1]])


def shifted(x: float) -> NDArray[np.float64]:
    """Move to the right by x px."""
    return np.array([[1, 0, x], [0, 1, 0], [0, 0, 1.0]])


def faint(image: NDArray[np.uint8], levels: float) -> NDArray[np.uint8]:
    """The image with so many grey levels left, and the noise of a camera."""
    noise = np.random.default_rng(len(image)).normal(0, 2, image.shape)
    return np.clip(128 + levels * (image / 255.0 - 0.5) + noise, 0, 255).astype(np.uint8)


def between_views(name: str, first: RenderedView, second: RenderedView) -> Failure:
    """Two views of the room; depth and poses say where a point went."""
    second_T_first = np.linalg.inv(second.world_T_camera) @ first.world_T_camera

    def truth(points: NDArray[np.float32]) -> NDArray[np.float64]:
        x, y = np.rint(points).astype(int).T
        rays = np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(first.matrix).T
        seen = rays * first.depth[y, x, None]
        moved = (seen @ second_T_first[:3, :3].T + second_T_first[:3, 3]) @ second.matrix.T
        return moved[:, :2] / moved[:, 2:]

    return Failure(name, first.image, second.image, truth)


def failures(seed: int) -> list[Failure]:
    """The cases, from one room."""
    seconds = (0.0, 0.4, 5.5)
    views = list(
        render_room_sequence(
            len(seconds), WIDTH, HEIGHT, seed, path=lambda t: camera_pose(seconds[round(t * 10)])
        )
    )
    image = views[0].image
    tiles = np.tile(image[160:240, 240:320], (HEIGHT // 80, WIDTH // 80))
    faded = warped('', image, shifted(40))
    return [
        warped('roll of 90 degrees', image, similarity(90, 1)),
        warped('four times the scale', image, similarity(0, 4)),
        warped('one tile repeated, moved by a tile and a half', tiles, shifted(120)),
        Failure('10 grey levels and noise', faint(image, 10), faint(faded.query, 10), faded.truth),
        between_views('another side of the room', views[0], views[2]),
        between_views('an easy pair, for comparison', views[0], views[1]),
    ]


def draw(matcher: Matcher, failure: Failure) -> NDArray[np.uint8]:
    """Match a pair, print how many matches are right, and draw them."""
    matches = matcher.match_images(failure.reference, failure.query)
    errors = np.linalg.norm(matches.query_points - failure.truth(matches.reference_points), axis=1)
    close = errors < CLOSE_PX
    caption = f'{failure.name}: {close.sum()} of {len(matches)} matches right'
    print(caption)
    return draw_matches(failure.reference, failure.query, matches, close, caption=caption)


def main() -> int:
    """Match all pairs and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--weights', default='lite')
    parser.add_argument('--seed', type=int, default=0, help='of the room')
    parser.add_argument('--out', type=Path, default=Path('failures.jpg'))
    options = parser.parse_args()
    matcher = Matcher(options.weights)
    pictures = [draw(matcher, failure) for failure in failures(options.seed)]
    rows = [np.hstack(pictures[start : start + 2]) for start in range(0, len(pictures), 2)]
    sheet = cv2.resize(np.vstack(rows), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(options.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    print(f'picture: {options.out}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
