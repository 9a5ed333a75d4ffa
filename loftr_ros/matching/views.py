"""Views of an image, rotated and zoomed: which one matches, and pixels in the original image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loftr_ros.matching.matches import Matches

Features = TypeVar('Features')
Flags: TypeAlias = 'NDArray[np.bool_]'

ENOUGH = 0.15
"""Least sum of confidences, as a share of the cells that may match, for no other to be tried.

In a wrong rotation `lite` has 0.06 at most on pairs of KITTI, EuRoC, 7-Scenes and TUM, and up to
0.1 on images of few cells; in the right one less than 0.15 on the widest baselines only
(`benchmarks/views.py`).
"""
ROLLED = 15
"""Degrees that a view may differ from what its matches say; training draws smaller ones mostly."""
ZOOMED = 1.35
"""The same for the scale, as a factor."""
LARGEST_ZOOM = 4.0
FEWEST = 20
"""Matches that tell how an image is rotated and zoomed."""
NEAR = 0.05
"""Distance, as a share of the longer side, within which they follow a similarity: the scene is no
plane."""


class View(NamedTuple):
    """How an image is seen by the network.

    Attributes:
        rotation: Degrees by which it is rotated counter-clockwise, 0 to 359.
        scale: Factor of the size at which it is matched otherwise.
    """

    rotation: int = 0
    scale: float = 1.0

    @property
    def quarter(self) -> View:
        """The nearest view without a zoom whose pixels are those of the image."""
        return View(90 * round(self.rotation / 90) % 360)

    @property
    def is_quarter(self) -> bool:
        """Whether its pixels are those of the image."""
        return self == self.quarter

    def is_near(self, other: View) -> bool:
        """Whether another view is as good, as far as the network is concerned."""
        between = abs((self.rotation - other.rotation + 180) % 360 - 180)
        ratio = max(self.scale / other.scale, other.scale / self.scale)
        return between <= ROLLED and ratio <= ZOOMED


UPRIGHT = View()
QUARTERS = UPRIGHT, View(90), View(180), View(270)
ZOOMS = View(scale=2.0), View(scale=0.5)


@dataclass(frozen=True, eq=False)
class Seen:
    """An image in a view.

    Attributes:
        image: (H', W') or (H', W', C), as the original.
        mask: bool (H', W'), false where the original has no pixel or must not match; or None.
        image_A_view: float64 (2, 3), affine map from its pixels to those of the original.
    """

    image: NDArray[Any]
    mask: Flags | None
    image_A_view: NDArray[np.float64]


def see(image: NDArray[Any], mask: Flags | None, view: View, zoom: float = 1.0) -> Seen:
    """Rotate and zoom an image (H, W, ...) with its mask.

    Args:
        image: The image; its pixel centres are at integers.
        mask: bool (H, W), false where nothing may match; None for everywhere.
        view: Whose rotation is taken.
        zoom: Pixels of the view by those of the image.
    """
    zoomed, zoomed_mask, image_A_zoomed = _zoomed(image, mask, zoom)
    if view.rotation % 90:
        rotated, rotated_mask, zoomed_A_view = _rotated(zoomed, zoomed_mask, view.rotation)
    else:
        rotated = np.ascontiguousarray(np.rot90(zoomed, view.rotation // 90))
        rotated_mask = None
        if zoomed_mask is not None:
            rotated_mask = np.ascontiguousarray(np.rot90(zoomed_mask, view.rotation // 90))
        zoomed_A_view = _back(view.rotation, zoomed.shape[:2], rotated.shape[:2])
    linear = image_A_zoomed[:, :2] @ zoomed_A_view
    linear[:, 2] += image_A_zoomed[:, 2]
    return Seen(rotated, rotated_mask, linear)


def _zoomed(
    image: NDArray[Any], mask: Flags | None, zoom: float
) -> tuple[NDArray[Any], Flags | None, NDArray[np.float64]]:
    if zoom == 1:
        return image, mask, np.eye(2, 3)
    size = [max(round(zoom * side), 1) for side in (image.shape[1], image.shape[0])]
    kind = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    zoomed = np.asarray(cv2.resize(image, size, interpolation=kind), image.dtype)
    if mask is not None:
        mask = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    factor = np.array([image.shape[1] / size[0], image.shape[0] / size[1]])
    # Half pixels stay half pixels: x = (x' + 0.5) f - 0.5.
    return zoomed, mask, np.column_stack([np.diag(factor), 0.5 * factor - 0.5])


def _rotated(
    image: NDArray[Any], mask: Flags | None, rotation: int
) -> tuple[NDArray[Any], Flags, NDArray[np.float64]]:
    """Rotate by any angle, onto a canvas that holds all of the image."""
    height, width = image.shape[:2]
    cosine, sine = abs(np.cos(np.deg2rad(rotation))), abs(np.sin(np.deg2rad(rotation)))
    canvas = round(sine * width + cosine * height), round(cosine * width + sine * height)
    image_A_view = _back(rotation, (height, width), canvas)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rotated = cv2.warpAffine(image, image_A_view, canvas[::-1], flags=flags)
    whole = np.ones((height, width), np.uint8) if mask is None else mask.astype(np.uint8)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    allowed = cv2.warpAffine(whole, image_A_view, canvas[::-1], flags=flags) > 0
    return np.asarray(rotated, image.dtype), np.asarray(allowed), image_A_view


def _back(
    rotation: int, image_size: tuple[int, ...], view_size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Affine map (2, 3) from the pixels of a view to those of the image; centre to centre."""
    cosine, sine = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    if rotation % 90 == 0:
        cosine, sine = round(cosine), round(sine)
    matrix = np.array([[cosine, -sine], [sine, cosine]], np.float64)
    centre, centre_of_view = (
        np.array([size[1] - 1, size[0] - 1]) / 2 for size in (image_size, view_size)
    )
    return np.column_stack([matrix, centre - matrix @ centre_of_view])


