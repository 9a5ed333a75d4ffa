"""Relative pose in metres, from matches whose reference points have a depth (PnP).

The likelihood is that of the two-view estimate (see `likelihood`), with the errors of the
reprojection in the query image and of what measured the depths. Depth that contradicts the matches
is no depth: a motion that needs none then explains them better.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.checks import may_rival, rivals, stray, support
from loftr_ros.geometry.constants import INLIER, SHARP, TWICE
from loftr_ros.geometry.covariance import common_changes, fit_covariance, is_within
from loftr_ros.geometry.depth import PointDepths
from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.focal import estimate_focal_error
from loftr_ros.geometry.likelihood import Fit, MatchPrior, maximize
from loftr_ros.geometry.metric_options import MetricOptions
from loftr_ros.geometry.models import Model, motion_model
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import Check, PoseState, RelativePose
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.reprojection import DepthPairs, moved, reproject
from loftr_ros.geometry.robust import estimator_module
from loftr_ros.geometry.rotations import tangent_basis
from loftr_ros.geometry.start import first_motion, surest
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.geometry.two_view import as_points, motion_covariance, usable_matches
from loftr_ros.geometry.types import Array, Flags

_SMALLEST_STEP = 1e-6
_FAR_ERROR = 1e4


class AbsoluteEstimator(Protocol):
    """A module with a robust absolute pose."""

    @staticmethod
    def absolute_pose(
        points: Array, query: Array, focal_length: float, threshold: float, seed: int
    ) -> tuple[Array, Array] | None:
        """Return R and t of `point = R query_point + t`."""


def absolute_estimator(name: str) -> AbsoluteEstimator:
    """Return the estimator of this name, one of `options.ESTIMATORS`.

    Raises:
        ValueError: 'poselib' is asked for and not installed.
    """
    return cast('AbsoluteEstimator', estimator_module(name, 'pnp_poselib', 'pnp_opencv'))


@dataclass(frozen=True, eq=False)
class _Scene:
    """Matches of known depth, and what the estimate needs beside them."""

    seen: DepthPairs
    prior: MatchPrior
    focal_length: float
    options: TwoViewOptions
    metric: MetricOptions

    def select(self, chosen: Flags) -> _Scene:
        return replace(self, seen=self.seen.select(chosen), prior=self.prior.select(chosen))

    def solve(self) -> Fit[Array] | None:
        """Find the most likely pose (4, 4) from samples of the surest matches."""
        sample = self.seen.select(surest(self.seen.pairs))
        found = absolute_estimator(self.options.estimator).absolute_pose(
            sample.points(self.metric.depth_range[1]),
            sample.pairs.query[:, :2],
            self.focal_length,
            SHARP,
            self.options.seed,
        )
        if found is None:
            return None
        return maximize(self._errors, moved, make_transform(*found), self.prior)

    def _errors(self, pose: Array) -> tuple[Array, Array]:
        result = reproject(pose, self.seen)
        behind = (result.depths <= 0)[:, None]
        return np.where(behind, _FAR_ERROR, result.errors), np.where(
            behind[..., None], 0.0, result.slopes
        )


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
        sigma: (N,) standard deviation of each query point per axis, px; None if unknown: 1 px.
        confidence: (N,) probability that each match is right, 0..1; None if unknown: 0.8.
        options: Options of the estimate.
        metric: Options of depth.

    Returns:
        The pose with its covariance, or the reason why there is none.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options, metric = options or TwoViewOptions(), metric or MetricOptions()
    points = (
        as_points(reference_points, 'reference_points'),
        as_points(query_points, 'query_points'),
    )
    cameras = reference_camera, query_camera
    chosen, scene = _scene_of(points, depths, cameras, sigma, confidence, options, metric)
    if scene is None:
        return _too_few(chosen, len(points[0]), options)
    pose = _estimate(scene, (points[0][chosen], points[1][chosen]), cameras)
    return _spread(pose, chosen, len(points[0]))


def follow_metric_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    depths: PointDepths,
    cameras: tuple[Camera, Camera],
    sigma: npt.ArrayLike,
    confidence: npt.ArrayLike,
    before: RelativePose,
    options: TwoViewOptions | None = None,
    metric: MetricOptions | None = None,
) -> RelativePose:
    """Estimate the pose in metres of a frame soon after one whose pose is believed.

    The likelihood is that of `estimate_metric_pose`. Focal length, second motion and contradictions
    of the depth are not asked again: they are those of the frame before, whose variances the pose
    has at least.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        depths: Depths of the N reference points, as far as they are known.
        cameras: Of the reference and of the query image.
        sigma: (N,) standard deviation of each query point per axis, px.
        confidence: (N,) probability that each match is right, 0..1.
        before: The pose of the earlier frame.
        options: Options of the estimate.
        metric: Options of depth.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options, metric = options or TwoViewOptions(), metric or MetricOptions()
    points = (
        as_points(reference_points, 'reference_points'),
        as_points(query_points, 'query_points'),
    )
    chosen, scene = _scene_of(points, depths, cameras, sigma, confidence, options, metric)
    if scene is None:
        return _too_few(chosen, len(points[0]), options)
    fit = scene.solve()
    if fit is None or support(fit.weights, scene.prior, dimensions=2) < options.min_support:
        return _spread(_unsupported(scene), chosen, len(points[0]))
    covariance = _at_least(before.covariance, _covariance(fit, scene))
    return _spread(_believed(fit, covariance, scene), chosen, len(points[0]))


