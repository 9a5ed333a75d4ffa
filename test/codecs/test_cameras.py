"""CameraInfo: distortion models, binning and regions are read, mismatches refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg, camera_to_msg
from loftr_ros.geometry import Camera

SIZE = (480, 640)


def camera_info(**fields: object) -> CameraInfo:
    msg = CameraInfo(width=640, height=480, distortion_model='plumb_bob')
    msg.k = np.array([500.0, 0, 320, 0, 510, 240, 0, 0, 1])
    msg.p = np.array([450.0, 0, 310, 0, 0, 450, 235, 0, 0, 0, 1, 0])
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


def require(camera: Camera | None) -> Camera:
    assert camera is not None
    return camera


@pytest.mark.parametrize(
    ('model', 'coefficients', 'expected'),
    [
        ('plumb_bob', [0.1, -0.2, 0.001, 0.002, 0.05], 'plumb_bob'),
        ('plumb_bob', [0.0] * 5, 'none'),
        ('plumb_bob', [], 'none'),
        ('', [], 'none'),
        ('rational_polynomial', [0.1, -0.2, 0.0, 0.0, 0.05, 0.1, 0.0, 0.0], 'rational_polynomial'),
        ('rational_polynomial', [0.0] * 8, 'none'),
        ('equidistant', [0.01, 0.002, -0.001, 0.0005], 'equidistant'),
        ('equidistant', [0.0] * 4, 'equidistant'),
        ('fisheye', [0.01, 0.0, 0.0, 0.0], 'equidistant'),
    ],
)
def test_distortion_models_are_recognized(
    model: str, coefficients: list[float], expected: str
) -> None:
    camera = require(camera_from_msg(camera_info(distortion_model=model, d=coefficients), SIZE))
    assert camera.distortion_model == expected
    np.testing.assert_array_equal(camera.distortion, [] if expected == 'none' else coefficients)


RATIONAL = [0.1, -0.2, 0.001, 0.002, 0.05, 0.01, 0.02, 0.003]


@pytest.mark.parametrize(
    ('model', 'coefficients', 'expected', 'kept'),
    [
        ('plumb_bob', RATIONAL, 'rational_polynomial', 8),
        ('plumb_bob', [*RATIONAL[:5], 0.0, 0.0, 0.0], 'plumb_bob', 5),
        ('plumb_bob', [*RATIONAL[:5], *[0.0] * 9], 'plumb_bob', 5),
        ('rational_polynomial', RATIONAL[:5], 'plumb_bob', 5),
        ('rational_polynomial', RATIONAL[:4], 'plumb_bob', 4),
        ('rational_polynomial', [*RATIONAL, *[0.0] * 6], 'rational_polynomial', 14),
        ('radtan', RATIONAL[:4], 'plumb_bob', 4),
        ('Inverse Brown Conrady', [0.0] * 5, 'none', 0),
        ('whatever', [], 'none', 0),
    ],
)
def test_coefficients_are_taken_as_opencv_takes_them(
    model: str, coefficients: list[float], expected: str, kept: int
) -> None:
    camera = require(camera_from_msg(camera_info(distortion_model=model, d=coefficients), SIZE))
    assert camera.distortion_model == expected
    np.testing.assert_array_equal(camera.distortion, coefficients[:kept])
    points = np.array([[100.0, 80.0], [600.0, 400.0], [320.0, 240.0]])
    rays = cv2.undistortPointsIter(
        points[:, None], camera.matrix, np.array(coefficients or [0.0] * 4), np.eye(3), np.eye(3),
        (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 50, 1e-9),
    )  # fmt: skip
    np.testing.assert_allclose(camera.normalize(points), rays[:, 0], atol=1e-6)


def test_a_skew_that_is_none_is_left_out() -> None:
    k = np.array([500.0, 0.3, 320, 0, 510, 240, 0, 0, 1])
    assert require(camera_from_msg(camera_info(k=k), SIZE)).matrix[0, 1] == 0
    k[1] = 40
    with pytest.raises(CameraInfoError, match='camera matrix must be'):
        camera_from_msg(camera_info(k=k), SIZE)


def test_all_of_k_and_p_zero_means_not_calibrated() -> None:
    assert camera_from_msg(camera_info(k=np.zeros(9), p=np.zeros(12)), SIZE) is None
    assert camera_from_msg(CameraInfo(), SIZE) is None


def test_where_only_the_other_matrix_is_there_the_message_says_what_to_set() -> None:
    with pytest.raises(CameraInfoError, match='set rectified:=true'):
        camera_from_msg(camera_info(k=np.zeros(9)), SIZE)
    with pytest.raises(CameraInfoError, match='p is zero, though the images are rectified'):
        camera_from_msg(camera_info(p=np.zeros(12)), SIZE, rectified=True)


def test_the_message_may_leave_out_the_size() -> None:
    camera = require(camera_from_msg(camera_info(width=0, height=0), SIZE))
    assert camera.size == SIZE


def test_rectified_images_take_p_without_distortion() -> None:
    msg = camera_info(d=[0.1, 0.0, 0.0, 0.0, 0.0])
    camera = require(camera_from_msg(msg, SIZE, rectified=True))
    np.testing.assert_array_equal(camera.matrix, [[450, 0, 310], [0, 450, 235], [0, 0, 1]])
    assert camera.distortion_model == 'none'


def test_a_pixel_of_a_binned_region_looks_where_the_pixels_do_that_it_combines() -> None:
    full = require(camera_from_msg(camera_info()))
    roi = RegionOfInterest(x_offset=100, y_offset=60, width=400, height=320)
    binned = require(camera_from_msg(camera_info(binning_x=4, binning_y=2, roi=roi), (160, 100)))
    first, last = np.array([104, 62]), np.array([107, 63])
    np.testing.assert_allclose(binned.normalize([[1, 1]]), full.normalize([(first + last) / 2]))


@pytest.mark.parametrize(
    ('fields', 'reason'),
    [
        ({'width': 320, 'height': 240}, r'has 640x480 px, but its camera_info is for 320x240 px'),
        ({'binning_x': 2, 'binning_y': 2}, r'is for 320x240 px \(640x480, binned 2x2\)'),
        (
            {'roi': RegionOfInterest(width=100, height=50)},
            r'100x50 px \(640x480, region 100x50, binned 1x1\)',
        ),
        ({'distortion_model': 'thin_prism', 'd': [0.1]}, "'thin_prism' is not supported"),
        ({'distortion_model': 'x' * 10**6, 'd': [0.1]}, r"x\.\.\. \(1000000 characters\)' is not"),
        ({'d': [0.1, 0.2]}, 'plumb_bob takes'),
        ({'d': [0.1, float('nan'), 0.0, 0.0, 0.0]}, 'not finite'),
        ({'distortion_model': '', 'd': [0.1]}, 'no distortion model'),
        ({'k': np.array([-1.0, 0, 320, 0, 1, 240, 0, 0, 1])}, 'focal lengths must be positive'),
        ({'k': np.full(9, np.nan)}, 'not finite'),
        ({'k': np.array([500.0, 0, 3200, 0, 500, 240, 0, 0, 1])}, 'of another resolution'),
    ],
)
def test_calibrations_that_cannot_be_of_the_image_are_refused(
    fields: dict[str, object], reason: str
) -> None:
    with pytest.raises(CameraInfoError, match=reason):
        camera_from_msg(camera_info(**fields), SIZE)


@pytest.mark.parametrize(
    'camera',
    [
        Camera(640, 480, np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]])),
        Camera(
            640,
            480,
            np.array([[500.0, 0, 320], [0, 510, 240], [0, 0, 1]]),
            'equidistant',
            np.array([0.01, 0.0, 0.002, 0.0]),
        ),
    ],
)
def test_cameras_survive_the_round_trip(camera: Camera) -> None:
    header = Header(frame_id='left')
    msg = camera_to_msg(camera, header)
    assert msg.header.frame_id == 'left'
    back = require(camera_from_msg(msg, SIZE))
    assert back.size == camera.size
    assert back.distortion_model == camera.distortion_model
    np.testing.assert_array_equal(back.matrix, camera.matrix)
    np.testing.assert_array_equal(back.distortion, camera.distortion)


def test_no_camera_is_a_message_with_a_size_and_k_zero() -> None:
    msg = camera_to_msg(None, size=(120, 160))
    assert (msg.height, msg.width) == (120, 160)
    assert camera_from_msg(msg, (120, 160)) is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(width=64), min_size=9, max_size=9),
    st.lists(st.floats(width=64), max_size=15),
    st.sampled_from(['', 'plumb_bob', 'rational_polynomial', 'equidistant', 'else']),
    st.integers(0, 5),
)
def test_whatever_numbers_it_holds_there_is_a_camera_or_a_reason(
    k: list[float], d: list[float], model: str, binning: int
) -> None:
    msg = camera_info(k=np.array(k), d=d, distortion_model=model, binning_x=binning)
    try:
        camera = camera_from_msg(msg)
    except CameraInfoError:
        return
    assert camera is None or camera.focal_length > 0
