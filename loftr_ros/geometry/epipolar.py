"""Matches against the epipolar geometry of a motion: their distances, and the best motion."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from loftr_ros.geometry.least_squares import TOLERANCE, Fit, minimize
from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import cross, rotation_from_vector, rotation_vector, tangent_basis
from loftr_ros.geometry.types import Array, Flags

_SAMPLES = 150
_JUDGES = 300


@dataclass(frozen=True)
class Motion:
    """A motion without scale: `reference = rotation query + translation`, |translation| = 1."""

    rotation: Array
    translation: Array

    def moved(self, step: Array) -> Motion:
        """Turn by step[:3] about the reference axes and the direction by step[3:] (tangent)."""
        rotation = rotation_from_vector(step[:3]) @ self.rotation
        translation = self.translation + tangent_basis(self.translation) @ step[3:5]
        return Motion(rotation, translation / np.linalg.norm(translation))

    def step_to(self, other: Motion) -> Array:
        """Return the step (5,) to another motion, to first order."""
        turn = rotation_vector(other.rotation @ self.rotation.T)
        shift = tangent_basis(self.translation).T @ (other.translation - self.translation)
        return np.concatenate([turn, shift])


def sampson_errors(
    motion: Motion,
    pairs: RayPairs,
    reference_sigma: Array | float = 1.0,
    query_sigma: Array | float = 1.0,
) -> tuple[Array, Array]:
    """Compute the Sampson errors of matches, and their derivative by the motion.

    The algebraic error e = r^T [t] R q is divided by its standard deviation, propagated from the
    image points to first order: P. D. Sampson, "Fitting conic sections to very scattered data",
    1982; R. Hartley and A. Zisserman, Multiple View Geometry, 2nd edition, eq. 11.9. Without
    distortion and with both sigmas 1 it is their formula, in px.

    Args:
        motion: The motion of the camera.
        pairs: N matches.
        reference_sigma: Standard deviation of the reference points, px; 0 for exact ones.
        query_sigma: Standard deviation of the query points, px, one or (N,).

    Returns:
        The signed errors (N,) in standard deviations (px where both sigmas are 1), and their
        derivative (N, 5) by the step of `Motion.moved`.
    """
    rotation, translation = motion.rotation, motion.translation
    basis = tangent_basis(translation)
    rotated = pairs.query @ rotation.T
    moment = cross(pairs.reference, translation)
    error = np.sum(moment * rotated, axis=1)
    # The epipolar lines: de/dq and de/dr. Their lengths, in px, carry the noise of the points.
    query_push, query_variance = _propagate(moment @ rotation, pairs.query_pixel, query_sigma)
    reference_push, reference_variance = _propagate(
        cross(translation, rotated), pairs.reference_pixel, reference_sigma
    )
    variance = np.maximum(query_variance + reference_variance, 1e-24)
    turned = query_push @ rotation.T
    swept = cross(reference_push, translation)
    by_rotation = cross(rotated, moment) - (error / variance)[:, None] * (
        cross(turned, moment) - cross(swept, rotated)
    )
    by_translation = cross(rotated, pairs.reference) - (error / variance)[:, None] * (
        cross(turned, pairs.reference) - cross(reference_push, rotated)
    )
    deviation = np.sqrt(variance)
    slopes = np.concatenate([by_rotation, by_translation @ basis], axis=1)
    return error / deviation, slopes / deviation[:, None]


def sampson_distances(
    motion: Motion, pairs: RayPairs, reference_sigma: float, query_sigma: Array
) -> Array:
    """Compute the lengths (N,) of the Sampson errors alone, in standard deviations."""
    rotated = pairs.query @ motion.rotation.T
    moment = cross(pairs.reference, motion.translation)
    _, variance = _propagate(moment @ motion.rotation, pairs.query_pixel, query_sigma)
    if reference_sigma > 0:
        swept = cross(motion.translation, rotated)
        variance = variance + _propagate(swept, pairs.reference_pixel, reference_sigma)[1]
    error = np.sum(moment * rotated, axis=1)
    return np.asarray(np.abs(error) / np.sqrt(np.maximum(variance, 1e-24)))


def refine_motion(
    motion: Motion, pairs: RayPairs, reference_sigma: float, tolerance: float = TOLERANCE
) -> Fit[Motion]:
    """Minimize the Sampson errors of the matches with their sigmas, starting from `motion`."""

    def evaluate(candidate: Motion) -> tuple[Array, Array]:
        errors, slopes = sampson_errors(candidate, pairs, reference_sigma, pairs.sigma)
        return errors[:, None], slopes[:, None]

    return minimize(evaluate, Motion.moved, motion, tolerance)


def slope_noise(motion: Motion, pairs: RayPairs, reference_sigma: float, scale: float) -> Array:
    """Compute what the noise of the query points adds to the squared slopes of the Sampson errors.

    Args:
        motion: The motion of the camera.
        pairs: N matches.
        reference_sigma: Standard deviation of the reference points, px.
        scale: Size of the query points' true noise, in units of their sigmas.

    Returns:
        float64 (5, 5), by the step of `Motion.moved`.
    """
    _, slopes = sampson_errors(motion, pairs, reference_sigma, pairs.sigma)
    noise = np.zeros((5, 5))
    size = scale * pairs.sigma[:, None]
    for axis in range(2):
        moved = pairs.query.copy()
        moved[:, :2] += size * pairs.query_pixel[:, :, axis]
        shaken = replace(pairs, query=moved)
        change = sampson_errors(motion, shaken, reference_sigma, pairs.sigma)[1] - slopes
        noise += change.T @ change
    return noise


def direction_for(
    rotation: Array, pairs: RayPairs, parallax: Array, threshold: float, seed: int
) -> Motion:
    """Find the best direction of translation for a known rotation, from samples of two matches.

    The normals r x R q of the epipolar planes of all matches are perpendicular to the translation.

    Args:
        rotation: (3, 3).
        pairs: N matches.
        parallax: (N,), distance of each match from a mere rotation, px.
        threshold: Distance of an inlier from its epipolar plane, px.
        seed: Seed of the samples.
    """
    rng = np.random.default_rng(seed)
    some = rng.permutation(len(pairs))[:_JUDGES]
    pairs, parallax = pairs.select(some), parallax[some]
    normals = cross(pairs.reference, pairs.query @ rotation.T)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    first, second = rng.integers(0, len(pairs), (2, _SAMPLES))
    directions = cross(normals[first], normals[second])
    lengths = np.linalg.norm(directions, axis=1, keepdims=True)
    directions = np.where(lengths > 1e-9, directions / np.maximum(lengths, 1e-9), [0.0, 0.0, 1.0])
    distances = np.abs(normals @ directions.T) * parallax[:, None]
    best = int(np.argmin(np.sum(np.minimum(distances / threshold, 1.0) ** 2, axis=0)))
    motion = Motion(rotation, directions[best])
    # Points without parallax have any sign of depth.
    near = parallax * (distances[:, best] < threshold)
    forward = np.sum(near * in_front(motion, pairs))
    backward = np.sum(near * in_front(Motion(rotation, -directions[best]), pairs))
    return motion if forward >= backward else Motion(rotation, -directions[best])


def in_front(motion: Motion, pairs: RayPairs) -> Flags:
    """Tell for which matches (N,) the triangulated point lies before both cameras.

    From z_r r = z_q R q + t: the depths have the signs of (t x R q) . (r x R q) and
    (t x r) . (r x R q).
    """
    rotated = pairs.query @ motion.rotation.T
    normal = cross(pairs.reference, rotated)
    reference_depth = np.sum(cross(motion.translation, rotated) * normal, axis=1)
    query_depth = np.sum(cross(motion.translation, pairs.reference) * normal, axis=1)
    return np.asarray((reference_depth > 0) & (query_depth > 0))


def _propagate(line: Array, pixel: Array, sigma: Array | float) -> tuple[Array, Array]:
    """Return half the derivative (N, 3) of the variance by the line, and the variance (N,)."""
    noise = pixel * np.asarray(sigma, dtype=np.float64).reshape(-1, 1, 1)
    seen_x = noise[:, 0, 0] * line[:, 0] + noise[:, 1, 0] * line[:, 1]
    seen_y = noise[:, 0, 1] * line[:, 0] + noise[:, 1, 1] * line[:, 1]
    push = np.zeros_like(line)
    push[:, 0] = noise[:, 0, 0] * seen_x + noise[:, 0, 1] * seen_y
    push[:, 1] = noise[:, 1, 0] * seen_x + noise[:, 1, 1] * seen_y
    return push, seen_x**2 + seen_y**2
