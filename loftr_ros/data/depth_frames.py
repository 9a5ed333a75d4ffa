"""Frames with dense depth and poses: of depth cameras, or of stereo cameras by block matching."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.images import to_grey
from loftr_ros.data.undistortion import maps_to_ideal
from loftr_ros.visualization.images import to_display

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.data.sequences import GroundTruthSequence
    from loftr_ros.frontend.frame import Frame, RightView
    from loftr_ros.geometry import Camera

RECTIFIABLE = ('none', 'plumb_bob', 'rational_polynomial')
MAX_FRAMES = 1000


class DepthFrame(NamedTuple):
    """A grey image without distortion, its depth and its pose.

    Attributes:
        image: uint8 (H, W).
        depth: float32 (H, W), m along the optical axis, NaN where unknown.
        matrix: float64 (3, 3), intrinsics in px.
        world_T_camera: float64 (4, 4).

    """

    image: NDArray[np.uint8]
    depth: NDArray[np.float32]
    matrix: NDArray[np.float64]
    world_T_camera: NDArray[np.float64]


def read_depth_frames(path: Path, limit: int = MAX_FRAMES) -> list[DepthFrame]:
    """Read the frames of a dataset or bag that have a pose, a calibration and depth.

    Depth comes from the depth camera where there is one, else from the two images of a stereo
    camera (semi-global matching, Hirschmueller, PAMI 2008), which are rectified for that.

    Args:
        path: Folder of a dataset, or a bag.
        limit: Greatest number of frames; of longer sequences every n-th is read.

    Raises:
        DatasetError: If the sequence is damaged or lacks what is needed.

    """
    sequence = _open(path)
    step = -(-len(sequence) // limit)
    frames = []
    for number, entry in enumerate(sequence):
        frame, pose, camera = entry.frame, entry.world_T_camera, entry.frame.camera
        if number % step or pose is None or camera is None:
            continue
        if frame.depth is not None:
            frames.append(_from_depth(frame, camera, frame.depth, pose))
        elif frame.right is not None:
            frames.append(_from_stereo(path, frame, camera, frame.right, pose))
    if not frames:
        problem = 'no frame has a pose, a calibration and depth'
        raise DatasetError(path, problem, 'Give a sequence with ground truth and depth or stereo.')
    return frames


def _open(path: Path) -> GroundTruthSequence:
    try:
        return open_sequence(path, mode='rgbd')
    except DatasetError as no_depth:
        try:
            return open_sequence(path, mode='stereo')
        except DatasetError:
            raise no_depth from None


def _from_depth(
    frame: Frame, camera: Camera, depth: NDArray[np.float32], world_T_camera: NDArray[np.float64]
) -> DepthFrame:
    image = _grey(frame.image)
    if camera.is_distorted:
        maps = maps_to_ideal(camera)
        image = np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)
        # Between two surfaces there is none: depth is never interpolated.
        nearest = cv2.remap(depth, *maps, cv2.INTER_NEAREST, borderValue=float('nan'))
        depth = np.asarray(nearest, np.float32)
    return DepthFrame(image, depth, camera.matrix, world_T_camera)


def _from_stereo(
    path: Path,
    frame: Frame,
    camera: Camera,
    right: RightView,
    world_T_camera: NDArray[np.float64],
) -> DepthFrame:
    """Rectify both images and match them; the frame becomes the rectified left one."""
    for one in (camera, right.camera):
        if one.distortion_model not in RECTIFIABLE:
            raise DatasetError(
                path, f'{one.distortion_model} images cannot be rectified', 'Undistort them first.'
            )
    rotation, translation = right.left_T_right[:3, :3], right.left_T_right[:3, 3]
    size = camera.width, camera.height
    distortions = [_coefficients(one) for one in (camera, right.camera)]
    turn0, turn1, projection0, projection1, *_ = cv2.stereoRectify(
        camera.matrix,
        distortions[0],
        right.camera.matrix,
        distortions[1],
        size,
        rotation.T,
        -rotation.T @ translation,
        alpha=0,
    )
    views = [
        _rectified(image, one.matrix, distortion, rotation, projection, size)
        for image, one, distortion, rotation, projection in (
            (frame.image, camera, distortions[0], turn0, projection0),
            (right.image, right.camera, distortions[1], turn1, projection1),
        )
    ]
    disparity = match_rectified(*views)
    baseline = -projection1[0, 3] / projection1[0, 0]
    depth = np.asarray(projection0[0, 0] * baseline / disparity, np.float32)
    pose = world_T_camera.copy()
    pose[:3, :3] = pose[:3, :3] @ turn0.T
    return DepthFrame(views[0], depth, np.asarray(projection0[:, :3], np.float64), pose)


def match_rectified(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return disparities (H, W), px, of rectified grey images; NaN where they are not certain."""
    block = 5
    matcher = cv2.StereoSGBM_create(  # type: ignore[attr-defined]
        minDisparity=1,
        numDisparities=max(16 * round(left.shape[1] / 8 / 16), 16),
        blockSize=block,
        P1=8 * block**2,
        P2=32 * block**2,
        disp12MaxDiff=1,
        uniquenessRatio=10,
        speckleWindowSize=100,
        speckleRange=2,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    disparity = matcher.compute(left, right).astype(np.float32) / 16
    return np.where(disparity >= 1, disparity, np.float32(np.nan))


def _rectified(
    image: NDArray[Any],
    matrix: NDArray[np.float64],
    distortion: NDArray[np.float64],
    rotation: NDArray[Any],
    projection: NDArray[Any],
    size: tuple[int, int],
) -> NDArray[np.uint8]:
    maps = cv2.initUndistortRectifyMap(matrix, distortion, rotation, projection, size, cv2.CV_32FC1)
    return np.asarray(cv2.remap(_grey(image), *maps, cv2.INTER_LINEAR), np.uint8)


def _coefficients(camera: Camera) -> NDArray[np.float64]:
    return camera.distortion if camera.distortion.size else np.zeros(4)


def _grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    return to_grey(to_display(image))