def to_image(points: NDArray[Any], image_A_view: NDArray[np.float64]) -> NDArray[np.float32]:
    """Pixels (N, 2) of a view to pixels of the image."""
    return np.asarray(points @ image_A_view[:, :2].T + image_A_view[:, 2], np.float32)


def to_view(points: NDArray[Any], image_A_view: NDArray[np.float64]) -> NDArray[np.float32]:
    """Pixels (N, 2) of the image to pixels of a view."""
    inverse = np.linalg.inv(image_A_view[:, :2])
    return np.asarray((points - image_A_view[:, 2]) @ inverse.T, np.float32)


@dataclass
class Views(Generic[Features]):
    """One image in the views in which it was encoded so far.

    What is found depends on nothing else, so that a sequence ends in the same results whatever
    went before it.

    Attributes:
        encode: Features of the image in a view.
        encoded: Features by view.
        view: In which it matched; as a reference it stays in the quarter next to that.
        following: The view of the last query of this reference: the next is tried in it first.
    """

    encode: Callable[[View], Features]
    encoded: dict[View, Features] = field(default_factory=dict)
    view: View = UPRIGHT
    following: View = UPRIGHT

    def at(self, view: View) -> Features:
        """Features in a view."""
        if view not in self.encoded:
            self.encoded[view] = self.encode(view)
        return self.encoded[view]

    @property
    def features(self) -> Features:
        """Features of the image as a reference."""
        return self.at(self.view.quarter)


@dataclass(frozen=True)
class Support:
    """Matches, and what speaks for the view in which they were found.

    Attributes:
        matches: The matches.
        confidence: Sum of the confidences of all, also of those that were not kept.
        cells: Coarse cells that may match, of the image that has fewer.
    """

    matches: Matches
    confidence: float
    cells: int

    @property
    def is_enough(self) -> bool:
        """Whether no other view has to be tried."""
        return self.confidence >= ENOUGH * self.cells


def best_view(
    reference: Views[Features],
    query: Views[Features],
    match: Callable[[Features, Features], Support],
) -> Matches:
    """Match in the view of the query before; where that finds little, in the best of several.

    Matches say how the query is rotated and zoomed: where the network sees it otherwise, it looks
    once more.

    Args:
        reference: Noted in it: the view of the query.
        query: Noted in it: its view.
        match: Matches features of the reference and the query.
    """
    first, upright = reference.following, reference.view.quarter.rotation
    tried = {first: match(reference.features, query.at(first))}
    if not tried[first].is_enough:
        zooms = tuple(View(upright, view.scale) for view in ZOOMS)
        others = (view for view in (*QUARTERS, *zooms) if view not in tried)
        tried |= {view: match(reference.features, query.at(view)) for view in others}
    best = _best(tried)
    fitting = view_of(tried[best].matches, upright)
    if fitting is not None and not fitting.is_near(best):
        tried[fitting] = match(reference.features, query.at(fitting))
        best = _best(tried)
    reference.following = query.view = best
    query.following = best.quarter
    # The other views would hold memory for as long as the image is a reference.
    kept = (view for view in (best, best.quarter) if view in query.encoded)
    query.encoded = {view: query.encoded[view] for view in kept}
    return tried[best].matches


def _best(tried: dict[View, Support]) -> View:
    return max(tried, key=lambda view: tried[view].confidence)


def view_of(matches: Matches, rotation: int) -> View | None:
    """View in which the query looks like the reference, by the similarity that its matches follow.

    Args:
        matches: In pixels of both images as they came.
        rotation: Of the reference as it is matched, degrees counter-clockwise.

    Returns:
        The view; None where the matches do not tell.
    """
    if len(matches) < FEWEST:
        return None
    extent = max(float(np.ptp(matches.reference_points, axis=0).max()), 1.0)
    similarity: Any = cv2.estimateAffinePartial2D(
        matches.query_points, matches.reference_points, ransacReprojThreshold=NEAR * extent
    )[0]
    if similarity is None:
        return None
    scale = float(np.hypot(similarity[0, 0], similarity[1, 0]))
    angle = np.rad2deg(np.arctan2(-similarity[1, 0], similarity[0, 0]))
    # Coarse steps of the scale, so that frames that follow are seen alike.
    octaves = np.clip(np.log2(max(scale, 1e-3)), -np.log2(LARGEST_ZOOM), np.log2(LARGEST_ZOOM))
    return View(round(angle + rotation) % 360, float(2.0 ** (round(4 * octaves) / 4)))
