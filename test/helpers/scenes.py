"""Images of a moving camera, and the messages that carry them."""

from __future__ import annotations

import array

import cv2
import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from loftr_ros.codecs.stamps import stamp_to_msg

HEIGHT, WIDTH = 120, 160
FOCAL = 130.0
MATRIX = np.array([[FOCAL, 0, 79.5], [0, FOCAL, 59.5], [0, 0, 1]])
FRAME_ID = 'camera_optical'
STEP_NS = 50_000_000

Picture = npt.NDArray[np.uint8]


def picture(index: int) -> Picture:
    """Return the image number `index` of a camera that moves along two textured walls."""
    rng = np.random.default_rng(5)
    wall = cv2.resize(rng.integers(0, 255, (60, 120), np.uint8), (480, 240))
    offset = float(index % 60)
    near = np.array([[1, 0, -3 * offset], [0, 1, 0]], np.float32)
    far = np.array([[1, 0, -1.2 * offset], [0, 1, -60]], np.float32)
    image = cv2.warpAffine(wall, far, (WIDTH, HEIGHT))
    image[HEIGHT // 2 :] = cv2.warpAffine(wall, near, (WIDTH, HEIGHT))[HEIGHT // 2 :]
    return np.asarray(image, np.uint8)


def header(stamp_ns: int) -> Header:
    return Header(stamp=stamp_to_msg(stamp_ns), frame_id=FRAME_ID)


def image_msg(pixels: Picture, stamp_ns: int) -> Image:
    msg = Image(header=header(stamp_ns), height=pixels.shape[0], width=pixels.shape[1])
    msg.encoding = 'mono8'
    msg.step = pixels.shape[1]
    msg.data = array.array('B', pixels.tobytes())
    return msg


def compressed_msg(pixels: Picture, stamp_ns: int) -> CompressedImage:
    data = cv2.imencode('.jpg', pixels)[1].tobytes()
    return CompressedImage(
        header=header(stamp_ns), format='mono8; jpeg compressed ', data=array.array('B', data)
    )


def camera_info_msg(stamp_ns: int, width: int = WIDTH, height: int = HEIGHT) -> CameraInfo:
    msg = CameraInfo(header=header(stamp_ns), width=width, height=height)
    msg.distortion_model = 'plumb_bob'
    msg.d = [0.0] * 5
    msg.k = MATRIX.reshape(9)
    return msg
