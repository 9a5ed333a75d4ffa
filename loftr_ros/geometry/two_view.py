"""Relative pose of two calibrated cameras from point matches.

The likelihood of the matches decides between a rotation alone, a plane seen by a moving camera and
a motion before any scene; see `likelihood` and `models`. If the rotation is the best explanation,
or the direction of translation is too uncertain, the state is ROTATION_ONLY (so for a camera that
stands still). What a check of the list in `checks` doubts is DEGENERATE or LOST.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from loftr_ros.geometry.ambiguity import spread
from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.checks import Evidence, doubt, support
from loftr_ros.geometry.constants import ENOUGH, LEAST_SIGMA, SURELY, UNKNOWN
from loftr_ros.geometry.covariance import common_changes, fit_covariance, is_within
from loftr_ros.geometry.epipolar import Motion, epipolar_errors, slope_noise
from loftr_ros.geometry.focal import estimate_focal_error
from loftr_ros.geometry.homography import rotation_errors
from loftr_ros.geometry.known_rotation import KnownRotation
from loftr_ros.geometry.likelihood import MatchPrior
from loftr_ros.geometry.models import (
    Model,
    motion_model,
    planar_motions,
    rotation_model,
)
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import Check, PoseState, RelativePose
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import rotation_vector, tangent_basis
from loftr_ros.geometry.start import first_motion, other_motions
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.geometry.types import Array

_UNDETERMINED = 'the matches do not determine the motion'


def estimate_relative_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    reference_camera: Camera,
    query_camera: Camera,
    sigma: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
    options: TwoViewOptions | None = None,
    known: KnownRotation | None = None,
) -> RelativePose:
    """Estimate the pose of the query camera in the reference camera, up to scale.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        sigma: (N,) standard deviation of each query point per axis, px; None if unknown: 1 px.
        confidence: (N,) probability that each match is right, 0..1; None if unknown: 0.8.
        options: Options of the estimate.
        known: What another sensor tells about the rotation; it helps to tell one alone from a
            motion, and is no part of the pose.

    Returns:
        The pose with its covariance, or the reason why there is none. Matches that are not finite,
        have no positive sigma or confidence or lie where a camera sees nothing are never inliers.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options = options or TwoViewOptions()
    points = _as_pairs(reference_points, query_points)
    count, cameras = len(points[0]), (reference_camera, query_camera)
    chosen, pairs, prior = usable_matches(points, cameras, sigma, confidence)
    if len(chosen) < options.min_matches:
        reason = f'{len(chosen)} usable matches, {options.min_matches} are needed'
        return RelativePose.failed(PoseState.TOO_FEW_MATCHES, reason, count, Check.MATCHES)
    seen = points[0][chosen], points[1][chosen]
    pose = _estimate(pairs, prior, seen, cameras, options, known)
    inliers = np.zeros(count, dtype=np.bool_)
    inliers[chosen[pose.inliers]] = True
    return replace(pose, inliers=inliers)


