"""The length of a motion comes from the depths that it shares with the motion before."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from loftr_ros.frontend import Frame, TrackingResult
from loftr_ros.frontend.mono_scale import MIN_SHARED, PointScale
from loftr_ros.geometry import Camera, RelativePose
from loftr_ros.matching.matches import Matches

CAMERA = Camera(640, 480, np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]))
NOISE = 0.2


def seen(
    depths: npt.NDArray[np.float64], step: float, error: npt.NDArray[np.float64] | float
) -> TrackingResult:
    """Points of these depths after a step to the right, with errors along it, px."""
    rng = np.random.default_rng(0)
    points = rng.permutation([(x, y) for x in range(40, 620, 20) for y in range(40, 460, 20)])
    points = points[: len(depths)].astype(np.float32)
    moved = points.copy()
    moved[:, 0] += -500 * step / depths + error
    count = len(depths)
    ones = np.ones(count, np.float32)
    cells = np.arange(count)
    matches = Matches(points, moved, ones, NOISE * ones, cells, (1, count))
    pose = np.eye(4)
    pose[0, 3] = 1.0
    relative = RelativePose.up_to_scale(
        pose, 1e-6 * np.eye(6), method='essential', inliers=np.ones(count, bool), median_residual=0
    )
    image = np.zeros((480, 640), np.uint8)
    frames = Frame(0, image, 'camera', CAMERA), Frame(int(step * 1e9), image, 'camera', CAMERA)
    return TrackingResult(
        reference=frames[0],
        query=frames[1],
        matches=matches,
        track_ids=cells,
        pose=relative,
        new_keyframe=False,
        seconds={},
    )


def remembered(depths: npt.NDArray[np.float64]) -> PointScale:
    scale = PointScale()
    pose = np.eye(4)
    pose[0, 3] = 1.0
    scale.remember(seen(depths, 1.0, 0.0), pose)
    return scale


@pytest.mark.parametrize('step', [0.3, 0.8, 2.0])
def test_the_length_is_that_of_the_motion(step: float) -> None:
    depths = np.random.default_rng(1).uniform(4, 10, 50)
    found = remembered(depths).length_of(seen(depths, step, 0.0))
    assert found is not None
    assert found[0] == pytest.approx(step, rel=1e-3)


def test_many_uncertain_points_far_away_do_not_decide_it() -> None:
    depths = np.concatenate([np.full(40, 4.0), np.full(100, 100.0)])
    error = np.where(depths > 50, -1.0, 0.0)
    found = remembered(depths).length_of(seen(depths, 0.5, error))
    assert found is not None
    assert found[0] == pytest.approx(0.5, rel=0.01)


def test_too_few_shared_points_give_no_length() -> None:
    depths = np.full(MIN_SHARED - 1, 5.0)
    assert remembered(depths).length_of(seen(depths, 0.5, 0.0)) is None
