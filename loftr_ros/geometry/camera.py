"""A calibrated camera: pixels of the distorted image to rays and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

COEFFICIENT_COUNTS: dict[str, tuple[int, ...]] = {
    'none': (0,),
    'plumb_bob': (0, 4, 5),
    'rational_polynomial': (0, 8, 12, 14),
    'equidistant': (0, 4),
}
"""Accepted lengths of `Camera.distortion` for each model; 0 means an undistorted image."""

NARROWEST, WIDEST = np.deg2rad(1.0), np.deg2rad(157.0)
"""Field of view of a pinhole of the same focal length: telescopes are below, and no lens with fewer
pixels per radian in its centre (fisheye lenses included) is above."""

_ROUND_TRIP_PX = 0.05
_COMMON_ROOT = 0.01
"""Relative distance of two roots (of a squared radius) that stand for one and cancel."""
_WIDEST_RAY = np.deg2rad(85.0)
_UNDISTORT_CRITERIA = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-8)


def _no_distortion() -> Array:
    return np.zeros(0)


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics of one camera, in the conventions of sensor_msgs/CameraInfo and OpenCV.

    The optical frame is x right, y down, z forward (REP 103); pixel centres are at integers.

    Attributes:
        width: Image width, px.
        height: Image height, px.
        matrix: float64 (3, 3), `[[fx, 0, cx], [0, fy, cy], [0, 0, 1]]`, px.
        distortion_model: 'none', 'plumb_bob', 'rational_polynomial' or 'equidistant' (fisheye).
        distortion: float64 (D,), coefficients in OpenCV's order; see `COEFFICIENT_COUNTS`.

    Raises:
        ValueError: The intrinsics cannot be those of a real camera.
    """

    width: int
    height: int
    matrix: Array
    distortion_model: str = 'none'
    distortion: Array = field(default_factory=_no_distortion)

    def __post_init__(self) -> None:
        """Copy the arrays, so that nobody can change them, and check all fields."""
        for name in ('matrix', 'distortion'):
            try:
                value = np.array(getattr(self, name), dtype=np.float64)
            except (TypeError, ValueError) as error:
                raise ValueError(f'camera {name} is not an array of numbers: {error}') from error
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        self._check_size()
        self._check_matrix()
        self._check_distortion()

    def _check_size(self) -> None:
        for name in ('width', 'height'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
                raise ValueError(f'camera {name} must be a whole number of pixels, not {value!r}')
            object.__setattr__(self, name, int(value))

    def _check_matrix(self) -> None:
        matrix = self.matrix
        if matrix.shape != (3, 3):
            raise ValueError(f'camera matrix must be 3 x 3, not {matrix.shape}')
        if not np.isfinite(matrix).all():
            raise ValueError(f'camera matrix has values that are not finite: {matrix.tolist()}')
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
        if fx <= 0 or fy <= 0:
            raise ValueError(f'focal lengths must be positive, not fx={fx:g}, fy={fy:g}')
        if not np.array_equal(matrix, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]):
            raise ValueError(
                f'camera matrix must be [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], '
                f'not {matrix.tolist()}'
            )
        if not (-0.5 <= cx <= self.width - 0.5 and -0.5 <= cy <= self.height - 0.5):
            raise ValueError(
                f'principal point ({cx:g}, {cy:g}) is outside the image of '
                f'{self.width}x{self.height} px: is the calibration of another resolution?'
            )
        side = max(self.width, self.height)
        view = 2.0 * np.arctan(0.5 * side / np.array([fx, fy]))
        if not (view.min() >= NARROWEST and view.max() <= WIDEST):
            raise ValueError(
                f'no lens has focal lengths of fx={fx:g}, fy={fy:g} px for an image of '
                f'{self.width}x{self.height} px: is the calibration of another resolution or unit?'
            )

    def _check_distortion(self) -> None:
        counts = COEFFICIENT_COUNTS.get(self.distortion_model)
        if counts is None:
            raise ValueError(
                f'distortion model {self.distortion_model!r} is unknown; '
                f'known are {", ".join(COEFFICIENT_COUNTS)}'
            )
        if self.distortion.ndim != 1 or self.distortion.size not in counts:
            raise ValueError(
                f'{self.distortion_model} takes {" or ".join(map(str, counts))} '
                f'coefficients, not an array of shape {self.distortion.shape}'
            )
        if not np.isfinite(self.distortion).all():
            raise ValueError(f'distortion is not finite: {self.distortion.tolist()}')

    @property
    def size(self) -> tuple[int, int]:
        """Image size as (height, width), px."""
        return self.height, self.width

    @property
    def focal_length(self) -> float:
        """Geometric mean of fx and fy: px per radian at the image centre."""
        return float(np.sqrt(self.matrix[0, 0] * self.matrix[1, 1]))

    @property
    def is_distorted(self) -> bool:
        """Whether straight lines in space may be curved in the image."""
        # The fisheye mapping is no pinhole projection even where its coefficients are zero.
        return bool(np.any(self.distortion)) or (
            self.distortion_model == 'equidistant' and self.distortion.size > 0
        )

    def normalize(self, points: npt.ArrayLike) -> Array:
        """Undistort image points to the plane z = 1.

        Args:
            points: (N, 2) x, y in px of the distorted image.

        Returns:
            float64 (N, 2). Points that no ray of the model reaches (not finite, beyond the radius
            where the distortion folds over, or wider than 85 degrees) are NaN.

        Raises:
            ValueError: The points are not (N, 2).
        """
        points = _as_points(points, 2)
        rays = self._undistort(points) if self.is_distorted else self._apply_inverse(points)
        rays[~self._reachable(rays)] = np.nan
        if self.is_distorted:
            # The inverse of the distortion is iterative: only points that map back are its result.
            error = np.hypot(*(self._distort(rays) - points).T)
            rays[~(error < _ROUND_TRIP_PX)] = np.nan
        return rays

    def project(self, points: npt.ArrayLike) -> Array:
        """Project points in the camera's optical frame into the distorted image.

        Args:
            points: (N, 3) x, y, z, any unit of length.

        Returns:
            float64 (N, 2) px, also outside the image; NaN behind the camera (z <= 0), where the
            distortion model folds over and beyond 85 degrees off the axis.

        Raises:
            ValueError: The points are not (N, 3).
        """
        points = _as_points(points, 3)
        depth = points[:, 2:]
        rays = np.full((len(points), 2), np.nan)
        np.divide(points[:, :2], depth, out=rays, where=depth > 0)
        rays[~self._reachable(rays)] = np.nan
        return self._distort(rays)

    def projection_jacobian(self, rays: Array) -> Array:
        """Derivative of the image point by the point on the plane z = 1.

        Args:
            rays: (N, 2) points on the plane z = 1, as `normalize` returns them.

        Returns:
            float64 (N, 2, 2), px; row: x, y of the image, column: x, y of the plane.
        """
        if not self.is_distorted:
            return np.tile(self.matrix[:2, :2], (len(rays), 1, 1))
        step = 1e-5
        columns = [
            (self._distort(rays + offset) - self._distort(rays - offset)) / (2 * step)
            for offset in (np.array([step, 0.0]), np.array([0.0, step]))
        ]
        return np.stack(columns, axis=2)

    @cached_property
    def _largest_radius(self) -> float:
        """Radius on the plane z = 1 up to which the radial distortion grows with the angle."""
        angles = np.linspace(0.0, _WIDEST_RAY, 2000)
        if not self.is_distorted:
            return float(np.tan(_WIDEST_RAY))
        radii = _radial(self.distortion_model, self.distortion, angles)
        falling = np.flatnonzero(~(np.diff(radii) > 0))
        return float(np.tan(angles[falling[0]] if len(falling) else _WIDEST_RAY))

    def _reachable(self, rays: Array) -> npt.NDArray[np.bool_]:
        return np.asarray(np.hypot(*rays.T) <= self._largest_radius)

    def _apply_inverse(self, points: Array) -> Array:
        return np.asarray((points - self.matrix[:2, 2]) / np.diag(self.matrix)[:2])

    def _undistort(self, points: Array) -> Array:
        if not len(points):
            return np.empty((0, 2))
        stacked = points[:, None]
        if self.distortion_model == 'equidistant':
            rays = cv2.fisheye.undistortPoints(stacked, self.matrix, self.distortion)
        else:
            rays = cv2.undistortPointsIter(
                stacked, self.matrix, self.distortion, np.eye(3), np.eye(3), _UNDISTORT_CRITERIA
            )
        return np.array(rays, dtype=np.float64).reshape(-1, 2)

    def _distort(self, rays: Array) -> Array:
        if not self.is_distorted or not len(rays):
            return np.asarray(rays * np.diag(self.matrix)[:2] + self.matrix[:2, 2])
        still = np.zeros(3)
        if self.distortion_model == 'equidistant':
            stacked = np.column_stack([rays, np.ones(len(rays))])[:, None]
            points, _ = cv2.fisheye.projectPoints(
                stacked, still, still, self.matrix, self.distortion
            )
        else:
            stacked = np.column_stack([rays, np.ones(len(rays))])
            points, _ = cv2.projectPoints(stacked, still, still, self.matrix, self.distortion)
        return np.array(points, dtype=np.float64).reshape(-1, 2)


