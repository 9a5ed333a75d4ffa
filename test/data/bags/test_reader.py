"""Bags are read without ROS: topics found by type, truth brought to the camera, damage named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rosbags.typesys import get_types_from_msg

from loftr_ros.codecs.calibration_files import read_calibrations
from loftr_ros.data.bags.message_types import Message
from loftr_ros.data.bags.reader import open_bag
from loftr_ros.data.bags.storage import is_bag
from loftr_ros.data.bags.topics import TopicNames
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError
from loftr_ros.data.sequences import GroundTruthFrame, InputOptions, RefusedFrame
from loftr_ros.frontend.frame import Frame
from loftr_ros.geometry import Camera

if TYPE_CHECKING:
    from collections.abc import Callable

CAMERA = Camera(
    64,
    48,
    np.array([[50.0, 0, 32], [0, 51, 24], [0, 0, 1]]),
    'plumb_bob',
    np.array([-0.2, 0.1, 0, 0]),
)


def frame(index: int, camera: Camera | None = CAMERA) -> Frame:
    image = np.full((48, 64), 40 + index, np.uint8)
    return Frame(1_000_000_000 + index * 100_000_000, image, 'camera', camera)


def pose(index: int) -> npt.NDArray[np.float64]:
    matrix = np.eye(4)
    matrix[:3, 3] = index, 0, 0
    return matrix


def write_bag(path: Path, storage: str = 'mcap', truth: str = '/ground_truth/pose') -> Path:
    with BagWriter(path, storage) as bag:
        for index in range(3):
            bag.write_frame('/camera', frame(index))
            bag.write_pose(truth, pose(index), frame(index).stamp_ns)
    return path


def compressed(bag: BagWriter, image: npt.NDArray[Any], suffix: str) -> Message:
    data = np.asarray(cv2.imencode(f'.{suffix}', image)[1], np.uint8).ravel()
    make = bag.types.types['sensor_msgs/msg/CompressedImage']
    return make(bag.header(5, 'camera'), suffix, data)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_what_was_written_is_read_back(tmp_path: Path, storage: str) -> None:
    path = write_bag(tmp_path / 'bag', storage)
    sequence = open_sequence(path)
    assert (sequence.name, sequence.layout, len(sequence)) == ('bag', 'bag', 3)
    for index, item in enumerate(sequence):
        assert item.frame.stamp_ns == frame(index).stamp_ns
        assert item.frame.frame_id == 'camera'
        assert np.array_equal(item.frame.image, frame(index).image)
        assert item.world_T_camera is not None
        assert np.allclose(item.world_T_camera, pose(index))
        assert item.frame.camera is not None
        assert np.array_equal(item.frame.camera.matrix, CAMERA.matrix)
        assert np.array_equal(item.frame.camera.distortion, CAMERA.distortion)


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_a_file_without_metadata_is_a_bag(tmp_path: Path, storage: str) -> None:
    path = write_bag(tmp_path / 'bag', storage)
    (path / 'metadata.yaml').unlink()
    assert is_bag(path)
    assert len(open_bag(path)) == 3
    assert len(open_bag(next(path.iterdir()))) == 3


def test_the_chosen_topics_are_said(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/front/depth', frame(0))
        bag.write_frame('/front', frame(0))
        bag.write_frame('/uncalibrated', frame(0, None))
        bag.write_odometry('/wheels/odometry', pose(0), 0, frame_id='odom', child_frame_id='camera')
        bag.write_pose('/vicon/drone', pose(0), 0)
    topics = open_bag(tmp_path / 'bag').topics
    assert topics.image == '/front/image_raw'
    assert topics.camera_info == '/front/camera_info'
    assert topics.ground_truth == '/vicon/drone'
    assert topics.other_poses == ('/wheels/odometry',)
    assert topics.other_images == ('/front/depth/image_raw', '/uncalibrated/image_raw')
    for topic in ('/front/image_raw', '/vicon/drone', '/wheels/odometry', '/uncalibrated'):
        assert topic in str(topics)


def test_an_odometry_is_no_truth_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = write_bag(tmp_path / 'bag', truth='/loftr/pose')
    assert next(iter(open_bag(path))).world_T_camera is None
    assert (
        next(iter(open_bag(path, TopicNames(ground_truth='/loftr/pose')))).world_T_camera
        is not None
    )


@pytest.mark.parametrize('option', ['image', 'ground_truth', 'camera_info'])
def test_a_topic_that_is_not_there_is_refused(tmp_path: Path, option: str) -> None:
    path = write_bag(tmp_path / 'bag')
    with pytest.raises(DatasetError, match=r'on /nowhere.*Topics with'):
        open_bag(path, TopicNames(**{option: '/nowhere'}))


def test_truth_of_the_body_is_brought_to_the_camera(tmp_path: Path) -> None:
    body_T_camera = pose(0)
    body_T_camera[:3, 3] = 0, 0, 7
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(1))
        bag.write_odometry(
            '/ground_truth/odom',
            pose(1),
            frame(1).stamp_ns,
            frame_id='world',
            child_frame_id='base',
        )
        bag.write('/tf_static', static_transform(bag, 'base', 'mount', body_T_camera), 0)
        bag.write('/tf_static', static_transform(bag, 'camera', 'mount', pose(0)), 0)
    item = next(iter(open_bag(tmp_path / 'bag')))
    assert item.world_T_camera is not None
    assert np.allclose(item.world_T_camera[:3, 3], [1, 0, 7])


def test_truth_that_cannot_be_related_is_left_out_and_said(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(1))
        bag.write_odometry(
            '/ground_truth/odom', pose(1), 0, frame_id='world', child_frame_id='base'
        )
    sequence = open_bag(tmp_path / 'bag')
    assert sequence.truth is None
    assert sequence.topics.ground_truth is None
    assert 'which /tf_static does not join to camera' in str(sequence.topics)


def static_transform(
    bag: BagWriter, parent: str, child: str, matrix: npt.NDArray[np.float64]
) -> Message:
    types = bag.types.types
    make = types['geometry_msgs/msg/TransformStamped']
    move = types['geometry_msgs/msg/Transform'](
        types['geometry_msgs/msg/Vector3'](*matrix[:3, 3]),
        types['geometry_msgs/msg/Quaternion'](0, 0, 0, 1),
    )
    return types['tf2_msgs/msg/TFMessage']([make(bag.header(0, parent), child, move)])


def test_a_transform_may_be_the_truth(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(1))
        message = static_transform(bag, 'world', 'camera', pose(4)).transforms[0]
        message.header = bag.header(frame(1).stamp_ns, 'world')
        bag.write('/vicon/camera', message, 0)
    item = next(iter(open_bag(tmp_path / 'bag')))
    assert item.world_T_camera is not None
    assert item.world_T_camera[0, 3] == 4


@pytest.mark.parametrize(
    ('topic', 'described'),
    [
        ('/camera/depth/image_raw', '16UC1; png compressed '),
        ('/camera/aligned_depth_to_color', 'png'),
    ],
)
def test_depth_in_png_of_16_bit_is_read(tmp_path: Path, topic: str, described: str) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(3):
            shown = frame(index)
            bag.write_frame('/camera/color', shown)
            depth = compressed(bag, np.full(shown.image.shape[:2], 1500, np.uint16), 'png')
            depth.format, depth.header = described, bag.header(shown.stamp_ns, 'camera')
            bag.write(f'{topic}/compressed', depth, shown.stamp_ns)
    sequence = open_sequence(tmp_path / 'bag', mode='rgbd')
    for item in sequence:
        assert item.frame.depth is not None
        assert np.unique(item.frame.depth) == 1.5


def test_compressed_images_are_read(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[:, :, 2] = 200
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write('/camera/image_raw/compressed', compressed(bag, red, 'png'), 10)
    image = next(iter(open_bag(tmp_path / 'bag'))).frame.image
    assert image.shape == (48, 64, 3)
    assert image[0, 0].tolist() == [200, 0, 0]


def test_a_stamp_of_zero_is_replaced_by_the_time_of_arrival(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', Frame(0, np.zeros((48, 64), np.uint8)), time_ns=77)
    assert next(iter(open_bag(tmp_path / 'bag'))).frame.stamp_ns == 77


def test_images_without_calibration_have_no_camera(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(0, None))
    assert open_bag(tmp_path / 'bag').camera is None


def test_a_calibration_of_another_size_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', Frame(1, np.zeros((10, 10), np.uint8), 'camera', CAMERA))
    with pytest.raises(
        DatasetError, match=r'/camera/camera_info: .*10x10 px, but its camera_info is for 64x48'
    ):
        list(open_bag(tmp_path / 'bag'))


def test_an_empty_bag_and_one_without_images_say_so(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'empty'):
        pass
    with pytest.raises(DatasetError, match='the bag is empty'):
        open_bag(tmp_path / 'empty')
    with BagWriter(tmp_path / 'poses') as bag:
        bag.write_pose('/ground_truth', pose(0), 0)
    with pytest.raises(DatasetError, match=r'no images.*/ground_truth \(geometry_msgs'):
        open_bag(tmp_path / 'poses')


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_database_says_how_to_repair_it(
    tmp_path: Path, truncate: Callable[[Path, float], None], share: float
) -> None:
    path = write_bag(tmp_path / 'bag', 'sqlite3')
    truncate(path / 'bag.db3', share)
    with pytest.raises(DatasetError, match=r'cannot be read.*[Cc]opy it again'):
        list(open_bag(path))


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        message = compressed(bag, np.zeros((48, 64, 3), np.uint8), 'jpg')
        message.data = message.data[:20]
        bag.write('/camera/compressed', message, 10)
    (item,) = open_bag(tmp_path / 'bag').items()
    assert isinstance(item, RefusedFrame)
    assert re.search(r'/camera/compressed: the compressed image is truncated', item.reason)
    with pytest.raises(DatasetError, match='truncated'):
        list(open_bag(tmp_path / 'bag'))


def test_a_bag_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    write_bag(tmp_path / 'bag')
    with pytest.raises(DatasetError, match='exists'):
        BagWriter(tmp_path / 'bag')


def fail_after(bag: BagWriter) -> None:
    bag.write_frame('/camera', frame(0))
    raise ZeroDivisionError


def test_what_was_recorded_before_an_error_stays_readable(tmp_path: Path) -> None:
    bag = BagWriter(tmp_path / 'bag')
    with pytest.raises(ZeroDivisionError), bag:
        fail_after(bag)
    assert len(open_bag(tmp_path / 'bag')) == 1


def test_images_that_ros_cannot_name_are_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag, pytest.raises(ValueError, match='no encoding'):
        bag.write_frame('/camera', Frame(0, np.zeros((4, 4, 2), np.uint8)))


def test_rectified_images_go_by_the_projection_matrix(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(0))
        with_projection = bag.camera_info(CAMERA, bag.header(0, 'camera'))
        with_projection.p = np.array([40.0, 0, 30, 0, 0, 40, 20, 0, 0, 0, 1, 0])
        bag.write('/left/camera_info', with_projection, 0)
        image = bag.image(frame(0).image, bag.header(0, 'camera'))
        bag.write('/left/image_rect', image, 0)
    camera = open_bag(tmp_path / 'bag', TopicNames(image='/left/image_rect')).camera
    assert camera is not None
    assert camera.matrix[0].tolist() == [40, 0, 30]
    assert not camera.is_distorted


def test_images_of_changing_size_are_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(0))
        bag.write_frame('/camera', Frame(2, np.zeros((10, 10), np.uint8), 'camera'), time_ns=2**60)
    good, other = open_bag(tmp_path / 'bag').items()
    assert isinstance(good, GroundTruthFrame)
    assert isinstance(other, RefusedFrame)
    assert 'the image has 10x10 px, but its camera_info is for 64x48 px' in other.reason


@pytest.mark.parametrize(
    ('kind', 'data', 'problem'),
    [
        ('std_msgs/msg/String', b'\0\1\0\0\7\0\0\0ab\0', 'no std_msgs/msg/String'),
        ('std_msgs/msg/String', b'', 'no std_msgs/msg/String'),
        ('std_msgs/msg/String', b'\0\1\0\0\3\0\0\0ab\0' + bytes(9), 'size mismatch'),
        ('my_msgs/msg/Own', b'\0\1\0\0', 'type my_msgs/msg/Own is unknown'),
    ],
)
def test_bytes_that_are_no_message_are_not_written(
    tmp_path: Path, kind: str, data: bytes, problem: str
) -> None:
    with BagWriter(tmp_path / 'bag') as bag, pytest.raises(ValueError, match=problem):
        bag.write_raw('/topic', kind, data, 1)


def moving(bag: BagWriter, child: str, index: int) -> Message:
    return bag.transforms([('world', child, pose(index))], frame(index).stamp_ns)


def test_the_truth_may_come_from_tf(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(3):
            bag.write_frame('/camera', frame(index))
            bag.write('/tf', moving(bag, 'drone', index), frame(index).stamp_ns)
            bag.write('/tf', moving(bag, 'person', 10 * index), frame(index).stamp_ns)
        bag.write('/tf_static', bag.transforms([('drone', 'camera', pose(2))], 0), 0)
    path = tmp_path / 'bag'
    assert open_bag(path).truth is None
    undecided = open_bag(path, TopicNames(ground_truth='/tf'))
    assert '/tf moves drone, person: name the one' in undecided.topics.note
    absent = open_bag(path, TopicNames(ground_truth='/tf', ground_truth_frame='moon'))
    assert "/tf does not move 'moon'" in absent.topics.note
    found = open_bag(path, TopicNames(ground_truth='/tf', ground_truth_frame='drone'))
    positions = [item.world_T_camera[0, 3] for item in found if item.world_T_camera is not None]
    assert positions == [2, 3, 4]


@pytest.mark.parametrize('storage', ['mcap', 'sqlite3'])
def test_messages_of_custom_types_are_left_alone(tmp_path: Path, storage: str) -> None:
    with BagWriter(tmp_path / 'bag', storage) as bag:
        bag.write_frame('/camera', frame(0))
        store = bag.types
        store.register(get_types_from_msg('float64 level\n', 'acme/msg/Battery'))
        bag.write('/battery', store.types['acme/msg/Battery'](0.5), 5)
    (item,) = open_bag(tmp_path / 'bag')
    assert np.array_equal(item.frame.image, frame(0).image)


def test_a_stereo_pair_without_baseline_is_refused(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/left', frame(0))
        bag.write_frame('/right', frame(0))
    with pytest.raises(DatasetError, match=r'/right/camera_info: .*there is no baseline'):
        open_bag(tmp_path / 'bag', mode='stereo')


@pytest.mark.parametrize(
    ('mode', 'problem'),
    [('stereo', 'named as the right one'), ('rgbd', 'named or encoded as depth')],
)
def test_a_mode_that_a_bag_cannot_serve_is_refused(tmp_path: Path, mode: str, problem: str) -> None:
    path = write_bag(tmp_path / 'bag')
    with pytest.raises(DatasetError, match=f'{problem}.*/camera/image_raw'):
        open_bag(path, mode=mode)


def calibration(bag: BagWriter, index: int, camera: Camera = CAMERA) -> Message:
    return bag.camera_info(camera, bag.header(frame(index).stamp_ns, 'camera'))


def test_calibrations_that_say_nothing_are_passed_over(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(4):
            info = calibration(bag, index)
            if index < 2:
                info.k, info.p = np.zeros(9), np.zeros(12)
            bag.write('/camera/camera_info', info, frame(index).stamp_ns)
            image = bag.image(frame(index).image, bag.header(frame(index).stamp_ns, 'camera'))
            bag.write('/camera/image_raw', image, frame(index).stamp_ns)
    sequence = open_bag(tmp_path / 'bag')
    assert sequence.camera is not None
    cameras = [item.frame.camera for item in sequence]
    assert [camera.matrix[0, 0] for camera in cameras if camera] == [50] * 4


def test_each_frame_has_the_calibration_that_holds_when_it_comes(tmp_path: Path) -> None:
    zoomed = Camera(64, 48, np.array([[70.0, 0, 32], [0, 70, 24], [0, 0, 1]]))
    with BagWriter(tmp_path / 'bag') as bag:
        for index in range(4):
            stamp = frame(index).stamp_ns
            camera = CAMERA if index < 2 else zoomed
            bag.write('/camera/camera_info', calibration(bag, index, camera), stamp - 1)
            bag.write(
                '/camera/image_raw', bag.image(frame(index).image, bag.header(stamp, 'c')), stamp
            )
    cameras = [item.frame.camera for item in open_bag(tmp_path / 'bag')]
    assert [camera.matrix[0, 0] for camera in cameras if camera] == [50, 50, 70, 70]


def cut_jpeg(bag: BagWriter) -> Message:
    message = compressed(bag, np.zeros((48, 64, 3), np.uint8), 'jpg')
    message.data = message.data[: len(message.data) // 2]
    return message


def short_image(bag: BagWriter) -> Message:
    message = bag.image(frame(1).image, bag.header(5, 'camera'))
    message.data = message.data[:100]
    return message


def empty_image(bag: BagWriter) -> Message:
    return bag.image(np.zeros((0, 0), np.uint8), bag.header(5, 'camera'))


def image_with_nan(bag: BagWriter) -> Message:
    pixels = np.zeros((48, 64), np.float32)
    pixels[3, 4] = np.nan
    return bag.image(pixels, bag.header(5, 'camera'))


@pytest.mark.parametrize(
    ('broken', 'reason'),
    [
        (cut_jpeg, 'truncated'),
        (short_image, 'truncated'),
        (empty_image, 'empty'),
        (image_with_nan, 'NaN'),
    ],
)
@pytest.mark.parametrize('place', [0, 1, 3])
def test_one_broken_image_costs_itself_alone(
    tmp_path: Path, broken: Callable[[BagWriter], Message], reason: str, place: int
) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        topic = '/camera/image_raw'
        for index in range(4):
            stamp = frame(index).stamp_ns
            bag.write('/camera/camera_info', calibration(bag, index), stamp)
            message = bag.image(frame(index).image, bag.header(stamp, 'camera'))
            if broken is cut_jpeg:
                topic = '/camera/image_raw/compressed'
                message = bag.compressed_image(frame(index).image, bag.header(stamp, 'camera'))
            if index == place:
                message = broken(bag)
                message.header = bag.header(stamp, 'camera')
            bag.write(topic, message, stamp)
    items = list(open_bag(tmp_path / 'bag').items())
    refused = [item for item in items if isinstance(item, RefusedFrame)]
    assert [item.stamp_ns for item in refused] == [frame(place).stamp_ns]
    assert topic in refused[0].reason
    assert reason in refused[0].reason
    assert len(items) == 4


def test_bytes_that_are_no_image_cost_themselves_alone(tmp_path: Path) -> None:
    with BagWriter(tmp_path / 'bag') as bag:
        bag.write_frame('/camera', frame(0))
        connection = bag._connections['/camera/image_raw', 'sensor_msgs/msg/Image']
        bag._writer.write(connection, frame(1).stamp_ns, b'\0\1\0\0\7\0')
        bag.write_frame('/camera', frame(2))
    items = list(open_bag(tmp_path / 'bag').items())
    assert [isinstance(item, RefusedFrame) for item in items] == [False, True, False]


def stereo_bag(path: Path, *, baseline: float = 0.0, delay_ns: int = 0, tf: bool = False) -> Path:
    with BagWriter(path) as bag:
        for index in range(4):
            stamp = frame(index).stamp_ns
            for side, x, late in (('left', 0.0, 0), ('right', baseline, delay_ns)):
                header = bag.header(stamp + late, side)
                p = np.hstack([CAMERA.matrix, np.array([[-CAMERA.matrix[0, 0] * x], [0], [0]])])
                info = bag.camera_info(CAMERA, header, projection=p)
                bag.write(f'/{side}/camera_info', info, stamp + late)
                bag.write(f'/{side}/image_raw', bag.image(frame(index).image, header), stamp + late)
        if tf:
            matrix = np.eye(4)
            matrix[0, 3] = 0.3
            bag.write('/tf_static', bag.transforms([('left', 'right', matrix)], 0), 0)
    return path


def test_the_right_camera_stands_where_p_or_a_parameter_or_tf_says(tmp_path: Path) -> None:
    given = np.eye(4)
    given[0, 3] = 0.2
    flat = stereo_bag(tmp_path / 'flat')
    places = [
        open_bag(stereo_bag(tmp_path / 'p', baseline=0.1, tf=True), mode='stereo'),
        open_bag(flat, mode='stereo', options=InputOptions(left_T_right=given)),
        open_bag(stereo_bag(tmp_path / 'tf', tf=True), mode='stereo'),
    ]
    found = [place.right.left_T_right[0, 3] for place in places if place.right]
    assert np.allclose(found, [0.1, 0.2, 0.3])
    with pytest.raises(DatasetError, match=r"no transform from 'left' to 'right' is known"):
        open_bag(flat, mode='stereo')


@pytest.mark.parametrize(('slop_ns', 'views'), [(20_000_000, 0), (40_000_000, 4)])
def test_right_images_come_as_late_as_is_allowed(tmp_path: Path, slop_ns: int, views: int) -> None:
    path = stereo_bag(tmp_path / 'bag', baseline=0.1, delay_ns=30_000_000)
    items = list(open_bag(path, mode='stereo', options=InputOptions(slop_ns=slop_ns)))
    assert sum(item.frame.right is not None for item in items) == views
    assert {item.apart_ns for item in items} == {30_000_000}


def test_a_bag_without_calibrations_takes_those_of_files(tmp_path: Path) -> None:
    text = (
        'resolution: [64, 48]\nintrinsics: [77, 77, 32, 24]\n'
        'distortion_model: radtan\ndistortion_coefficients: [0.1, 0, 0, 0]\n'
    )
    (tmp_path / 'left.yaml').write_text(text)
    (tmp_path / 'right.yaml').write_text(text.replace('77', '78'))
    names = [str(tmp_path / name) for name in ('left.yaml', 'right.yaml')]
    with BagWriter(tmp_path / 'bag') as bag:
        for side in ('left', 'right'):
            bag.write_frame(f'/{side}', frame(0, None))
    pose = np.eye(4)
    pose[0, 3] = 0.2
    options = InputOptions(left_T_right=pose, calibrations=read_calibrations(names))
    (item,) = open_bag(tmp_path / 'bag', mode='stereo', options=options)
    assert item.frame.camera is not None
    assert item.frame.right is not None
    focal = item.frame.camera.matrix[0, 0], item.frame.right.camera.matrix[0, 0]
    assert focal == (77, 78)
    with pytest.raises(DatasetError, match=r'calibration of .* is missing.*--calibration'):
        open_bag(tmp_path / 'bag', mode='stereo')
    (mono,) = open_bag(
        tmp_path / 'bag', options=InputOptions(calibrations=read_calibrations(names[:1]))
    )
    assert mono.frame.camera is not None
