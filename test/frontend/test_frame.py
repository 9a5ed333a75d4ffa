from __future__ import annotations

import numpy as np
import pytest

from loftr_ros.frontend import Frame, FrameError
from loftr_ros.geometry import Camera

CAMERA = Camera(64, 48, np.array([[50, 0, 32.0], [0, 50, 24], [0, 0, 1]]))


def test_a_frame_that_fits_its_camera_is_accepted() -> None:
    Frame(5, np.zeros((48, 64), np.uint8), 'cam', CAMERA).check()
    Frame(5, np.zeros((48, 64, 3), np.uint8), 'cam', CAMERA).check()
    Frame(5, np.zeros((7, 9), np.float32)).check()


def test_another_size_than_the_calibration_names_both() -> None:
    frame = Frame(5, np.zeros((24, 32), np.uint8), 'cam', CAMERA)
    with pytest.raises(FrameError, match=r'32x24 px, but its camera calibration is for 64x48 px'):
        frame.check()


@pytest.mark.parametrize('shape', [(0, 64), (48, 0), (0, 0, 3)])
def test_an_empty_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(FrameError, match='the image is empty'):
        Frame(5, np.zeros(shape, np.uint8)).check()


@pytest.mark.parametrize('image', [np.zeros(5), np.zeros((1, 2, 3, 4)), None, [[1, 2]]])
def test_what_is_no_image_is_refused(image: np.ndarray) -> None:
    with pytest.raises(FrameError, match='must be an array'):
        Frame(5, image).check()


def test_messages_name_the_frame_by_camera_and_time() -> None:
    frame = Frame(1_500_000_007, np.zeros((0, 0), np.uint8), 'left')
    with pytest.raises(FrameError, match=r"frame 'left' at 1\.500000007 s"):
        frame.check()