def _at_least(before: Array | None, covariance: Array) -> Array:
    """Return a covariance (6, 6), enlarged until no variance is below those before."""
    if before is None or not np.isfinite(covariance).all():
        return covariance
    return covariance * max(1.0, float(np.max(np.diag(before) / np.diag(covariance))))


def _scene_of(
    points: tuple[Array, Array],
    depths: PointDepths,
    cameras: tuple[Camera, Camera],
    sigma: npt.ArrayLike | None,
    confidence: npt.ArrayLike | None,
    options: TwoViewOptions,
    metric: MetricOptions,
) -> tuple[npt.NDArray[np.int64], _Scene | None]:
    """Return which of N matches are used, and the scene that they show; None for too few."""
    count = len(points[0])
    if len(points[1]) != count or len(depths) != count:
        raise ValueError(
            f'{count} reference points, {len(points[1])} query points and {len(depths)} depths '
            'do not belong together'
        )
    usable, pairs, prior = usable_matches(points, cameras, sigma, confidence)
    known = depths.known()[usable]
    chosen = usable[known]
    if len(chosen) < options.min_matches:
        return chosen, None
    prior = prior.select(known)
    # What sigma leaves out is part of the error of each point.
    seen = DepthPairs(replace(pairs.select(known), sigma=prior.sigma), depths.select(chosen))
    focal_length = float(np.sqrt(cameras[0].focal_length * cameras[1].focal_length))
    return chosen, _Scene(seen, prior, focal_length, options, metric)


def _too_few(chosen: npt.NDArray[np.int64], count: int, options: TwoViewOptions) -> RelativePose:
    reason = f'{len(chosen)} matches have a depth, {options.min_matches} are needed'
    return RelativePose.failed(PoseState.TOO_FEW_MATCHES, reason, count, Check.MATCHES)


def _spread(pose: RelativePose, chosen: npt.NDArray[np.int64], count: int) -> RelativePose:
    """Return a pose of some of `count` matches as one of all."""
    inliers = np.zeros(count, dtype=np.bool_)
    inliers[chosen[pose.inliers]] = True
    return replace(pose, inliers=inliers)


def _estimate(
    scene: _Scene, points: tuple[Array, Array], cameras: tuple[Camera, Camera]
) -> RelativePose:
    fit, options = scene.solve(), scene.options
    if fit is None or support(fit.weights, scene.prior, dimensions=2) < options.min_support:
        return _unsupported(scene)
    free = _free_motion(scene)
    doubt = _doubt(fit, free, scene)
    if doubt is not None:
        return doubt
    covariance = _covariance(fit, scene)
    if free is not None and np.isfinite(covariance).all():
        covariance = covariance * _disagreement(fit, covariance, free, scene)
    kept = fit.weights >= INLIER
    motion, length = _motion(fit.state)
    focal_error = None
    if motion is not None and np.isfinite(covariance).all():
        seen = points[0][kept], points[1][kept]
        pairs = scene.seen.pairs.select(kept)
        focal_error = estimate_focal_error(motion, seen, pairs, cameras, options)
        if focal_error is not None:
            covariance = covariance + focal_error.covariance(length)
    pose = _believed(fit, covariance, scene)
    return replace(pose, focal_error=focal_error) if pose.state.has_pose else pose


def _unsupported(scene: _Scene) -> RelativePose:
    reason = 'too few of the points that seem to be right agree on a motion'
    return RelativePose.failed(PoseState.LOST, reason, len(scene.prior), Check.SUPPORT)


def _believed(fit: Fit[Array], covariance: Array, scene: _Scene) -> RelativePose:
    """Return the pose if its covariance is within its limits."""
    if not is_within(covariance, _largest_deviations(fit, scene)):
        reason = 'the points do not determine the motion'
        return RelativePose.failed(PoseState.DEGENERATE, reason, len(scene.prior), Check.UNCERTAIN)
    kept = fit.weights >= INLIER
    distances = np.sqrt(np.sum(fit.errors**2, axis=1)) * scene.prior.sigma
    return RelativePose.in_metres(
        fit.state,
        covariance,
        method='pnp',
        inliers=kept,
        median_residual=float(np.median(distances[kept])),
    )


