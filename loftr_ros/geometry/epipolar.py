"""Matches against the epipolar geometry of a motion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loftr_ros.geometry.rays import RayPairs
from loftr_ros.geometry.rotations import cross, rotation_from_vector, rotation_vector, tangent_basis
from loftr_ros.geometry.types import Array


@dataclass(frozen=True)
class Motion:
    """A motion without scale: `reference = rotation query + translation`, of length 1."""

    rotation: Array
    translation: Array

    def moved(self, step: Array) -> Motion:
        """Rotate by step[:3] about the reference axes, and the direction by step[3:] (tangent)."""
        rotation = rotation_from_vector(step[:3]) @ self.rotation
        translation = self.translation + tangent_basis(self.translation) @ step[3:5]
        return Motion(rotation, translation / np.linalg.norm(translation))

    def reversed(self) -> Motion:
        """Return the motion with the opposite translation."""
        return Motion(self.rotation, -self.translation)

    def twisted(self) -> Motion:
        """Return the other rotation of the same essential matrix (Longuet-Higgins, 1981)."""
        around = 2.0 * np.outer(self.translation, self.translation) - np.eye(3)
        return Motion(around @ self.rotation, self.translation)

    def step_to(self, other: Motion) -> Array:
        """Return the step (5,) to another motion, to first order."""
        rotvec = rotation_vector(other.rotation @ self.rotation.T)
        shift = tangent_basis(self.translation).T @ (other.translation - self.translation)
        return np.concatenate([rotvec, shift])


def epipolar_errors(
    motion: Motion, pairs: RayPairs, sigma: Array | float = 1.0
) -> tuple[Array, Array]:
    """Compute how far query points lie from their epipolar lines, and the derivative by the motion.

    The algebraic error r^T [t] R q is divided by its derivative by the query point, in px; the
    reference points are exact, since a matcher on a grid finds the query point of each cell. To
    first order that is the distance from the line: R. Hartley and A. Zisserman, Multiple View
    Geometry, 2nd edition, eq. 11.9 with noise in one image.

    Args:
        motion: The motion of the camera.
        pairs: N matches.
        sigma: Standard deviation of the query points, px, one or (N,).

    Returns:
        The signed errors (N,) in standard deviations (px where sigma is 1), and their derivative
        (N, 5) by the step of `Motion.moved`.
    """
    rotation, translation = motion.rotation, motion.translation
    rotated = pairs.query @ rotation.T
    moment = cross(pairs.reference, translation)
    line = moment @ rotation
    pixel = pairs.query_pixel
    push = np.empty((len(pairs), 2))
    push[:, 0] = pixel[:, 0, 0] * line[:, 0] + pixel[:, 1, 0] * line[:, 1]
    push[:, 1] = pixel[:, 0, 1] * line[:, 0] + pixel[:, 1, 1] * line[:, 1]
    square = np.maximum(push[:, 0] ** 2 + push[:, 1] ** 2, 1e-24)
    error = (
        moment[:, 0] * rotated[:, 0] + moment[:, 1] * rotated[:, 1] + moment[:, 2] * rotated[:, 2]
    )

    # The normal of the line in the ray's plane, through which the length of `push` changes.
    swept = np.zeros((len(pairs), 3))
    swept[:, 0] = pixel[:, 0, 0] * push[:, 0] + pixel[:, 0, 1] * push[:, 1]
    swept[:, 1] = pixel[:, 1, 0] * push[:, 0] + pixel[:, 1, 1] * push[:, 1]
    shifted = rotated - (error / square)[:, None] * (swept @ rotation.T)
    size = 1.0 / (np.sqrt(square) * sigma)
    slopes = np.empty((len(pairs), 5))
    slopes[:, :3] = cross(shifted, moment) * size[:, None]
    slopes[:, 3:] = (cross(shifted, pairs.reference) * size[:, None]) @ tangent_basis(translation)
    return error * size, slopes


def slope_noise(motion: Motion, pairs: RayPairs, sigma: Array) -> Array:
    """Compute what the noise of the query points adds to the squared slopes of their errors.

    Args:
        motion: The motion of the camera.
        pairs: N matches.
        sigma: (N,), standard deviation of the query points, px.

    Returns:
        float64 (N, 5, 5), for each match, by the step of `Motion.moved`.
    """
    _, slopes = epipolar_errors(motion, pairs, sigma)
    noise = np.zeros((len(pairs), 5, 5))
    for axis in range(2):
        shaken = pairs.shifted(sigma[:, None] * pairs.query_pixel[:, :, axis])
        change = epipolar_errors(motion, shaken, sigma)[1] - slopes
        noise += change[:, :, None] * change[:, None, :]
    return noise
