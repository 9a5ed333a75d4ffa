"""The AUC of the pose error of matches that are at hand, as a training run notes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from loftr_ros.evaluation.matchers.robust import estimate_pose
from loftr_ros.evaluation.records.metrics import AUC_THRESHOLDS, pose_auc, pose_error
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

# Of the scene's size, 1: closer cameras have no direction that the truth could give.
SMALLEST_BASELINE = 0.03


class PosedMatches(Protocol):
    """Matches of two cameras with known poses."""

    @property
    def points0(self) -> NDArray[Any]:
        """(M, 2), px."""

    @property
    def points1(self) -> NDArray[Any]:
        """(M, 2), px."""

    @property
    def matrix0(self) -> NDArray[np.float64]:
        """(3, 3), px."""

    @property
    def matrix1(self) -> NDArray[np.float64]:
        """(3, 3), px."""

    @property
    def camera0_T_camera1(self) -> NDArray[np.float64]:  # noqa: N802 - frames are in names
        """(4, 4), true relative pose."""


def pose_figures(pairs: Iterable[PosedMatches]) -> dict[str, float]:
    """Return `auc_5`, `auc_10` and `auc_20`, 0 to 1, as `evaluate-pairs` measures them.

    Pairs of cameras at one place are left out.
    """
    errors = [
        _pose_error(pair)
        for pair in pairs
        if np.linalg.norm(pair.camera0_T_camera1[:3, 3]) >= SMALLEST_BASELINE
    ]
    names = [f'auc_{threshold:g}' for threshold in AUC_THRESHOLDS]
    return dict(zip(names, pose_auc(errors), strict=True))


def _pose_error(pair: PosedMatches) -> float:
    cv2.setRNGSeed(0)
    cameras = _camera(pair.matrix0), _camera(pair.matrix1)
    estimate = estimate_pose(pair.points0, pair.points1, *cameras)
    return pose_error(estimate.reference_T_query, pair.camera0_T_camera1)


def _camera(matrix: NDArray[np.float64]) -> Camera:
    width, height = (int(np.ceil(2 * centre + 1)) for centre in matrix[:2, 2])
    ideal = np.eye(3)
    ideal[[0, 1, 0, 1], [0, 1, 2, 2]] = matrix[[0, 1, 0, 1], [0, 1, 2, 2]]
    return Camera(width, height, ideal)