def _doubt(fit: Fit[Array], free: Model | None, scene: _Scene) -> RelativePose | None:
    """Return why the pose is refused, or None."""
    count, without = len(scene.prior), scene.options.without
    if Check.SECOND_MOTION.label not in without and _has_second_motion(fit, scene):
        reason = 'the points follow two motions, and either may be that of the scene'
        return RelativePose.failed(PoseState.DEGENERATE, reason, count, Check.SECOND_MOTION)
    if Check.DEPTH.label not in without and free is not None and _contradicts(fit, free, scene):
        reason = (
            'the depth contradicts the matches: they agree on a motion that it does not explain'
        )
        return RelativePose.failed(PoseState.DEGENERATE, reason, count, Check.DEPTH)
    return None


def _has_second_motion(fit: Fit[Array], scene: _Scene) -> bool:
    others = stray(fit, fit.weights)
    if scene.prior.probability[others].sum() <= scene.options.min_support:
        return False
    if not may_rival(fit.weights, others, scene.seen.pairs):
        return False
    rival = scene.select(others).solve()
    return rival is not None and rivals(
        fit.weights, rival.weights, others, scene.seen.pairs, scene.prior, scene.options
    )


def _free_motion(scene: _Scene) -> Model | None:
    """Find the motion that the matches agree on without their depth."""
    pairs = scene.seen.pairs
    start = first_motion(pairs, scene.focal_length, scene.options)
    if start is None:
        return None
    free = motion_model(start, pairs, scene.prior)
    enough = support(free.weights, scene.prior) >= scene.options.min_support
    return free if enough else None


def _contradicts(fit: Fit[Array], free: Model, scene: _Scene) -> bool:
    """Return whether a motion that does not use the depth explains the matches better.

    A depth that is right says where each point is to be seen, within its sigma; the motion alone
    says that it lies on a line, at a parallax of the usual size. So right depth makes the matches
    far more likely, and leaves errors as small as those across the lines.
    """
    squares = np.sum(fit.errors**2, axis=1)
    _, gains = scene.prior.posterior(squares, fit.errors.shape[1], fit.scale)
    # For a camera that stands still the two are the same.
    gained = float((free.gains - gains).sum()) / max(float(free.weights.sum()), 1.0)
    return gained > np.log(TWICE) or fit.scale > TWICE * free.fit.scale


def _disagreement(fit: Fit[Array], covariance: Array, free: Model, scene: _Scene) -> float:
    """Return the factor by which the covariance has to grow to agree with the images alone.

    Depths that all err alike, as those of a depth camera that is not quite registered, move the
    pose, but not the epipolar lines.
    """
    motion, length = _motion(fit.state)
    if motion is None:
        return 1.0
    other = motion_covariance(free, scene.seen.pairs, scene.prior, scene.options)
    # From x y z rx ry rz to (rotation, tangent of the translation).
    change = np.zeros((5, 6))
    change[:3, 3:], change[3:, :3] = np.eye(3), tangent_basis(motion.translation).T
    scaled = change @ np.diag(np.repeat([1.0 / length, 1.0], 3))
    both = change @ other @ change.T + scaled @ covariance @ scaled.T
    if not np.isfinite(both).all():
        return 1.0
    step = motion.step_to(free.motion)
    return max(1.0, float(step @ np.linalg.solve(both, step)) / len(step))


def _covariance(fit: Fit[Array], scene: _Scene) -> Array:
    pairs = scene.seen.pairs

    def errors(matches: RayPairs) -> Array:
        return reproject(fit.state, replace(scene.seen, pairs=matches)).errors

    alike = common_changes(errors, pairs, fit.weights >= INLIER, scene.options)
    covariance = fit_covariance(
        fit, pairs, scene.prior.sigma, scene.options.shared_sigma, common=alike
    )
    if not np.isfinite(covariance).all():
        return covariance
    shared = _shared_step(fit, scene)
    return covariance + np.outer(shared, shared)


def _largest_deviations(fit: Fit[Array], scene: _Scene) -> Array:
    """Return the largest standard deviations (6,) of x y z, m, and rx ry rz, rad."""
    nearness = float(np.median(scene.seen.depths.inverse[fit.weights >= INLIER]))
    distance = 1.0 / max(nearness, 1.0 / scene.metric.depth_range[1])
    # A translation by a share of the distance moves points as a rotation by as many rad.
    angle = scene.options.max_rotation_sigma
    return np.repeat([angle * distance, angle], 3)


def _motion(pose: Array) -> tuple[Motion | None, float]:
    """Return the motion without its length, or None where there is hardly any, and the length."""
    length = float(np.linalg.norm(pose[:3, 3]))
    if length < _SMALLEST_STEP:
        return None, length
    return Motion(pose[:3, :3], pose[:3, 3] / length), length


def _shared_step(fit: Fit[Array], scene: _Scene) -> Array:
    """Return how far the error that all depths share moves the pose (6,)."""
    weighted = fit.slopes * fit.weights[:, None, None]
    information = np.einsum('nkp,nkq->pq', weighted, fit.slopes)
    change = reproject(fit.state, scene.seen).by_depth * scene.seen.depths.shared[:, None]
    gradient = np.einsum('nkp,nk->p', weighted, change)
    return -np.asarray(np.linalg.solve(information, gradient))
