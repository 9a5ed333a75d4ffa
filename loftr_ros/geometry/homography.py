"""Matches against a homography: those of a plane, or of a camera that only turns."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from loftr_ros.geometry.epipolar import Motion
from loftr_ros.geometry.least_squares import Fit, minimize
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import (
    cross,
    nearest_rotation,
    rotation_from_vector,
    skew,
    tangent_basis,
)
from loftr_ros.geometry.types import Array, Flags

_FAR_ERROR = 1e6
_SAMPLES = 150
_JUDGES = 200


@dataclass(frozen=True)
class PlanarMotion:
    """A motion before a plane: points X of it satisfy `normal . X = 1` in the reference camera.

    The unit of length is that of `motion.translation`. A normal of zero is a plane at infinity.
    """

    motion: Motion
    normal: Array

    def moved(self, step: Array) -> PlanarMotion:
        """Move by step[:5] as `Motion.moved` does, and the normal by step[5:]."""
        return PlanarMotion(self.motion.moved(step), self.normal + step[5:])


def transfer_errors(
    planar: PlanarMotion, pairs: RayPairs, query_sigma: Array | float = 1.0
) -> tuple[Array, Array]:
    """Compare query points with the reference points seen through the plane.

    The homography is `query ~ R^T (I - t n^T) reference`: R. Hartley and A. Zisserman, Multiple
    View Geometry, 2nd edition, eq. 13.2.

    Returns:
        The errors (N, 2) in standard deviations (px where the sigma is 1), and their derivative
        (N, 2, 8) by the step of `PlanarMotion.moved`.
    """
    rotation, translation = planar.motion.rotation, planar.motion.translation
    depth_share = pairs.reference @ planar.normal
    shifted = pairs.reference - depth_share[:, None] * translation
    errors, to_shift = _compare(rotation, shifted, pairs, query_sigma)
    by_translation = -to_shift @ tangent_basis(translation) * depth_share[:, None, None]
    by_normal = -(to_shift @ translation)[:, :, None] * pairs.reference[:, None, :]
    return errors, np.concatenate([to_shift @ skew(shifted), by_translation, by_normal], axis=2)


def refine_plane(planar: PlanarMotion, pairs: RayPairs) -> Fit[Motion]:
    """Minimize the transfer errors over motion and plane.

    Returns:
        The fit; its slopes are (N, 2, 8), the first 5 of the motion, the last 3 of the plane.
    """

    def evaluate(candidate: PlanarMotion) -> tuple[Array, Array]:
        return transfer_errors(candidate, pairs, pairs.sigma)

    fit = minimize(evaluate, PlanarMotion.moved, planar)
    return Fit(fit.state.motion, fit.errors, fit.slopes, fit.scale)


def refine_rotation(rotation: Array, pairs: RayPairs) -> Fit[Array]:
    """Minimize the transfer errors over the rotation alone, with slopes (N, 2, 3)."""

    def evaluate(candidate: Array) -> tuple[Array, Array]:
        return rotation_errors(candidate, pairs, pairs.sigma)

    def turn(candidate: Array, step: Array) -> Array:
        return rotation_from_vector(step) @ candidate

    return minimize(evaluate, turn, rotation)


def sample_rotation(pairs: RayPairs, angle: float, seed: int) -> Array:
    """Find the rotation that explains most matches without a translation, from samples of two.

    Args:
        pairs: N matches.
        angle: Angle between the rays of a match that the rotation explains, rad.
        seed: Seed of the samples.
    """
    rng = np.random.default_rng(seed)
    reference, query = _unit(pairs.reference), _unit(pairs.query)
    first, second = rng.integers(0, len(pairs), (2, _SAMPLES))
    frames = _frames(reference[first], reference[second])
    rotations = frames @ np.swapaxes(_frames(query[first], query[second]), 1, 2)
    judges = rng.permutation(len(pairs))[:_JUDGES]
    turned = np.swapaxes(rotations @ query[judges].T, 1, 2)
    distances = np.linalg.norm(turned - reference[judges], axis=2)
    scores = np.sum(np.minimum(distances / angle, 1.0) ** 2, axis=1)
    return np.asarray(rotations[np.argmin(scores)])


def _frames(first: Array, second: Array) -> Array:
    """Return right-handed frames (S, 3, 3) that turn with two unit vectors (S, 3) each."""
    middle, normal = _unit(first + second), _unit(cross(first, second))
    return np.stack([middle, cross(normal, middle), normal], axis=2)


def _unit(vectors: Array) -> Array:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12))


def rotation_errors(
    rotation: Array, pairs: RayPairs, query_sigma: Array | float = 1.0
) -> tuple[Array, Array]:
    """Compute transfer errors (N, 2) without a translation, and slopes (N, 2, 3)."""
    errors, to_shift = _compare(rotation, pairs.reference, pairs, query_sigma)
    return errors, to_shift @ skew(pairs.reference)


def _compare(
    rotation: Array, shifted: Array, pairs: RayPairs, query_sigma: Array | float
) -> tuple[Array, Array]:
    """Return errors (N, 2) of the query points, and their slopes (N, 2, 3) by `shifted`."""
    seen = shifted @ rotation
    visible = seen[:, 2] > 1e-9
    depth = np.where(visible, seen[:, 2], 1.0)
    predicted = seen[:, :2] / depth[:, None]
    to_sigmas = pairs.query_scale / np.asarray(query_sigma).reshape(-1, 1, 1)
    errors = np.einsum('nij,nj->ni', to_sigmas, pairs.query[:, :2] - predicted)
    projection = np.concatenate([to_sigmas, -to_sigmas @ predicted[:, :, None]], axis=2)
    slopes = -projection / depth[:, None, None] @ rotation.T
    errors[~visible], slopes[~visible] = _FAR_ERROR, 0.0
    return errors, slopes


def rotation_of(homography: Array) -> Array:
    """Return the rotation nearest to that of `query ~ R^T reference`."""
    # The sign of a homography is free; a rotation has a positive determinant.
    return np.asarray(nearest_rotation(homography * np.sign(np.linalg.det(homography))).T)


def decompose(homography: Array, pairs: RayPairs, inliers: Flags) -> list[PlanarMotion]:
    """Find the motions whose plane lies before both cameras for nearly all inliers.

    E. Malis and M. Vargas, "Deeper understanding of the homography decomposition for vision-based
    control", INRIA RR-6303, 2007: there are up to four, of which two may be seen.
    """
    _, rotations, translations, normals = cv2.decomposeHomographyMat(homography, np.eye(3))
    motions = []
    for turned, shift, facing in zip(rotations, translations, normals, strict=True):
        length = float(np.linalg.norm(shift))
        normal = np.asarray(facing, dtype=np.float64).ravel()
        seen = pairs.reference[inliers] @ normal > 0
        if length < 1e-9 or np.mean(seen) < 0.95:
            continue
        # OpenCV writes query = R' reference + t' with X . n = d; t' is in units of d.
        motion = Motion(turned.T, -turned.T @ shift.ravel() / length)
        motions.append(PlanarMotion(motion, normal * length))
    return motions
