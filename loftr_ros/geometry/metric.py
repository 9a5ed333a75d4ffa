"""Relative pose in metres, from matches whose reference points have a depth (PnP)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.candidates import motion_distances
from loftr_ros.geometry.consistency import excess
from loftr_ros.geometry.covariance import fit_covariance, is_within, shared_deviations
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.epipolar import Motion, refine_motion
from loftr_ros.geometry.focal import estimate_focal_error
from loftr_ros.geometry.least_squares import (
    TOLERANCE,
    Fit,
    huber_weights,
    leverage_factors,
    robust_scale,
)
from loftr_ros.geometry.metric_options import MetricOptions
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.reprojection import DepthPairs, refine_pose, reproject
from loftr_ros.geometry.robust import estimator_module
from loftr_ros.geometry.rotations import tangent_basis
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.geometry.types import Array, Flags

_TOLERANCES = (1.0, TOLERANCE, TOLERANCE, TOLERANCE)
_SETTLED = 0.01
_GATE = 3.5
_LEVERAGE = 10.0
_FEWEST = 8
_SMALLEST_SIGMA = 0.05
_SMALLEST_STEP = 1e-6


class AbsoluteEstimator(Protocol):
    """A module with a robust absolute pose."""

    @staticmethod
    def absolute_pose(
        points: Array,
        query: Array,
        focal_length: float,
        threshold: float,
        iterations: int,
        seed: int,
    ) -> tuple[Array, Array, Flags] | None:
        """Return R, t and the inliers of `point = R query_point + t`."""


def absolute_estimator(name: str) -> AbsoluteEstimator:
    """Return the estimator of this name, one of `options.ESTIMATORS`.

    Raises:
        ValueError: 'poselib' is asked for and not installed.
    """
    return cast('AbsoluteEstimator', estimator_module(name, 'pnp_poselib', 'pnp_opencv'))


@dataclass(frozen=True, eq=False)
class _Solution:
    fit: Fit[Array]
    used: DepthPairs
    inliers: Flags
    distances: Array


def estimate_metric_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    depths: PointDepths,
    reference_camera: Camera,
    query_camera: Camera,
    sigma: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
    options: TwoViewOptions | None = None,
    metric: MetricOptions | None = None,
) -> RelativePose:
    """Estimate the pose of the query camera in the reference camera, in metres.

    A robust absolute pose starts a refinement of pose and depths on the reprojection in the query
    image and on what measured the depths, which for stereo is the right image.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        depths: Depths of the N reference points, as far as they are known.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        sigma: (N,) standard deviation of each query point per axis, px; None if unknown, and then
            it is estimated from the residuals.
        confidence: (N,) probability that each match is right, 0..1, as its weight; None if unknown.
        options: Options of the estimate.
        metric: Options of depth.

    Returns:
        The pose with its covariance, or the reason why there is none.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options, metric = options or TwoViewOptions(), metric or MetricOptions()
    reference, query = np.asarray(reference_points, float), np.asarray(query_points, float)
    count = len(reference)
    if reference.shape != (count, 2) or query.shape != (count, 2) or len(depths) != count:
        raise ValueError(
            f'reference points {reference.shape}, query points {query.shape} and {len(depths)} '
            'depths do not belong together'
        )
    sigmas = np.ones(count) if sigma is None else np.asarray(sigma, float)
    shares = np.ones(count) if confidence is None else np.minimum(np.asarray(confidence, float), 1)
    with np.errstate(divide='ignore', invalid='ignore'):
        # A match that is right with probability p holds the share p of the information.
        sigmas = sigmas / np.sqrt(shares)
    pairs = RayPairs.from_points(reference, query, reference_camera, query_camera, sigmas)
    chosen = np.flatnonzero(pairs.usable() & depths.known())
    if len(chosen) < metric.min_points:
        reason = f'{len(chosen)} matches have a depth, {metric.min_points} are needed'
        return RelativePose.failed(PoseState.TOO_FEW_MATCHES, reason, count)
    seen = DepthPairs(pairs, depths).select(chosen)
    focal_length = float(np.sqrt(reference_camera.focal_length * query_camera.focal_length))
    solution = _solve(seen, focal_length, sigma is None, options, metric)
    if isinstance(solution, str):
        return RelativePose.failed(PoseState.LOST, solution, count)
    inliers = np.zeros(count, dtype=np.bool_)
    inliers[chosen[solution.inliers]] = True
    limits = _largest_deviations(solution, options, metric)
    pose = _result(solution, inliers, options, limits)
    motion = _motion(solution)
    if motion is None or pose.covariance is None:
        return pose
    cameras = reference_camera, query_camera
    seen_points = reference[inliers], query[inliers], cameras, sigmas[inliers]
    focal_error = estimate_focal_error(motion, *seen_points, options)
    length = float(np.linalg.norm(solution.fit.state[:3, 3]))
    usable = pairs.select(pairs.usable())
    covariance = pose.covariance * _disagreement(motion, length, pose.covariance, usable, options)
    if focal_error is not None:
        covariance = covariance + focal_error.covariance(length)
    if not is_within(covariance, limits):
        reason = 'points in space and images tell different motions, or the focal length is wrong'
        return RelativePose.failed(PoseState.DEGENERATE, reason, count)
    return replace(pose, covariance=covariance, focal_error=focal_error)


