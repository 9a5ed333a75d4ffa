"""Datasets become bags that this package and evo read back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from evo.tools import file_interface
from rich.console import Console
from rosbags.interfaces import QosDurability
from rosbags.rosbag2 import Reader

from loftr_ros.commands.main import main
from loftr_ros.data.bags.message_types import Message, package_typestore
from loftr_ros.data.bags.reader import open_bag
from loftr_ros.data.bags.topics import TopicNames
from loftr_ros.data.convert import ConvertCommand
from loftr_ros.data.datasets import open_sequence
from loftr_ros.data.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(('storage', 'compressed'), [('mcap', False), ('sqlite3', True)])
@pytest.mark.parametrize(
    ('layout', 'mode'),
    [('kitti', 'stereo'), ('euroc', 'mono'), ('tum', 'rgbd'), ('sevenscenes', 'rgbd')],
)
def test_a_converted_dataset_reads_back_as_it_was(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    layout: str,
    mode: str,
    storage: str,
    compressed: bool,
) -> None:
    dataset = request.getfixturevalue(layout)
    ConvertCommand(
        dataset=dataset, output=tmp_path / 'bag', storage=storage, compressed=compressed
    ).run()
    before = list(open_sequence(dataset, mode=mode))
    after = list(open_bag(tmp_path / 'bag', mode=mode))
    assert len(before) == len(after)
    for one, other in zip(before, after, strict=True):
        assert other.frame.stamp_ns == one.frame.stamp_ns
        assert np.array_equal(other.frame.image, one.frame.image)
        assert one.frame.camera is not None
        assert other.frame.camera is not None
        assert np.array_equal(other.frame.camera.matrix, one.frame.camera.matrix)
        assert np.array_equal(other.frame.camera.distortion, one.frame.camera.distortion)
        assert (other.frame.depth is None) == (one.frame.depth is None)
        if one.frame.depth is not None and other.frame.depth is not None:
            assert np.array_equal(other.frame.depth, one.frame.depth, equal_nan=True)
        assert (other.frame.right is None) == (one.frame.right is None)
        if one.frame.right is not None and other.frame.right is not None:
            assert np.array_equal(other.frame.right.image, one.frame.right.image)
            assert np.allclose(other.frame.right.left_T_right, one.frame.right.left_T_right)
        if one.world_T_camera is not None:
            assert other.world_T_camera is not None
            assert np.allclose(other.world_T_camera, one.world_T_camera, atol=1e-9)


def test_evo_reads_the_truth(euroc: Path, tmp_path: Path) -> None:
    ConvertCommand(dataset=euroc, output=tmp_path / 'bag').run()
    with Reader(tmp_path / 'bag') as reader:
        trajectory = file_interface.read_bag_trajectory(reader, '/ground_truth/odometry')
    truth = [item.world_T_camera for item in open_sequence(euroc)]
    known = [pose for pose in truth if pose is not None]
    assert trajectory.num_poses == len(known) > 0
    assert np.allclose(trajectory.poses_se3, known, atol=1e-9)


def test_the_truth_may_be_read_from_tf(euroc: Path, tmp_path: Path) -> None:
    ConvertCommand(dataset=euroc, output=tmp_path / 'bag').run()
    sequence = open_bag(tmp_path / 'bag', TopicNames(ground_truth='/tf'))
    # Nothing joins the frame of the truth to that of the camera, on purpose.
    assert 'does not join' in sequence.topics.note


def test_frames_form_one_tree_and_late_listeners_receive_it(kitti: Path, tmp_path: Path) -> None:
    ConvertCommand(dataset=kitti, output=tmp_path / 'bag').run()
    with Reader(tmp_path / 'bag') as reader:
        (connection,) = [c for c in reader.connections if c.topic == '/tf_static']
        (qos,) = connection.ext.offered_qos_profiles  # type: ignore[union-attr]
        assert qos.durability is QosDurability.TRANSIENT_LOCAL
        messages = list(reader.messages([connection]))
        types = package_typestore()
        message: Message = types.deserialize_cdr(messages[0][2], connection.msgtype)
    edges = [(one.header.frame_id, one.child_frame_id) for one in message.transforms]
    assert edges == [
        ('base_link', 'left_camera_optical_frame'),
        ('left_camera_optical_frame', 'right_camera_optical_frame'),
    ]
    assert message.transforms[1].transform.translation.x == pytest.approx(0.5)


def test_the_command_says_what_it_wrote(
    kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['convert', str(kitti), '-o', str(tmp_path / 'bag'), '--mode', 'mono']
    assert main([*arguments, '--frames', '2']) == 0
    printed = capsys.readouterr().out
    assert '/camera/image_raw: 2' in printed
    assert 'ros2 bag play' in printed
    assert main(arguments) == 1
    assert 'the bag exists' in capsys.readouterr().err


def test_what_a_dataset_lacks_is_said(euroc: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match='no depth images'):
        ConvertCommand(dataset=euroc, output=tmp_path / 'bag', mode='rgbd').run()


def test_files_that_cannot_be_read_are_counted_and_left_out(euroc: Path, tmp_path: Path) -> None:
    first, *_ = sorted((euroc / 'mav0' / 'cam0' / 'data').iterdir())
    first.unlink()
    console = Console(record=True, width=200, file=io.StringIO())
    counts = ConvertCommand(dataset=euroc, output=tmp_path / 'bag', mode='mono').run(console)
    assert counts['/camera/image_raw'] == 2
    text = console.export_text()
    assert '1 of 3 frames were left out, first: ' in text
    assert first.name in text


def test_a_bag_without_what_its_mode_needs_is_a_failure(tum: Path, tmp_path: Path) -> None:
    (tum / 'depth.txt').write_text('1.0 depth/1341847980.800000.png\n')
    with pytest.raises(DatasetError, match='none of 3 frames has what the mode rgbd needs'):
        ConvertCommand(dataset=tum, output=tmp_path / 'bag', mode='rgbd').run(Console(quiet=True))
