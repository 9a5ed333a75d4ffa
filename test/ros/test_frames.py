"""Frames of the metric modes: what is read, and what is refused by name."""

from __future__ import annotations

import array
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scenes import (
    FOCAL,
    HEIGHT,
    MATRIX,
    STEP_NS,
    WIDTH,
    camera_info_msg,
    header,
    image_msg,
    picture,
)
from sensor_msgs.msg import CameraInfo, Image

from loftr_ros.ros.frames import DepthInput, FrameReader, ImageInput, InputError
from loftr_ros.settings.declarations import ParameterError
from loftr_ros.settings.parameters import NodeParameters

BASELINE = 0.2
Array = npt.NDArray[np.float64]


class Bench:
    """A reader, what it refused, and what it received of the frames of the robot."""

    def __init__(self, known: Array | None = None, **parameters: object) -> None:
        self.refusals: list[tuple[str, str]] = []
        self.asked: list[tuple[str, str]] = []
        self.known = known
        self.warnings: list[str] = []
        self.reader = FrameReader(
            NodeParameters().with_values(parameters),
            lambda topic, reason: self.refusals.append((topic, reason)),
            self.lookup,
            self.warnings.append,
        )

    def lookup(self, target: str, source: str) -> Array | None:
        self.asked.append((target, source))
        return self.known


def image_input(name: str, info: CameraInfo | None) -> ImageInput:
    return ImageInput(image_msg(picture(0), 5), info, f'/{name}/image', f'/{name}/camera_info')


def stereo_info(shift: float = 0.0) -> CameraInfo:
    msg = camera_info_msg(5)
    p = np.column_stack([MATRIX, [-FOCAL * shift, 0, 0]])
    msg.p = p.reshape(12)
    msg.r = np.eye(3).reshape(9)
    return msg


def depth_input(rows: int = HEIGHT, columns: int = WIDTH) -> DepthInput:
    values = np.full((rows, columns), 1500, np.uint16)
    values[0, 0] = 0
    msg = Image(header=header(5), height=rows, width=columns, encoding='16UC1', step=2 * columns)
    msg.data = array.array('B', values.tobytes())
    return DepthInput(msg, '/depth')


def translation(x: float) -> Array:
    transform = np.eye(4)
    transform[0, 3] = x
    return transform


def test_depth_belongs_to_the_frame_in_metres() -> None:
    frame = Bench().reader.rgbd(image_input('camera', camera_info_msg(5)), depth_input())
    assert frame.mode == 'rgbd'
    assert frame.depth is not None
    assert np.isnan(frame.depth[0, 0])
    assert frame.depth[1, 1] == np.float32(1.5)
    frame.check()


def test_depth_that_is_not_registered_is_refused_by_name() -> None:
    with pytest.raises(InputError, match='/depth: the depth has 80x60 px, but the image 160x120'):
        Bench().reader.rgbd(image_input('camera', None), depth_input(60, 80))


def test_a_picture_in_place_of_depth_is_refused_by_name() -> None:
    depth = DepthInput(image_msg(picture(0), 5), '/depth')
    with pytest.raises(InputError, match="/depth: encoding 'mono8' holds no depth"):
        Bench().reader.rgbd(image_input('camera', None), depth)


def test_the_right_camera_stands_where_the_calibration_says() -> None:
    bench = Bench(mode='stereo')
    frame = bench.reader.stereo(
        image_input('left', stereo_info()), image_input('right', stereo_info(BASELINE))
    )
    assert frame.mode == 'stereo'
    assert frame.right is not None
    np.testing.assert_allclose(frame.right.left_T_right, translation(BASELINE), atol=1e-9)
    assert not bench.refusals
    assert not bench.asked
    frame.check()


