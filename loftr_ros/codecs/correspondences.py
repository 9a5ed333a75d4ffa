"""What the message Correspondences carries, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loftr_ros.frontend import Frame, Source, TrackingResult
from loftr_ros.geometry import Camera

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class View:
    """One of the two images of a match, without its pixels.

    Attributes:
        stamp_ns: Time of the exposure, ns.
        frame_id: Name of the camera's optical frame.
        size: Height and width, px.
        camera: Calibration; None if unknown.
    """

    stamp_ns: int
    frame_id: str
    size: tuple[int, int]
    camera: Camera | None = None

    @classmethod
    def of(cls, frame: Frame) -> View:
        """Describe a frame."""
        height, width = frame.image.shape[:2]
        return cls(frame.stamp_ns, frame.frame_id, (height, width), frame.camera)


@dataclass(frozen=True, eq=False, kw_only=True)
class Correspondences:
    """N matches between two images.

    Attributes:
        reference: The image that was matched to.
        query: The image that was matched.
        reference_points: float32 (N, 2), x and y, px of the original reference image.
        query_points: float32 (N, 2), x and y, px of the original query image.
        confidence: float32 (N,), 0..1.
        sigma: float32 (N,), standard deviation of `query_points` per axis, px.
        inliers: bool (N,), what the pose explains; all False without a pose.
        track_ids: int64 (N,), equal for the same point of the scene.
        new_keyframe: Whether the query is the reference of the following matches.
        weights_name: Name of the matcher's weights.
        weights_hash: SHA-256 of the weights' file.
        source: How the matches were found.
    """

    reference: View
    query: View
    reference_points: Array
    query_points: Array
    confidence: Array
    sigma: Array
    inliers: Array
    track_ids: Array
    new_keyframe: bool = False
    weights_name: str = ''
    weights_hash: str = ''
    source: Source = Source.MATCHED

    def __post_init__(self) -> None:
        """Check that all arrays describe the same matches.

        Raises:
            ValueError: An array has another length than the others.
        """
        count = len(self.track_ids)
        for name in ('reference_points', 'query_points'):
            _check_shape(name, getattr(self, name), (count, 2))
        for name in ('confidence', 'sigma', 'inliers'):
            _check_shape(name, getattr(self, name), (count,))

    def __len__(self) -> int:
        """Return the number of matches."""
        return len(self.track_ids)

    @classmethod
    def of(
        cls, result: TrackingResult, weights_name: str = '', weights_hash: str = ''
    ) -> Correspondences:
        """Take the matches from what the tracker found."""
        matches = result.matches
        return cls(
            reference=View.of(result.reference),
            query=View.of(result.query),
            reference_points=matches.reference_points,
            query_points=matches.query_points,
            confidence=matches.confidence,
            sigma=matches.sigma,
            inliers=np.asarray(result.pose.inliers, np.bool_),
            track_ids=result.track_ids,
            new_keyframe=result.new_keyframe,
            weights_name=weights_name,
            weights_hash=weights_hash,
            source=result.source,
        )


def _check_shape(name: str, values: Array, shape: tuple[int, ...]) -> None:
    if values.shape != shape:
        raise ValueError(
            f'{name} has the shape {values.shape}, but {shape[0]} matches need {shape}'
        )
