"""Depth of image points from their matches in the image of a second, fixed camera."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.constants import SURELY
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.metric_options import MetricOptions
from loftr_ros.geometry.types import Array


def triangulate_depth(
    left_points: npt.ArrayLike,
    right_points: npt.ArrayLike,
    left_camera: Camera,
    right_camera: Camera,
    left_T_right: Array,
    sigma: npt.ArrayLike,
    options: MetricOptions | None = None,
) -> PointDepths:
    """Triangulate the left points, which are taken as exact.

    A point at the inverse depth w on the left ray r is seen by the right camera in the direction
    `R^T (r - w t)`, which moves along the epipolar line with w. The right point's distance from
    that line shows whether the match can be right, its place on the line gives w.

    Args:
        left_points: (N, 2) px of the left image.
        right_points: (N, 2) px of the right image.
        left_camera: Camera of the left image.
        right_camera: Camera of the right image.
        left_T_right: (4, 4), pose of the right camera in the left one, m; any, rectified or not.
        sigma: (N,) standard deviation of the right points per axis, px.
        options: Options of the depth.

    Returns:
        The inverse depths; unknown for matches off their epipolar line, for points behind the
        cameras and for those too near. A point that could as well be at infinity has an
        inverse depth that is uncertain, but known: it holds the rotation.
    """
    options = options or MetricOptions()
    sigmas = np.asarray(sigma, dtype=np.float64)
    rotation, translation = left_T_right[:3, :3], left_T_right[:3, 3]
    left, right = left_camera.normalize(left_points), right_camera.normalize(right_points)
    scale = right_camera.projection_jacobian(right)
    rays = np.column_stack([left, np.ones(len(left))]) @ rotation
    baseline = rotation.T @ translation
    with np.errstate(divide='ignore', invalid='ignore'):
        # The right ray x on the line: x (a_z - w b_z) = a - w b, linear in w.
        along = baseline[:2] - right * baseline[2]
        offset = rays[:, :2] - right * rays[:, 2:]
        along, offset = (np.einsum('nij,nj->ni', scale, vectors) for vectors in (along, offset))
        square = np.sum(along**2, axis=1)
        inverse = np.sum(along * offset, axis=1) / square
        forward = rays[:, 2] - inverse * baseline[2]
        distance = np.abs(along[:, 0] * offset[:, 1] - along[:, 1] * offset[:, 0])
        distance /= np.sqrt(square) * np.abs(forward)
        deviation = np.abs(forward) / np.sqrt(square)
        spread = deviation * sigmas
        wrong = ~(distance <= SURELY * sigmas)
        wrong |= ~(sigmas > 0) | ~(forward > 0)
        wrong |= ~(inverse + SURELY * spread >= 0) | (inverse * options.depth_range[0] > 1)
    inverse[wrong], spread[wrong] = np.nan, np.nan
    return PointDepths(inverse, spread, options.disparity_sigma * deviation)