def _as_points(points: npt.ArrayLike, dimensions: int) -> Array:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] != dimensions:
        raise ValueError(f'points must have the shape (N, {dimensions}), not {array.shape}')
    return array


def _radial(model: str, coefficients: Array, angles: Array) -> Array:
    """Distorted radius of rays at `angles` (N,) from the axis, on the plane z = 1."""
    k = np.zeros(14)
    k[: coefficients.size] = coefficients
    if model == 'equidistant':
        square = angles**2
        above = 1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3])))
        return np.asarray(angles * above)
    radii = np.tan(angles)
    square = radii**2
    above = 1 + square * (k[0] + square * (k[1] + square * k[4]))
    below = 1 + square * (k[5] + square * (k[6] + square * k[7]))
    with np.errstate(divide='ignore', invalid='ignore'):
        distorted = np.asarray(radii * above / below)
    zeros = _positive_roots(k[4], k[1], k[0])
    for pole in _positive_roots(k[7], k[6], k[5]):
        gap = min((abs(zero / pole - 1) for zero in zeros), default=np.inf)
        if gap > _COMMON_ROOT:
            distorted[square >= pole] = -1.0  # the model ends at the first pole
            continue
        # Both vanish together, as fits of many coefficients have it: only near there is no value.
        near = np.abs(square / pole - 1) < max(1.5 * np.sqrt(gap), 1e-3)
        if near.any() and not near.all():
            distorted[near] = np.interp(radii[near], radii[~near], distorted[~near])
    return distorted


def _positive_roots(*coefficients: float) -> list[float]:
    """Return where 1 + c s + b s**2 + a s**3 vanishes for s > 0, with its coefficients a b c."""
    roots = np.roots([*coefficients, 1.0])
    return [float(root.real) for root in roots if root.real > 0 and abs(root.imag) < 1e-9]
