"""Calibrations from files, in the fields of sensor_msgs/CameraInfo: what a topic lacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg
from loftr_ros.geometry.transforms import inverse_transform, is_transform
from loftr_ros.plain_yaml import YamlError, read_yaml
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

KNOWN = 'ROS camera_calibration, a Kalibr camchain or sensor.yaml of EuRoC'
CHAIN = ('cam0', 'cam1')


@dataclass(frozen=True)
class Region:
    """The whole image, as sensor_msgs/RegionOfInterest has it."""

    x_offset: int = 0
    y_offset: int = 0
    height: int = 0
    width: int = 0
    do_rectify: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class FileCalibration:
    """Calibration of one camera, with the fields of sensor_msgs/CameraInfo."""

    width: int
    height: int
    distortion_model: str
    d: NDArray[np.float64]
    k: NDArray[np.float64]
    r: NDArray[np.float64] = field(default_factory=lambda: np.eye(3).ravel())
    p: NDArray[np.float64] = field(default_factory=lambda: np.zeros(12))
    binning_x: int = 0
    binning_y: int = 0
    roi: Region = Region()


@dataclass(frozen=True, eq=False)
class Calibrations:
    """What the files of one or two cameras hold.

    Attributes:
        cameras: Of the (left) camera or image0, then of the right camera or image1, if that is
            known.
        left_T_right: float64 (4, 4), pose of the right camera in the left one, m, where a chain of
            Kalibr says it; None otherwise.

    """

    cameras: tuple[FileCalibration, ...] = ()
    left_T_right: NDArray[np.float64] | None = None


def read_calibrations(paths: Iterable[str]) -> Calibrations:
    """Read the files of one or two cameras; empty names stand for none.

    Raises:
        CameraInfoError: A file is missing or none of those formats, or its calibration is unusable.
    """
    cameras: list[FileCalibration] = []
    left_T_right = None
    for name in filter(None, paths):
        path = Path(name).expanduser()
        content = _content(path)
        try:
            found = _cameras(content)
            for camera in found:
                camera_from_msg(camera)
            if 'cam1' in content:
                left_T_right = _pose_in_left(content['cam1'])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            reason = f'{error} is missing' if isinstance(error, KeyError) else shortened(str(error))
            text = f'{path}: the calibration is unusable ({reason}); known are {KNOWN}'
            raise CameraInfoError(text) from error
        cameras += found
    return Calibrations(tuple(cameras[:2]), left_T_right)


def _content(path: Path) -> dict[str, Any]:
    """Read YAML, also with the mark and the types that OpenCV writes.

    Raises:
        CameraInfoError: The file cannot be read, or holds no keys.
    """
    try:
        text = path.read_text(encoding='utf-8-sig').replace('!!opencv-matrix', '')
        lines = [line for line in text.splitlines() if not line.startswith('%')]
        content = read_yaml('\n'.join(lines))
    except OSError as error:
        raise CameraInfoError(f'{path}: the file cannot be read ({error.strerror})') from error
    except YamlError as error:
        raise CameraInfoError(
            f'{path}: the file is no YAML ({error}); known are {KNOWN}'
        ) from error
    except UnicodeDecodeError as error:
        raise CameraInfoError(f'{path}: the file is no text; known are {KNOWN}') from error
    if not isinstance(content, dict):
        raise CameraInfoError(f'{path}: the file holds no calibration; known are {KNOWN}')
    return content


def _cameras(content: dict[str, Any]) -> list[FileCalibration]:
    if 'cam0' in content:
        return [
            _of_intrinsics(content[name], 'distortion_coeffs') for name in CHAIN if name in content
        ]
    if 'camera_matrix' in content:
        return [_of_matrices(content)]
    return [_of_intrinsics(content, 'distortion_coefficients')]


def _of_matrices(content: dict[str, Any]) -> FileCalibration:
    """Read what camera_calibration of ROS writes."""
    projection = content.get('projection_matrix')
    rectification = content.get('rectification_matrix')
    return FileCalibration(
        width=int(content['image_width']),
        height=int(content['image_height']),
        distortion_model=str(content.get('distortion_model', 'plumb_bob')),
        d=_numbers(content['distortion_coefficients']),
        k=_numbers(content['camera_matrix'], 9),
        r=np.eye(3).ravel() if rectification is None else _numbers(rectification, 9),
        p=np.zeros(12) if projection is None else _numbers(projection, 12),
    )


def _of_intrinsics(content: dict[str, Any], coefficients: str) -> FileCalibration:
    """Read fx fy cx cy and the distortion, as Kalibr and EuRoC write them."""
    model = content.get('camera_model', 'pinhole')
    if model != 'pinhole':
        raise ValueError(f'camera_model {model} is not supported, only pinhole')
    width, height = _numbers(content['resolution'], 2).astype(int).tolist()
    fx, fy, cx, cy = _numbers(content['intrinsics'], 4).tolist()
    distortion = _numbers(content.get(coefficients) or [])
    k = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
    return FileCalibration(
        width=width,
        height=height,
        distortion_model=str(content.get('distortion_model', '')),
        d=distortion,
        k=k,
    )


def _pose_in_left(content: dict[str, Any]) -> NDArray[np.float64] | None:
    """Return the pose of the second camera of a chain, whose T_cn_cnm1 takes points into it."""
    if 'T_cn_cnm1' not in content:
        return None
    right_T_left = _numbers(content['T_cn_cnm1'], 16).reshape(4, 4)
    if not is_transform(right_T_left):
        raise ValueError('T_cn_cnm1 is no rotation and translation')
    return inverse_transform(right_T_left)


def _numbers(value: Any, count: int | None = None) -> NDArray[np.float64]:  # noqa: ANN401
    value = value['data'] if isinstance(value, dict) else value
    numbers = np.array(value, np.float64).ravel()
    if count is not None and numbers.size != count:
        raise ValueError(f'{numbers.size} numbers, expected {count}')
    return numbers
