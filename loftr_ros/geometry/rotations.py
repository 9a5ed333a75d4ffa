"""Small rotations, cross products and directions."""

from __future__ import annotations

import cv2
import numpy as np

from loftr_ros.geometry.types import Array

_SMALL_ANGLE = 2e-5


def skew(vectors: Array) -> Array:
    """Return the matrices (..., 3, 3) of the cross product with `vectors` (..., 3)."""
    matrices = np.zeros((*vectors.shape, 3))
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    matrices[..., 0, 1], matrices[..., 0, 2], matrices[..., 1, 2] = -z, y, -x
    matrices[..., 1, 0], matrices[..., 2, 0], matrices[..., 2, 1] = z, -y, x
    return matrices


def cross(first: Array, second: Array) -> Array:
    """Return the cross products (..., 3); several times faster than numpy's for short vectors."""
    x0, y0, z0 = first[..., 0], first[..., 1], first[..., 2]
    x1, y1, z1 = second[..., 0], second[..., 1], second[..., 2]
    x = y0 * z1 - z0 * y1
    product = np.empty((*x.shape, 3))
    product[..., 0], product[..., 1], product[..., 2] = x, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1
    return product


def rotation_from_vector(vector: Array) -> Array:
    """Return the rotation (3, 3) about the axis and by the angle of `vector` (3,), rad."""
    return np.asarray(cv2.Rodrigues(np.asarray(vector, dtype=np.float64))[0], dtype=np.float64)


def rotation_vector(rotation: Array) -> Array:
    """Return the axis times the angle (3,) of a rotation (3, 3), rad."""
    skewed = 0.5 * (rotation - rotation.T)
    small = np.array([skewed[2, 1], skewed[0, 2], skewed[1, 0]])
    if np.linalg.norm(small) < _SMALL_ANGLE and np.trace(rotation) > 0:
        return small  # OpenCV returns zero below 1e-5 rad
    return np.asarray(cv2.Rodrigues(rotation)[0], dtype=np.float64).ravel()


def nearest_rotation(matrix: Array) -> Array:
    """Return the rotation nearest to a matrix (3, 3) in the Frobenius norm."""
    left, _, right = np.linalg.svd(matrix)
    return np.asarray(left @ np.diag([1.0, 1.0, np.linalg.det(left @ right)]) @ right)


def tangent_basis(direction: Array) -> Array:
    """Return two orthonormal columns (3, 2) perpendicular to a unit `direction` (3,).

    T. Duff et al., "Building an orthonormal basis, revisited", JCGT 2017.
    """
    x, y, z = direction.tolist()
    sign = 1.0 if z >= 0.0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    return np.array([[1.0 + sign * x * x * a, b], [sign * b, sign + y * y * a], [-sign * x, -y]])


def angle_between(first: Array, second: Array) -> float:
    """Return the angle between two vectors (3,), rad; exact for small angles too."""
    return float(np.arctan2(np.linalg.norm(cross(first, second)), first @ second))
