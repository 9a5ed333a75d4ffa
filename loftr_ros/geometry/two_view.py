"""Relative pose of two calibrated cameras from point matches.

The matches decide between four models. If a rotation alone explains them, the translation cannot
be seen (ROTATION_ONLY; so for a camera that stands still, whose rotation is the identity). If they
fit an essential matrix, its motion is the answer, unless a homography explains nearly all of them:
a plane allows a second motion, and if that one explains the matches as well, the estimate is
DEGENERATE. What no model explains is LOST.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry.camera import Camera
from loftr_ros.geometry.candidates import (
    Candidate,
    far_candidate,
    lies_on_plane,
    motion_candidate,
    motion_distances,
    parallax_limit,
    planar_candidates,
    points_behind,
    rotation_candidate,
)
from loftr_ros.geometry.consistency import noise_band, scatters, split_test
from loftr_ros.geometry.covariance import fit_covariance, is_within, shared_deviations
from loftr_ros.geometry.epipolar import Motion, slope_noise
from loftr_ros.geometry.focal import estimate_focal_error
from loftr_ros.geometry.homography import rotation_of, sample_rotation
from loftr_ros.geometry.least_squares import robust_scale
from loftr_ros.geometry.options import TwoViewOptions
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.geometry.rays import TILES, RayPairs
from loftr_ros.geometry.robust import robust_estimator
from loftr_ros.geometry.rotations import angle_between, tangent_basis
from loftr_ros.geometry.types import Array, Flags

_MIN_FRONT_RATIO = 0.8
"""Share of the points with parallax that must lie before both cameras."""
_TWIN_SIGMA = np.deg2rad(1.0)
"""Directions closer than three times this (or their sigma) belong to the same minimum."""
_TWIN_DEVIATIONS = {'essential': 2.0, 'homography': 3.0}
"""A motion is better than another one if the difference is so many times larger than chance. Two
motions of a plane are both exact, so that chance is all there is between them."""
_MAJORITY = 0.5
"""Share of the matches that a motion without scale has to explain."""
_COVERED = 0.25
"""Share of the image that the matches which agree have to cover: a texture that repeats is taken
for a motion by a few next to each other."""
_COVERED_SHARE = 2 / 3
"""Share of what all matches cover: an object covers a part, and chance adds to it."""
_HALF_SHARE = 0.25
"""Share of the matches of each half of the image that has to agree with the motion."""
_RIVAL_SHARE = 0.2
"""Matches of another motion that make one doubtful, as a share of its own inliers."""
_RIVAL_AGREEMENT = 0.5
"""Share of the other matches that have to agree; wrong ones hit some epipolar line by chance."""
_RIVAL_COMPACTNESS = 2 / 3
"""Share of the matches around them that have to agree, too: an object fills its part of the image,
inaccurate matches lie among accurate ones."""
_SMALLEST_SIGMA = 0.05
"""Lower bound of a sigma that is estimated from the residuals, px."""


def estimate_relative_pose(
    reference_points: npt.ArrayLike,
    query_points: npt.ArrayLike,
    reference_camera: Camera,
    query_camera: Camera,
    sigma: npt.ArrayLike | None = None,
    confidence: npt.ArrayLike | None = None,
    options: TwoViewOptions | None = None,
) -> RelativePose:
    """Estimate the pose of the query camera in the reference camera, up to scale.

    Args:
        reference_points: (N, 2) px of the distorted reference image.
        query_points: (N, 2) px of the distorted query image.
        reference_camera: Camera of the reference image.
        query_camera: Camera of the query image.
        sigma: (N,) standard deviation of each query point per axis, px; None if unknown, and then
            it is estimated from the residuals.
        confidence: (N,) probability that each match is right, 0..1, as its weight; None if unknown.
        options: Options of the estimate.

    Returns:
        The pose with its covariance, or the reason why there is none. Matches that are not finite,
        have no positive sigma or confidence or lie where a camera sees nothing are never inliers.

    Raises:
        ValueError: The arrays do not belong together.
    """
    options = options or TwoViewOptions()
    points = _columns(reference_points, 'reference_points'), _columns(query_points, 'query_points')
    count = len(points[0])
    if len(points[1]) != count:
        raise ValueError(f'there are {count} reference points, but {len(points[1])} query points')
    sigmas = _per_match(sigma, count, 'sigma')
    with np.errstate(divide='ignore', invalid='ignore'):
        # A match that is right with probability p holds the share p of the information.
        sigmas = sigmas / np.sqrt(np.minimum(_per_match(confidence, count, 'confidence'), 1.0))
    pairs = RayPairs.from_points(*points, reference_camera, query_camera, sigmas)
    chosen = np.flatnonzero(pairs.usable())
    if len(chosen) < options.min_matches:
        reason = f'{len(chosen)} usable matches, {options.min_matches} are needed'
        return RelativePose.failed(PoseState.TOO_FEW_MATCHES, reason, count)
    focal_length = float(np.sqrt(reference_camera.focal_length * query_camera.focal_length))
    pairs = pairs.select(chosen)
    pose = _decide(pairs, focal_length, sigma is None, options)
    if pose.state is PoseState.OK and pose.reference_T_query is not None:
        motion = Motion(pose.reference_T_query[:3, :3], pose.reference_T_query[:3, 3])
        band = noise_band(query_camera.size, options)
        kept = chosen[pose.inliers]
        cameras = reference_camera, query_camera
        seen = points[0][kept], points[1][kept], cameras, sigmas[kept]
        pose = replace(pose, focal_error=estimate_focal_error(motion, *seen, options))
        judged = _judge(pose, motion, pairs, band, focal_length, options)
        # Even a pose that is not believed may tell that the calibration is wrong.
        pose = replace(judged, focal_error=pose.focal_error)
    inliers = np.zeros(count, dtype=np.bool_)
    inliers[chosen[pose.inliers]] = True
    return replace(pose, inliers=inliers)


def _decide(
    pairs: RayPairs, focal_length: float, sigma_unknown: bool, options: TwoViewOptions
) -> RelativePose:
    estimator = robust_estimator(options.estimator)
    rays = pairs.reference[:, :2], pairs.query[:, :2]
    found = estimator.relative_pose(*rays, focal_length, options)
    flat = estimator.homography(*rays, focal_length, options)
    supported = found[2] if found else flat[1] if flat else np.zeros(len(pairs), np.bool_)
    limit = options.min_parallax
    if found:
        distances = motion_distances(Motion(*found[:2]), pairs, options)[supported]
        limit = parallax_limit(distances, options)
        if sigma_unknown:
            scale = robust_scale(distances / pairs.sigma[supported])
            pairs = replace(pairs, sigma=pairs.sigma * max(_SMALLEST_SIGMA, scale))

    starts = [sample_rotation(pairs, options.threshold / focal_length, options.seed)]
    starts += [rotation_of(flat[0])] if flat else []
    turned = rotation_candidate(starts, pairs, options)
    if turned and _no_parallax(turned, supported, limit, options):
        return _rotation_result(turned, pairs, focal_length, options)

    general = found and motion_candidate(Motion(*found[:2]), pairs, options)
    free: list[Candidate[Motion]] = [general] if general else []
    bound: list[Candidate[Motion]] = []
    if flat and (flat[1] & supported).sum() >= options.planar_ratio * supported.sum():
        planar, bound = planar_candidates(*flat, pairs, options)
        free += planar
    # On a plane the free motions are but less accurate versions of those that are bound to it.
    candidates = [one for one in bound if lies_on_plane(one, free)]
    if not candidates:
        far = turned and far_candidate(turned, pairs, options)
        candidates = [*free, *([far] if far else [])]
    return _motion_result(candidates, pairs, options)


def _judge(
    pose: RelativePose,
    motion: Motion,
    pairs: RayPairs,
    band: float,
    focal_length: float,
    options: TwoViewOptions,
) -> RelativePose:
    """Return the pose with a covariance that its halves agree with, or why it is not believed."""
    count = int(pose.inliers.sum())
    if count < options.min_motion_inliers:
        reason = f'{count} matches agree on a motion, {options.min_motion_inliers} are needed'
        return _failed(PoseState.LOST, reason, pairs)
    if count < _MAJORITY * len(pairs):
        reason = 'fewer than half of the matches agree with the motion'
        return _failed(PoseState.LOST, reason, pairs)
    if scatters(motion, pairs, band, options):
        reason = 'the matches scatter too widely about the motion, as those of blurred images do'
        return _failed(PoseState.LOST, reason, pairs)
    split = split_test(motion, pairs, band, options)
    if split.gain > options.max_split_gain or split.smallest_share < _HALF_SHARE:
        reason = 'parts of the image follow different motions, or the calibration is wrong'
        return _failed(PoseState.DEGENERATE, reason, pairs)
    if _second_motion(pose.inliers, pairs, focal_length, options):
        reason = 'the matches follow two motions, and either may be that of the scene'
        return _failed(PoseState.DEGENERATE, reason, pairs)
    covered, everything = (len(np.unique(one)) for one in (pairs.tiles[pose.inliers], pairs.tiles))
    if covered < max(_COVERED * TILES**2, _COVERED_SHARE * everything):
        reason = 'the matches that agree with the motion cover a part of the image only'
        return _failed(PoseState.DEGENERATE, reason, pairs)
    covariance = split.inflation * np.asarray(pose.covariance, dtype=np.float64)
    if pose.focal_error is not None:
        covariance = covariance + pose.focal_error.covariance()
    limits = [options.max_direction_sigma] * 3 + [options.max_rotation_sigma] * 3
    if not is_within(covariance, limits):
        return _failed(PoseState.DEGENERATE, 'the matches do not determine the motion', pairs)
    return replace(pose, covariance=covariance)


def _second_motion(
    inliers: Flags, pairs: RayPairs, focal_length: float, options: TwoViewOptions
) -> bool:
    """Tell if many of the other matches agree on one motion, as those of a large object do."""
    others = pairs.select(~inliers)
    needed = max(options.min_inliers, _RIVAL_SHARE * inliers.sum())
    if len(others) < needed:
        return False
    rays = others.reference[:, :2], others.query[:, :2]
    found = robust_estimator(options.estimator).relative_pose(*rays, focal_length, options)
    if not found or found[2].sum() < max(needed, _RIVAL_AGREEMENT * len(others)):
        return False
    return _compactness(others.tiles[found[2]], pairs.tiles[inliers]) >= _RIVAL_COMPACTNESS


def _compactness(tiles: npt.NDArray[np.int64], other_tiles: npt.NDArray[np.int64]) -> float:
    """Return the share of a group of matches among all in its tiles of the image, 0..1."""
    count = np.bincount(tiles, minlength=TILES**2)
    everybody = count + np.bincount(other_tiles, minlength=TILES**2)
    return float((count**2 / np.maximum(everybody, 1)).sum() / count.sum())


def _enough(inliers: Flags, options: TwoViewOptions) -> bool:
    count = int(inliers.sum())
    return count >= max(options.min_inliers, options.min_inlier_ratio * len(inliers))


def _no_parallax(
    turned: Candidate[Array], supported: Flags, limit: float, options: TwoViewOptions
) -> bool:
    moving = supported & (turned.distances > limit)
    needed = max(options.min_inliers, options.min_parallax_ratio * supported.sum())
    return _enough(turned.inliers, options) and moving.sum() < needed


def _rotation_result(
    turned: Candidate[Array], pairs: RayPairs, focal_length: float, options: TwoViewOptions
) -> RelativePose:
    shared = shared_deviations(turned.used, turned.model, options)
    covariance, _ = fit_covariance(turned.fit, turned.used, shared)
    # A translation that moves the image by less than `min_parallax` could pass for a rotation.
    covariance = covariance + np.eye(3) * (0.5 * options.min_parallax / focal_length) ** 2
    if not is_within(covariance, [options.max_rotation_sigma] * 3):
        return _failed(PoseState.DEGENERATE, 'the matches do not determine the rotation', pairs)
    return RelativePose.rotation_only(
        turned.model,
        covariance,
        method='homography',
        inliers=turned.inliers,
        median_residual=float(np.median(turned.distances[turned.inliers])),
        reason='a rotation alone explains the matches: there is no parallax',
    )


def _motion_result(
    candidates: list[Candidate[Motion]], pairs: RayPairs, options: TwoViewOptions
) -> RelativePose:
    candidates = [one for one in candidates if _plausible(one, pairs, options)]
    if not candidates:
        return _failed(PoseState.LOST, 'no motion explains enough of the matches', pairs)
    best = max(candidates, key=lambda one: _support(one, options).sum())
    covariance = _motion_covariance(best, options)
    limits = [options.max_rotation_sigma] * 3 + [options.max_direction_sigma] * 2
    if not is_within(covariance, limits):
        return _failed(PoseState.DEGENERATE, 'the matches do not determine the motion', pairs)

    unlike = 3.0 * max(_TWIN_SIGMA, _largest_sigma(covariance[3:, 3:]))
    for rival in candidates:
        if _clearly_better(best, rival, options):
            continue
        if angle_between(best.model.translation, rival.model.translation) > unlike:
            reason = 'two different motions explain the matches equally well'
            return _failed(PoseState.DEGENERATE, reason, pairs)
        # Close minima are one flat minimum, wider than the curvature at its bottom tells.
        step = best.model.step_to(rival.model)
        covariance = covariance + np.outer(step, step)
    return _success(best, covariance, pairs, options)


def _motion_covariance(best: Candidate[Motion], options: TwoViewOptions) -> Array:
    noise = None
    if best.method == 'essential':
        scale = robust_scale(best.fit.errors)
        noise = slope_noise(best.model, best.used, options.reference_sigma, scale)
    shared = shared_deviations(best.used, best.model.rotation, options)
    covariance, _ = fit_covariance(best.fit, best.used, shared, noise)
    return covariance[:5, :5]


def _support(candidate: Candidate[Motion], options: TwoViewOptions) -> Array:
    """Return how well each match (N,) agrees with a motion, 0..1 (the MSAC score)."""
    shares = np.minimum(candidate.distances / options.threshold, 1.0)
    return np.asarray(1.0 - shares**2)


def _clearly_better(
    best: Candidate[Motion], rival: Candidate[Motion], options: TwoViewOptions
) -> bool:
    """Tell if more matches prefer one motion than could by chance (a paired test of the scores)."""
    gains = _support(best, options) - _support(rival, options)
    return bool(np.sum(gains) > _TWIN_DEVIATIONS[best.method] * np.sqrt(np.sum(gains**2)))


def _success(
    best: Candidate[Motion], covariance: Array, pairs: RayPairs, options: TwoViewOptions
) -> RelativePose:
    rotation, translation = best.model.rotation, best.model.translation
    transform = np.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, translation
    # From (rotation, tangent of the translation) to x y z rx ry rz.
    spread = np.zeros((6, 5))
    spread[:3, 3:], spread[3:, :3] = tangent_basis(translation), np.eye(3)
    _, behind = points_behind(best, pairs, options)
    inliers = best.inliers & ~behind
    return RelativePose.up_to_scale(
        transform,
        spread @ covariance @ spread.T,
        method=best.method,
        inliers=inliers,
        median_residual=float(np.median(best.distances[inliers])),
    )


def _plausible(candidate: Candidate[Motion], pairs: RayPairs, options: TwoViewOptions) -> bool:
    moving, behind = points_behind(candidate, pairs, options)
    return (
        _enough(candidate.inliers & ~behind, options)
        and behind.sum() <= (1.0 - _MIN_FRONT_RATIO) * moving.sum()
    )


def _largest_sigma(covariance: Array) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(covariance)[-1]))


def _failed(state: PoseState, reason: str, pairs: RayPairs) -> RelativePose:
    return RelativePose.failed(state, reason, len(pairs))


def _columns(points: npt.ArrayLike, name: str) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(f'{name} must have the shape (N, 2), not {array.shape}')
    return array


def _per_match(values: npt.ArrayLike | None, count: int, name: str) -> Array:
    if values is None:
        return np.ones(count)
    array = np.asarray(values, dtype=np.float64)
    if array.shape != (count,):
        raise ValueError(f'{name} must have the shape ({count},), not {array.shape}')
    return array
