"""The command `loftr-ros explain`: pictures of how one pair of images is matched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from loftr_ros.data.images import read_image
from loftr_ros.evaluation.matchers.peers import RootSift
from loftr_ros.matching.inspection import Inspection, inspect
from loftr_ros.matching.matcher import Matcher
from loftr_ros.visualization.attention import AttentionPanel, attention_figure
from loftr_ros.visualization.features import features_figure, principal_colours
from loftr_ros.visualization.grids import CellGrid
from loftr_ros.visualization.images import to_display
from loftr_ros.visualization.matches import draw_matches
from loftr_ros.visualization.trajectories import save_figure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from loftr_ros.matching.matcher import ImageFeatures
    from loftr_ros.matching.matches import Matches

POINTS = 3
# Of the image's longer side: 1.5 px at 640 px, the side that the network sees.
EPIPOLAR_LIMIT = 1.5 / 640


@dataclass(frozen=True, eq=False)
class Explainer:
    """One pair of images and what the network makes of it.

    Attributes:
        images: Reference and query, as read.
        features: Their features.
        matches: Matches between them.
        matcher: The matcher that found them.

    """

    images: tuple[NDArray[Any], NDArray[Any]]
    features: tuple[ImageFeatures, ImageFeatures]
    matches: Matches
    matcher: Matcher

    @classmethod
    def of_files(cls, image0: Path, image1: Path, matcher: Matcher) -> Explainer:
        """Read and match two pictures.

        Raises:
            DatasetError: If a file is missing or no picture.

        """
        images = read_image(image0), read_image(image1)
        features = matcher.encode(images[0]), matcher.encode(images[1])
        return cls(images, features, matcher.match(*features), matcher)

    def write(self, folder: Path, points: Sequence[tuple[float, float]] = ()) -> list[Path]:
        """Write all pictures; return their paths.

        Args:
            folder: Where to; made if it is missing.
            points: x, y in the reference image of what the attention is drawn for; by default of
                three confident matches far from each other.

        Raises:
            ValueError: If a point lies outside of the image.
            OSError: If a picture cannot be written.

        """
        folder.mkdir(parents=True, exist_ok=True)
        cells = self._cells(points)
        inside = inspect(self.matcher.network, self.features[0].maps, self.features[1].maps, cells)
        written = [folder / 'matches.png', folder / 'rootsift.png', folder / 'features.png']
        _write(written[0], draw_matches(*self.images, self.matches))
        _write(written[1], self.comparison())
        save_figure(self._features_figure(inside), written[2])
        for number, cell in enumerate(cells):
            written.append(folder / f'attention_{number + 1}.png')
            save_figure(self._attention_figure(inside, number, cell), written[-1])
        return written

    def comparison(self) -> NDArray[np.uint8]:
        """Draw the network's matches and RootSIFT's, each judged by its own robust estimate."""
        sift = RootSift()
        grey = [to_display(image) for image in self.images]
        peers = sift.match(sift.encode(grey[0]), sift.encode(grey[1]))
        name = f'LoFTR {self.matcher.weights_name}'
        pictures = [
            self._judged(name, self.matches),
            self._judged('RootSIFT (confidence: 1 - ratio)', peers),
        ]
        height, width = pictures[0].shape[:2]
        return np.concatenate(pictures, axis=0 if width >= height else 1)

    def grids(self) -> tuple[CellGrid, CellGrid]:
        """Return where the coarse cells of both images lie."""
        config = self.matcher.network.config
        stride, offset = config.stride, config.cell_offset
        first, second = (CellGrid(f.maps.grid, stride, offset, f.scale) for f in self.features)
        return first, second

    def _judged(self, name: str, matches: Matches) -> NDArray[np.uint8]:
        limit = EPIPOLAR_LIMIT * max(self.images[0].shape[:2] + self.images[1].shape[:2])
        inliers = epipolar_inliers(matches, limit)
        caption = f'{name}: {len(matches)} matches, {inliers.sum()} '
        caption += 'agree on one epipolar geometry (red: the others)'
        return draw_matches(*self.images, matches, inliers, caption=caption)

    def _cells(self, points: Sequence[tuple[float, float]]) -> list[int]:
        grid = self.grids()[0]
        height, width = self.images[0].shape[:2]
        for x, y in points:
            if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
                raise ValueError(f'point {x:g},{y:g} lies outside of the {width}x{height} image')
        chosen = np.array([[(width - 1) / 2, (height - 1) / 2]])
        if points:
            chosen = np.array(points, np.float64)
        elif len(self.matches):
            best = spread(self.matches, POINTS)
            chosen = self.matches.reference_points[best].astype(np.float64)
        return list(dict.fromkeys(grid.nearest(point) for point in chosen))

    def coarse_cells(self) -> NDArray[np.int64]:
        """Row-major coarse cell of each match (N,); its point may lie on a finer grid."""
        rows, columns = np.divmod(self.matches.reference_cells, self.matches.reference_grid[1])
        width = self.grids()[0].shape[1]
        finer = self.matches.reference_grid[1] // width
        return np.asarray(rows // finer * width + columns // finer)

    def _features_figure(self, inside: Inspection) -> Figure:
        grids = self.grids()
        sides = (inside.features0, inside.valid0), (inside.features1, inside.valid1)
        valid = [mask.cpu().numpy() for _, mask in sides]
        values = [f.cpu().numpy()[kept] for (f, _), kept in zip(sides, valid, strict=True)]
        shown, variance = principal_colours(values)
        # Padding is whole rows below and whole columns on the right.
        columns = [k.reshape(g.shape).any(axis=0).sum() for k, g in zip(valid, grids, strict=True)]
        colours = [c.reshape(-1, width, 3) for c, width in zip(shown, columns, strict=True)]
        title = f'Common principal components as colours ({variance:.0%} of the variance)'
        return features_figure(self.images, colours, grids, title=title)

    def _attention_figure(self, inside: Inspection, number: int, cell: int) -> Figure:
        grids = self.grids()
        marks = grids[0].centre(cell), self._match_of(cell)
        panels = []
        for index, layer in enumerate(inside.layers):
            side = 0 if layer.kind == 'self' else 1
            weights = layer.weights[number].mean(dim=0).cpu().numpy()
            panels.append(
                AttentionPanel(
                    layer.kind,
                    index + 1,
                    self.images[side],
                    weights.reshape(grids[side].shape),
                    grids[side],
                    marks[side],
                )
            )
        x, y = marks[0]
        title = f'What the cell at x {x:.0f}, y {y:.0f} attends to (mean of the heads)'
        return attention_figure(panels, title=title)

    def _match_of(self, cell: int) -> NDArray[np.float64] | None:
        found = np.flatnonzero(self.coarse_cells() == cell)
        return self.matches.query_points[found[0]].astype(np.float64) if len(found) else None


def epipolar_inliers(matches: Matches, limit: float) -> NDArray[np.bool_]:
    """Return which matches agree on one fundamental matrix (MAGSAC++), at most `limit` px off."""
    if len(matches) < 8:
        return np.zeros(len(matches), np.bool_)
    points = matches.reference_points, matches.query_points
    found = cv2.findFundamentalMat(*points, cv2.USAC_MAGSAC, limit, 0.9999, 10000)
    mask: Any = found[1]  # OpenCV's stubs forget that there may be none
    if mask is None:
        return np.zeros(len(matches), np.bool_)
    return np.asarray(mask, np.bool_).ravel()


def spread(matches: Matches, count: int) -> NDArray[np.intp]:
    """Choose confident matches far from each other: the best one, then always the farthest.

    Returns:
        int (min(count, N),), indices among the more confident half.

    """
    order = np.argsort(-matches.confidence, kind='stable')[: max(count, (len(matches) + 1) // 2)]
    points = matches.reference_points[order].astype(np.float64)
    chosen = [0] if len(order) else []
    while len(chosen) < min(count, len(order)):
        distances = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
        chosen.append(int(distances.argmax()))
    return order[chosen]


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), picture[..., ::-1]):
        raise OSError(f'could not write {path}')