def follow_relative_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    cameras: tuple[Camera, Camera],
    sigma: npt.ArrayLike,
    confidence: npt.ArrayLike,
    before: RelativePose,
    options: TwoViewOptions | None = None,
) -> RelativePose:
    """Estimate the pose of a frame soon after one whose pose in the same reference is believed.

    The likelihood is that of `estimate_relative_pose`, and so are the rotation without a
    translation and the limits of the covariance. What does not change between two frames is not
    asked again: the focal length, other motions of a plane, and the second motion. A pose that is
    far from the one before is estimated with all checks.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        cameras: Of the reference and of the query image.
        sigma: (N,) standard deviation of each query point per axis, px.
        confidence: (N,) probability that each match is right, 0..1.
        before: The pose of the earlier frame.
        options: Options of the estimate.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options = options or TwoViewOptions()
    points = _as_pairs(reference_points, query_points)
    chosen, pairs, prior = usable_matches(points, cameras, sigma, confidence)
    if len(chosen) < options.min_matches:
        reason = f'{len(chosen)} usable matches, {options.min_matches} are needed'
        return RelativePose.failed(PoseState.TOO_FEW_MATCHES, reason, len(points[0]), Check.MATCHES)
    pose = _follow(pairs, prior, cameras, options)
    if _is_far(pose, before, options.max_direction_sigma):
        return estimate_relative_pose(*points, *cameras, sigma, confidence, options)
    inliers = np.zeros(len(points[0]), dtype=np.bool_)
    inliers[chosen[pose.inliers]] = True
    return replace(pose, inliers=inliers)


def _follow(
    pairs: RayPairs, prior: MatchPrior, cameras: tuple[Camera, Camera], options: TwoViewOptions
) -> RelativePose:
    focal_length = float(np.sqrt(cameras[0].focal_length * cameras[1].focal_length))
    start = first_motion(pairs, focal_length, options)
    if start is None:
        reason = 'no motion explains the matches'
        return RelativePose.failed(PoseState.LOST, reason, len(pairs), Check.SUPPORT)
    model = motion_model(start, pairs, prior)
    if not _is_clear(model, pairs, prior):
        pure_rotation = rotation_model([model.motion.rotation], pairs, prior)
        model = pure_rotation if pure_rotation.evidence >= model.evidence else model
    if support(model.weights, prior) < options.min_support:
        reason = 'too few of the matches that seem to be right agree on a motion'
        return RelativePose.failed(PoseState.LOST, reason, len(pairs), Check.SUPPORT)
    if model.method == 'rotation':
        reason = 'a rotation alone explains the matches: there is no parallax'
        return _rotation_only(model, pairs, prior, reason, options)
    covariance = motion_covariance(model, pairs, prior, options)
    return _believed(model, covariance, np.zeros((6, 6)), options)


def _is_clear(model: Model, pairs: RayPairs, prior: MatchPrior) -> bool:
    """Return whether the best rotation leaves errors so large that it is out of the question."""
    kept = model.inliers
    if not kept.any():
        return False
    rays = pairs.select(kept)
    rotation, _ = Rotation.align_vectors(_unit(rays.reference), _unit(rays.query))
    errors, _ = rotation_errors(rotation.as_matrix(), rays, prior.sigma[kept])
    return bool(np.median(np.hypot(*errors.T)) > SURELY)


def _unit(rays: Array) -> Array:
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _is_far(pose: RelativePose, before: RelativePose, farthest: float) -> bool:
    """Return whether a pose differs from the one before so much that it may be another motion."""
    one, other = pose.reference_T_query, before.reference_T_query
    if one is None or other is None or pose.state is not before.state:
        return True
    angle = float(np.linalg.norm(rotation_vector(one[:3, :3] @ other[:3, :3].T)))
    if pose.state is PoseState.ROTATION_ONLY:
        return angle > farthest
    cosine = float(one[:3, 3] @ other[:3, 3])
    return angle > farthest or cosine < np.cos(farthest) * float(np.linalg.norm(other[:3, 3]))


def usable_matches(
    points: tuple[Array, Array],
    cameras: tuple[Camera, Camera],
    sigma: npt.ArrayLike | None,
    confidence: npt.ArrayLike | None,
) -> tuple[npt.NDArray[np.int64], RayPairs, MatchPrior]:
    """Return which of N matches can be used, as rays, and what is known about them.

    Raises:
        ValueError: The arrays do not belong together.
    """
    count, size = len(points[0]), cameras[1].size
    sigmas = _per_match(sigma, count, 'sigma', 1.0)
    shares = _per_match(confidence, count, 'confidence', UNKNOWN)
    pairs = RayPairs.from_points(*points, *cameras, sigmas)
    chosen = np.flatnonzero(pairs.usable() & (shares > 0))
    pairs = pairs.select(chosen)
    deviations = np.hypot(pairs.sigma, LEAST_SIGMA)
    prior = MatchPrior.of(shares[chosen], deviations, float(np.sqrt(size[0] * size[1])))
    return chosen, pairs, prior


def _estimate(
    pairs: RayPairs,
    prior: MatchPrior,
    points: tuple[Array, Array],
    cameras: tuple[Camera, Camera],
    options: TwoViewOptions,
    known: KnownRotation | None,
) -> RelativePose:
    focal_length = float(np.sqrt(cameras[0].focal_length * cameras[1].focal_length))
    start = first_motion(pairs, focal_length, options)
    if start is None:
        reason = 'no motion explains the matches'
        return RelativePose.failed(PoseState.LOST, reason, len(pairs), Check.SUPPORT)
    pure_rotation, motions = explain(start, pairs, prior, focal_length, options)
    best = max(motions, key=lambda model: float(model.line_gains.sum()))
    model = best
    if pure_rotation is not None and pure_rotation.evidence >= best.evidence:
        scene = pairs, prior, options
        model = best if _is_overruled(pure_rotation, best, *scene, known) else pure_rotation
    rule = doubt(Evidence(model, pairs, prior, focal_length, options))
    if rule is not None:
        return RelativePose.failed(rule.state, rule.reason, len(pairs), rule.check)
    if model.method == 'rotation':
        reason = 'a rotation alone explains the matches: there is no parallax'
        return _rotation_only(model, pairs, prior, reason, options)
    covariance = motion_covariance(best, pairs, prior, options)
    kept = best.inliers
    agreeing = replace(pairs.select(kept), sigma=prior.sigma[kept])
    seen = points[0][kept], points[1][kept]
    focal_error = estimate_focal_error(best.motion, seen, agreeing, cameras, options)
    if focal_error is not None:
        covariance = covariance + focal_error.covariance()
    rivals = [model for model in motions if model is not best]
    choice = spread(best, rivals, pairs, options)
    pose = _believed(best, covariance, choice, options, known)
    return replace(pose, focal_error=focal_error)


def _is_overruled(
    pure_rotation: Model,
    motion: Model,
    pairs: RayPairs,
    prior: MatchPrior,
    options: TwoViewOptions,
    known: KnownRotation | None,
) -> bool:
    """Tell if the rotation that is known contradicts a rotation alone, but not the motion."""
    if known is None:
        return False
    own = _rotation_covariance(pure_rotation, pairs, prior, options)
    other = motion_covariance(motion, pairs, prior, options)[3:, 3:]
    if not np.isfinite(own).all() or not np.isfinite(other).all():
        return False
    alone = known.contradicts(pure_rotation.motion.rotation, own)
    return alone and not known.contradicts(motion.motion.rotation, other)


def explain(
    start: Motion, pairs: RayPairs, prior: MatchPrior, focal_length: float, options: TwoViewOptions
) -> tuple[Model | None, list[Model]]:
    """Return the best rotation without a translation, and the motions that may explain matches.

    There is no rotation where it is out of the question.
    """
    motions = [motion_model(start, pairs, prior)]
    easy = support(motions[0].weights, prior) >= ENOUGH
    if not easy:
        others = other_motions(pairs, focal_length, options)
        motions += [motion_model(motion, pairs, prior) for motion in others]
    general = max(motions, key=lambda model: float(model.line_gains.sum()))
    pure_rotation = None
    if not easy or not _is_clear(general, pairs, prior):
        starts = [general.motion.rotation, general.motion.twisted().rotation]
        pure_rotation = rotation_model(starts, pairs, prior)
    planar = planar_motions(general, pairs, prior)
    return pure_rotation, [*motions, *(motion_model(motion, pairs, prior) for motion in planar)]


def motion_covariance(
    model: Model, pairs: RayPairs, prior: MatchPrior, options: TwoViewOptions
) -> Array:
    """Return the covariance (6, 6) of a motion with a translation of length 1, x y z rx ry rz."""
    noise = None
    if model.method == 'essential':
        noise = slope_noise(model.motion, pairs, prior.sigma)

    def errors(matches: RayPairs) -> Array:
        return epipolar_errors(model.motion, matches, prior.sigma)[0][:, None]

    common = common_changes(errors, pairs, model.inliers, options)
    covariance = fit_covariance(model.fit, pairs, prior.sigma, options.shared_sigma, noise, common)
    # The fit has the rotation first and two tangents; a pose has the translation first.
    widen = np.zeros((6, 5))
    widen[:3, 3:], widen[3:, :3] = tangent_basis(model.motion.translation), np.eye(3)
    if not np.isfinite(covariance).all():
        return np.full((6, 6), np.inf)
    return np.asarray(widen @ covariance @ widen.T)


def _believed(
    best: Model,
    own: Array,
    choice: Array,
    options: TwoViewOptions,
    known: KnownRotation | None = None,
) -> RelativePose:
    """Return as much of the motion as the covariances, of itself and of its choice, let believe."""
    covariance, largest = own + choice, [options.max_rotation_sigma] * 3
    if not np.isfinite(own).all() or not is_within(covariance[3:, 3:], largest):
        alone = np.isfinite(own).all() and is_within(own[3:, 3:], largest)
        check = Check.AMBIGUITY if alone else Check.UNCERTAIN
        reason = 'two different motions explain the matches' if alone else _UNDETERMINED
        return RelativePose.failed(PoseState.DEGENERATE, reason, len(best.weights), check)
    residual = float(np.median(best.distances[best.inliers]))
    fused = covariance
    if known is not None:
        fused = known.correction(best.motion.rotation, covariance)[1]
    if not is_within(fused[:3, :3], [options.max_direction_sigma] * 3):
        return RelativePose.rotation_only(
            best.motion.rotation,
            covariance[3:, 3:],
            method=best.method,
            inliers=best.inliers,
            median_residual=residual,
            reason='the matches do not determine the direction of translation',
        )
    return RelativePose.up_to_scale(
        make_transform(best.motion.rotation, best.motion.translation),
        covariance,
        method=best.method,
        inliers=best.inliers,
        median_residual=residual,
    )


def _rotation_only(
    pure_rotation: Model, pairs: RayPairs, prior: MatchPrior, reason: str, options: TwoViewOptions
) -> RelativePose:
    covariance = _rotation_covariance(pure_rotation, pairs, prior, options)
    if not is_within(covariance, [options.max_rotation_sigma] * 3):
        reason = 'the matches do not determine the rotation'
        return RelativePose.failed(PoseState.DEGENERATE, reason, len(pairs), Check.UNCERTAIN)
    return RelativePose.rotation_only(
        pure_rotation.motion.rotation,
        covariance,
        method='homography',
        inliers=pure_rotation.inliers,
        median_residual=float(np.median(pure_rotation.distances[pure_rotation.inliers])),
        reason=reason,
    )


def _rotation_covariance(
    pure_rotation: Model, pairs: RayPairs, prior: MatchPrior, options: TwoViewOptions
) -> Array:
    """Return the covariance (3, 3) of a rotation alone."""

    def errors(matches: RayPairs) -> Array:
        return rotation_errors(pure_rotation.motion.rotation, matches, prior.sigma)[0]

    common = common_changes(errors, pairs, pure_rotation.inliers, options)
    fit = pure_rotation.fit
    return fit_covariance(fit, pairs, prior.sigma, options.shared_sigma, common=common)


def _as_pairs(reference: npt.ArrayLike, query: npt.ArrayLike) -> tuple[Array, Array]:
    """Return the points (N, 2) of both images.

    Raises:
        ValueError: They are no such arrays, or of different length.
    """
    points = as_points(reference, 'reference_points'), as_points(query, 'query_points')
    if len(points[0]) != len(points[1]):
        raise ValueError(
            f'there are {len(points[0])} reference points, but {len(points[1])} query points'
        )
    return points


def as_points(values: npt.ArrayLike, name: str) -> Array:
    """Return points (N, 2) as float64.

    Raises:
        ValueError: They are no such array.
    """
    points = np.asarray(values, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f'{name} must have the shape (N, 2), not {points.shape}')
    return points


def _per_match(values: npt.ArrayLike | None, count: int, name: str, unknown: float) -> Array:
    """Return one value for each match; NaN for those that are not positive."""
    if values is None:
        return np.full(count, unknown)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (count,):
        raise ValueError(f'{name} must have the shape ({count},), not {numbers.shape}')
    return np.where(numbers > 0, numbers, np.nan)
