"""Samples of a gyroscope that moves along a known path, with bias, noise and a wrong clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation, RotationSpline

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class SimulatedGyroscope:
    """What its samples differ by from the true angular rates.

    Attributes:
        camera_R_imu: float64 (3, 3), rotation of its axes in the camera.
        bias: float64 (3,), rad/s.
        noise_density: Of white noise, rad/s/sqrt(Hz).
        offset_s: By so much its stamps are later than those of the camera for the same time, s.
        rate_hz: Samples in a second.
        seed: Of the noise.
    """

    camera_R_imu: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    bias: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    noise_density: float = 0.0
    offset_s: float = 0.0
    rate_hz: float = 200.0
    seed: int = 0

    def samples(
        self, stamps_ns: NDArray[np.int64], world_R_camera: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return stamps (M,), ns, and angular rates (M, 3), rad/s, from the first pose to the last.

        Between the poses the rotation is a cubic spline.

        Args:
            stamps_ns: int64 (N,), times of the poses, rising.
            world_R_camera: float64 (N, 3, 3).
        """
        seconds = (stamps_ns - stamps_ns[0]) / 1e9
        rotations = Rotation.from_matrix(world_R_camera) * Rotation.from_matrix(self.camera_R_imu)
        times = np.arange(0.0, seconds[-1], 1.0 / self.rate_hz)
        rates = RotationSpline(seconds, rotations)(times, 1)
        noise = np.random.default_rng(self.seed).normal(size=rates.shape)
        rates = rates + self.bias + self.noise_density * np.sqrt(self.rate_hz) * noise
        stamps = stamps_ns[0] + np.rint((times + self.offset_s) * 1e9).astype(np.int64)
        return stamps, rates