def _solve(
    seen: DepthPairs,
    focal_length: float,
    sigma_unknown: bool,
    options: TwoViewOptions,
    metric: MetricOptions,
) -> _Solution | str:
    found = absolute_estimator(options.estimator).absolute_pose(
        seen.points(metric.depth_range[1]),
        seen.pairs.query[:, :2],
        focal_length,
        options.threshold,
        metric.max_iterations,
        options.seed,
    )
    if found is None:
        return 'no motion explains the points'
    pose = make_transform(*found[:2])
    if sigma_unknown:
        errors = reproject(pose, seen).errors[found[2]]
        factor = max(_SMALLEST_SIGMA, robust_scale(errors))
        seen = seen.scaled(np.full(len(seen), factor))
    solution = _refine(pose, seen, options)
    needed = max(options.min_inliers, options.min_inlier_ratio * len(seen))
    if solution is None or solution.inliers.sum() < needed:
        return 'no motion explains enough of the points'
    return solution


def _refine(pose: Array, seen: DepthPairs, options: TwoViewOptions) -> _Solution | None:
    """Refine a pose on its inliers, and find these again, until hardly any change."""
    distances = _distances(pose, seen)
    inliers = distances <= options.threshold
    for tolerance in _TOLERANCES:
        if inliers.sum() < _FEWEST:
            return None
        used = _levelled(pose, seen.select(inliers))
        fit = refine_pose(pose, used, tolerance)
        pose, fitted = fit.state, inliers
        distances = _distances(pose, seen)
        gate = np.minimum(options.threshold, _GATE * fit.scale * seen.pairs.sigma)
        inliers = distances <= gate
        if tolerance == TOLERANCE and np.sum(inliers != fitted) <= _SETTLED * np.sum(fitted):
            break
    return _Solution(fit, used, fitted, distances)


def _distances(pose: Array, seen: DepthPairs) -> Array:
    """Return the distances (N,) from the pose in px; infinite behind the query camera."""
    result = reproject(pose, seen)
    size = np.sqrt(np.sum(result.errors**2, axis=1)) * seen.pairs.sigma
    return np.where(result.depths > 0, size, np.inf)


def _levelled(pose: Array, seen: DepthPairs) -> DepthPairs:
    return seen.scaled(leverage_factors(reproject(pose, seen).slopes, _LEVERAGE))


def _result(
    solution: _Solution, inliers: Flags, options: TwoViewOptions, limits: Array
) -> RelativePose:
    fit, used = solution.fit, solution.used
    shared = shared_deviations(used.pairs, fit.state[:3, :3], options)
    covariance, _ = fit_covariance(fit, used.pairs, shared)
    if np.isfinite(covariance).all():
        common = _shared_step(fit, used)
        covariance = covariance + np.outer(common, common)
    if not is_within(covariance, limits):
        reason = 'the points do not determine the motion'
        return RelativePose.failed(PoseState.DEGENERATE, reason, len(inliers))
    return RelativePose.in_metres(
        fit.state,
        (covariance + covariance.T) / 2,
        method='pnp',
        inliers=inliers,
        median_residual=float(np.median(solution.distances[solution.inliers])),
    )


def _largest_deviations(
    solution: _Solution, options: TwoViewOptions, metric: MetricOptions
) -> Array:
    """Return the largest standard deviations (6,) of x y z, m, and rx ry rz, rad."""
    nearness = float(np.median(solution.used.depths.inverse))
    distance = 1.0 / max(nearness, 1.0 / metric.depth_range[1])
    return np.repeat([metric.max_translation_sigma * distance, options.max_rotation_sigma], 3)


def _motion(solution: _Solution) -> Motion | None:
    """Return the motion without its length, or None where there is hardly any."""
    rotation, translation = solution.fit.state[:3, :3], solution.fit.state[:3, 3]
    length = float(np.linalg.norm(translation))
    return Motion(rotation, translation / length) if length > _SMALLEST_STEP else None


def _disagreement(
    motion: Motion, length: float, covariance: Array, pairs: RayPairs, options: TwoViewOptions
) -> float:
    """Return the factor by which the covariance has to grow to agree with the images alone.

    Depths that all err alike, as those of a depth camera that is not quite registered, move the
    pose, but not the epipolar lines.
    """
    near = motion_distances(motion, pairs, options) <= options.threshold
    if near.sum() < options.min_motion_inliers:
        return 1.0
    used = pairs.select(near)
    fit = refine_motion(motion, used, options.reference_sigma)
    shared = shared_deviations(used, fit.state.rotation, options)
    other, _ = fit_covariance(fit, used, shared)
    # From x y z rx ry rz to (rotation, tangent of the translation).
    change = np.zeros((5, 6))
    change[:3, 3:], change[3:, :3] = np.eye(3), tangent_basis(motion.translation).T / length
    both = other + change @ covariance @ change.T
    return max(1.0, excess(motion.step_to(fit.state), both))


def _shared_step(fit: Fit[Array], used: DepthPairs) -> Array:
    """Return how far the error that all depths share moves the pose (6,)."""
    weights = huber_weights(fit.errors / fit.scale)[..., None]
    information = np.einsum('nkp,nkq->pq', weights * fit.slopes, fit.slopes)
    change = reproject(fit.state, used).by_depth * used.depths.shared[:, None]
    gradient = np.einsum('nkp,nk->p', weights * fit.slopes, change)
    return -np.asarray(np.linalg.solve(information, gradient))