def test_the_parameter_goes_before_the_calibration() -> None:
    bench = Bench(None, **{'input.left_T_right': (0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0)})
    frame = bench.reader.stereo(
        image_input('left', stereo_info()), image_input('right', stereo_info(BASELINE))
    )
    assert frame.right is not None
    np.testing.assert_array_equal(frame.right.left_T_right, translation(0.5))


def test_tf_is_asked_where_the_calibration_holds_no_baseline() -> None:
    bench = Bench(translation(0.3))
    left, right = image_input('left', stereo_info()), image_input('right', stereo_info())
    right.image.header.frame_id = 'right_optical'
    frame = bench.reader.stereo(left, right)
    assert bench.asked == [('camera_optical', 'right_optical')]
    assert frame.right is not None
    np.testing.assert_array_equal(frame.right.left_T_right, translation(0.3))


@pytest.mark.parametrize('known', [None, np.eye(4)])
def test_without_any_baseline_there_is_no_calibration_and_the_reason_is_reported(
    known: Array | None,
) -> None:
    bench = Bench(known)
    frame = bench.reader.stereo(
        image_input('left', stereo_info()), image_input('right', stereo_info())
    )
    assert frame.camera is None
    assert frame.right is None
    assert bench.refusals[0][0] == '/right/camera_info'
    assert 'there is no baseline' in bench.refusals[0][1]
    assert 'left_T_right' in bench.refusals[0][1]


def test_swapped_cameras_leave_the_frame_without_calibration() -> None:
    bench = Bench()
    frame = bench.reader.stereo(
        image_input('left', stereo_info(BASELINE)), image_input('right', stereo_info())
    )
    assert frame.camera is None
    assert 'swapped' in bench.refusals[0][1]


def test_a_right_camera_without_calibration_leaves_the_frame_without_one() -> None:
    frame = Bench().reader.stereo(image_input('left', stereo_info()), image_input('right', None))
    assert frame.camera is None
    assert frame.right is None


def test_a_calibration_of_a_file_replaces_camera_info(tmp_path: Path) -> None:
    file = tmp_path / 'sensor.yaml'
    file.write_text(
        'resolution: [160, 120]\nintrinsics: [77, 77, 80, 60]\ndistortion_model: none\n'
    )
    values = {'input.calibration_file': [str(file)]}
    reader = FrameReader(NodeParameters().with_values(values), lambda *_: None, lambda *_: None)
    message = image_msg(picture(0), STEP_NS)
    for info in (None, stereo_info()):
        camera = reader.image(ImageInput(message, info, '/image', '/camera_info')).camera
        assert camera is not None
        assert camera.matrix[0, 0] == 77
    wrong = NodeParameters().with_values({'input.calibration_file': ['/nowhere.yaml']})
    with pytest.raises(ParameterError, match=r'input\.calibration_file: /nowhere\.yaml: the file'):
        FrameReader(wrong, lambda *_: None, lambda *_: None)


@pytest.mark.parametrize(
    ('topic', 'rectified', 'distorted', 'expected'),
    [
        ('/cam/image_rect', False, True, 1),
        ('/cam/image_rect_color', False, True, 1),
        ('/cam/image_rect/compressed', False, True, 1),
        ('/cam/image_rect', True, True, 0),
        ('/cam/image_rect', False, False, 0),
        ('/cam/image_raw', False, True, 0),
        ('/cam/direct', False, True, 0),
    ],
)
def test_rectified_images_that_are_taken_for_raw_ones_are_warned_of_once(
    topic: str, rectified: bool, distorted: bool, expected: int
) -> None:
    bench = Bench(None, **{'input.rectified': rectified})
    info = stereo_info()
    info.distortion_model, info.d = 'plumb_bob', [0.1 if distorted else 0.0, 0.0, 0.0, 0.0, 0.0]
    for _ in range(2):
        bench.reader.image(ImageInput(image_msg(picture(0), 5), info, topic, '/cam/camera_info'))
    assert len(bench.warnings) == expected
    assert all(topic in text and 'rectified' in text for text in bench.warnings)
