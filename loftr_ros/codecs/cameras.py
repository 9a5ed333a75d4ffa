"""Camera calibrations between sensor_msgs/CameraInfo and `Camera`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loftr_ros.geometry import Camera
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from sensor_msgs.msg import CameraInfo
    from std_msgs.msg import Header

# Names of distortion models in CameraInfo -> names of `Camera`.
MODELS = {
    '': 'none',
    'none': 'none',
    'plumb_bob': 'plumb_bob',
    'radtan': 'plumb_bob',
    'radial-tangential': 'plumb_bob',
    'rational_polynomial': 'rational_polynomial',
    'equidistant': 'equidistant',
    'fisheye': 'equidistant',
}
# Of OpenCV's one list of coefficients, plumb_bob is the beginning: drivers name it by either name.
PLUMB_BOB_SIZE, RATIONAL_SIZES = 5, (8, 12, 14)
LARGEST_SKEW = 1.0
"""Skew that calibrations leave over, px at the border of the image; more is that of no camera."""


RECTIFIED_NAME = re.compile(r'/image_rect[^/]*(/(compressed|ffmpeg|theora|zstd))?$')


def named_rectified(topic: str) -> bool:
    """Whether the name of an image topic says that its images are rectified, as image_proc's do."""
    return RECTIFIED_NAME.search(topic) is not None


class CameraInfoError(ValueError):
    """A calibration cannot be used; the message says why."""


def camera_from_msg(
    msg: CameraInfo, size: tuple[int, int] | None = None, *, rectified: bool = False
) -> Camera | None:
    """Read a calibration for images as they are published.

    Binning and region of interest are taken into account: pixels are those of the published image.
    The centre of a binned pixel is the centre of the pixels that it combines, hence
    (c + 0.5) / binning - 0.5; image_geometry leaves out the halves.

    Args:
        msg: The message; all of k and p zero means that the camera is not calibrated.
        size: (height, width) of the image that it came with, px; None to trust the message.
        rectified: The image is rectified, so that p holds instead of k, without distortion.

    Returns:
        The camera, or None where it is not calibrated.

    Raises:
        CameraInfoError: The calibration is not one of the image, or contradicts itself.
    """
    matrix = _matrix(msg, rectified)
    if matrix is None:
        return None
    width, height = _published_size(msg, size)
    try:
        model, distortion = ('none', np.zeros(0)) if rectified else _distortion(msg)
        return Camera(width, height, _published_matrix(matrix, msg), model, distortion)
    except ValueError as error:
        raise CameraInfoError(f'{error}') from error


def camera_to_msg(
    camera: Camera | None, header: Header | None = None, size: tuple[int, int] = (0, 0)
) -> CameraInfo:
    """Write a calibration; None gives k all zero and only the (height, width) of `size`."""
    from sensor_msgs.msg import CameraInfo

    msg = CameraInfo()
    if header is not None:
        msg.header = header
    if camera is None:
        msg.height, msg.width = size
        return msg
    msg.height, msg.width = camera.size
    msg.k = camera.matrix.reshape(9)
    msg.r = np.eye(3).reshape(9)
    msg.p = np.hstack([camera.matrix, np.zeros((3, 1))]).reshape(12)
    # CameraInfo has no name for an undistorted image: by convention it is plumb_bob with zeros.
    undistorted = camera.distortion_model == 'none'
    msg.distortion_model = 'plumb_bob' if undistorted else camera.distortion_model
    msg.d = [0.0] * 5 if undistorted else camera.distortion.tolist()
    return msg


def _matrix(msg: CameraInfo, rectified: bool) -> npt.NDArray[np.float64] | None:
    """Return the matrix that holds, without a skew that is none; None for no calibration.

    Raises:
        CameraInfoError: Only the other one of k and p is there.
    """
    k = np.array(msg.k, np.float64).reshape(3, 3)
    p = np.array(msg.p, np.float64).reshape(3, 4)[:, :3]
    matrix, other = (p, k) if rectified else (k, p)
    if not np.any(matrix):
        if not np.any(other):
            return None
        raise CameraInfoError(
            'p is zero, though the images are rectified: publish p, or the images before that'
            if rectified
            else 'k is zero, but p is not: if the images are rectified, set rectified:=true'
        )
    if abs(matrix[0, 1]) < LARGEST_SKEW:
        matrix[0, 1] = 0.0
    return matrix


def _distortion(msg: CameraInfo) -> tuple[str, npt.NDArray[np.float64]]:
    """Return model and coefficients as OpenCV takes them: their number says more than the name.

    Raises:
        CameraInfoError: The model is not known, or contradicts its coefficients.
    """
    distortion = np.array(msg.d, np.float64)
    model = MODELS.get(msg.distortion_model)
    if model == 'equidistant':
        return model, distortion
    if not distortion.any():  # of any other model nothing is left
        return 'none', np.zeros(0)
    if model is None:
        raise CameraInfoError(
            f'distortion model {shortened(msg.distortion_model)!r} is not supported; '
            f'known are {", ".join(name for name in MODELS if name)}'
        )
    if model == 'none':
        raise CameraInfoError(f'{distortion.size} distortion coefficients, but no distortion model')
    if distortion.size > PLUMB_BOB_SIZE and not distortion[PLUMB_BOB_SIZE:].any():
        distortion = distortion[:PLUMB_BOB_SIZE]
    return ('rational_polynomial' if distortion.size in RATIONAL_SIZES else 'plumb_bob'), distortion


def _binning(msg: CameraInfo) -> tuple[int, int]:
    return max(1, msg.binning_x), max(1, msg.binning_y)


def _published_size(msg: CameraInfo, size: tuple[int, int] | None) -> tuple[int, int]:
    """Return (width, height) after region of interest and binning, px."""
    if not msg.width and not msg.height and size is not None:
        return size[1], size[0]
    binning_x, binning_y = _binning(msg)
    width = (msg.roi.width or msg.width) // binning_x
    height = (msg.roi.height or msg.height) // binning_y
    if size is not None and (height, width) != size:
        raise CameraInfoError(
            f'the image has {size[1]}x{size[0]} px, but its camera_info is for {width}x{height} px'
            + _size_details(msg)
        )
    return width, height


def _size_details(msg: CameraInfo) -> str:
    binning_x, binning_y = _binning(msg)
    roi = msg.roi
    if binning_x == binning_y == 1 and not (roi.width or roi.height):
        return ''
    region = f', region {roi.width}x{roi.height}' if roi.width or roi.height else ''
    return f' ({msg.width}x{msg.height}{region}, binned {binning_x}x{binning_y})'


def _published_matrix(matrix: npt.NDArray[np.float64], msg: CameraInfo) -> npt.NDArray[np.float64]:
    binning_x, binning_y = _binning(msg)
    scaled = np.array(matrix)
    scaled[0, 2] -= msg.roi.x_offset
    scaled[1, 2] -= msg.roi.y_offset
    scaled[0] /= binning_x
    scaled[1] /= binning_y
    scaled[0, 2] += 0.5 / binning_x - 0.5
    scaled[1, 2] += 0.5 / binning_y - 0.5
    return scaled
