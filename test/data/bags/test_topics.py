"""Topics are chosen by what their messages hold and the last part of their name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loftr_ros.data.bags.reader import open_bag
from loftr_ros.data.bags.topics import BagTopics
from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.geometry import Camera

CAMERA = Camera(64, 48, np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]))
GREY = np.zeros((48, 64), np.uint8)
DEPTH = np.ones((48, 64), np.float32)


def write(path: Path, topics: dict[str, Any], infos: tuple[str, ...] = ()) -> Path:
    """Write messages of each topic: pixels, or an encoded file; a number in front repeats them."""
    with BagWriter(path) as bag:
        for topic, content in topics.items():
            count, pixels = content if isinstance(content, tuple) else (3, content)
            for index in range(count):
                header = bag.header(10**9 + index, 'camera')
                if isinstance(pixels, bytes):
                    make = bag.types.types['sensor_msgs/msg/CompressedImage']
                    message = make(header, 'zstd', np.frombuffer(pixels, np.uint8))
                elif topic.endswith('compressed'):
                    message = bag.compressed_image(pixels, header)
                else:
                    message = bag.image(pixels, header)
                bag.write(topic, message, 10**9 + index)
        for topic in infos:
            info = bag.camera_info(CAMERA, bag.header(10**9, 'camera'))
            if 'right' in topic or 'cam1' in topic:
                info.p[3] = -5.0
            bag.write(topic, info, 10**9)
    return path


def chosen(path: Path, mode: str = 'mono') -> BagTopics:
    return open_bag(path, mode=mode).topics


def test_the_last_part_of_a_name_says_depth(tmp_path: Path) -> None:
    topics = {'/depth_camera/image': GREY, '/depth_camera/depth_image': DEPTH}
    path = write(tmp_path / 'bag', topics, ('/depth_camera/camera_info',))
    assert chosen(path).image == '/depth_camera/image'
    used = chosen(path, 'rgbd')
    assert (used.image, used.depth) == ('/depth_camera/image', '/depth_camera/depth_image')


def test_the_encoding_says_depth_whatever_the_name(tmp_path: Path) -> None:
    topics = {'/camera/a/image_raw': (9, DEPTH), '/camera/b/image_raw': GREY}
    path = write(tmp_path / 'bag', topics, ('/camera/a/camera_info', '/camera/b/camera_info'))
    used = chosen(path, 'rgbd')
    assert (used.image, used.depth) == ('/camera/b/image_raw', '/camera/a/image_raw')


def test_depth_that_is_registered_goes_first(tmp_path: Path) -> None:
    topics = {
        '/camera/color/image_raw': GREY,
        '/camera/depth/image_rect_raw': DEPTH,
        '/camera/z_aligned_depth_to_color/image_raw': DEPTH,
    }
    used = chosen(write(tmp_path / 'bag', topics, ('/camera/color/camera_info',)), 'rgbd')
    assert used.depth == '/camera/z_aligned_depth_to_color/image_raw'


@pytest.mark.parametrize(
    'other',
    [
        {'/detector/debug_image': (4, GREY)},
        {'/camera/debug_image': (4, GREY)},
        {'/camera/image_raw/zstd': (4, b'\x28\xb5\x2f\xfd and so on')},
        {'/camera/image_raw/theora': (4, b'OggS')},
    ],
)
def test_the_number_of_messages_counts_last(tmp_path: Path, other: dict[str, Any]) -> None:
    topics = {**other, '/camera/image_raw': (3, GREY)}
    path = write(tmp_path / 'bag', topics, ('/camera/camera_info',))
    assert chosen(path).image == '/camera/image_raw'


def test_a_compressed_topic_has_the_calibration_beside_its_base(tmp_path: Path) -> None:
    infos = '/a/camera_info', '/b/camera_info'
    path = write(tmp_path / 'bag', {'/b/image_raw/compressed': GREY}, infos)
    assert chosen(path).camera_info == '/b/camera_info'


@pytest.mark.parametrize(
    ('left', 'right'),
    [('/left/image_raw', '/right/image_raw'), ('/cam0/image_raw', '/cam1/image_raw')],
)
@pytest.mark.parametrize('mode', ['mono', 'stereo'])
def test_the_left_of_two_cameras_is_the_image(
    tmp_path: Path, mode: str, left: str, right: str
) -> None:
    infos = tuple(topic.replace('image_raw', 'camera_info') for topic in (left, right))
    path = write(tmp_path / 'bag', {left: (3, GREY), right: (4, GREY)}, infos)
    used = chosen(path, mode)
    assert (used.image, used.right_image) == (left, right if mode == 'stereo' else None)
