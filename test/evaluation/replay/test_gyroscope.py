"""A replay with a gyroscope: dark frames are bridged, and a stop changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from loftr_ros.data.bags.writer import BagWriter
from loftr_ros.evaluation.records.frame_records import matrix_of
from loftr_ros.evaluation.records.results import FrameRecord, SequenceFolder
from loftr_ros.evaluation.replay.sequence_run import run_sequence
from loftr_ros.geometry.quaternions import quaternion_from_rotation
from loftr_ros.geometry.rotations import rotation_from_vector, rotation_vector
from loftr_ros.geometry.transforms import make_transform
from loftr_ros.rendering.gyroscope import SimulatedGyroscope
from loftr_ros.rendering.room import camera_pose, render_room_sequence
from test.data.bags.test_imu import imu_message
from test.evaluation.replay.test_sequence_run import StopAt
from test.helpers.flow_matcher import FlowMatcher
from test.helpers.known_world import results_of, run_known, task_of, write_known_bag

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.evaluation.replay.task import SequenceTask

NUMBERS = [1, 2, 3, 0, 4, 5, 6]
MOUNTED = (0.0, 0.0, 0.0, 1.0)
RATE_HZ = 20.0
DARK = (12, 13, 14)
BIAS = np.array([0.02, -0.01, 0.03])


def bag_with_imu(path: Path) -> Path:
    """Write frames of the known world, whose camera never rotates; the fourth is black."""
    plain = write_known_bag(path.with_name('plain'), NUMBERS)
    from loftr_ros.data.bags.storage import opened

    with opened(plain) as reader, BagWriter(path) as bag:
        topics = {connection.topic for connection in reader.connections}
        for record in reader.records(topics):
            bag.write_raw(record.topic, record.msgtype, record.data, record.time_ns)
        for stamp in range(9 * 10**8, 18 * 10**8, 10**7):
            bag.write('/imu', imu_message(bag, stamp, 0.0), stamp)
    return path


def task(path: Path, folder: Path, gyroscope: tuple[float, ...], **more: Any) -> SequenceTask:  # noqa: ANN401
    return task_of(path, folder, parameters={'input.gyroscope': gyroscope}, **more)


def test_a_black_frame_has_a_pose_by_the_gyroscope(tmp_path: Path) -> None:
    bag = bag_with_imu(tmp_path / 'bag')
    info = run_known(task(bag, tmp_path / 'out', (1e-3, 1e-5, *MOUNTED)))
    assert (info.status, info.error, info.warnings) == ('complete', '', ())
    frames = SequenceFolder.open(tmp_path / 'out').frames()
    assert [record.bridged for record in frames] == [index == 3 for index in range(7)]
    black = frames[3]
    assert black.pose.reference_T_query is None
    assert black.odom_T_base is not None
    assert np.linalg.norm(rotation_vector(matrix_of(black.odom_T_base)[:3, :3])) < 0.01


def test_a_stopped_run_goes_on_with_the_samples_that_are_left(tmp_path: Path) -> None:
    bag = bag_with_imu(tmp_path / 'bag')
    given = 1e-3, 1e-5, *MOUNTED
    whole = task(bag, tmp_path / 'whole', given)
    parts = task(bag, tmp_path / 'parts', given, resume=True)
    run_known(whole)
    assert run_known(parts, StopAt(3)).status == 'interrupted'
    assert run_known(parts).status == 'complete'
    assert results_of(whole.folder) == results_of(parts.folder)


@pytest.mark.parametrize(
    ('with_imu', 'given', 'problem'),
    [
        (False, (1e-3, 1e-5), 'there is no topic of sensor_msgs/Imu'),
        (True, (1e-3, 1e-5), '/tf_static does not join the frame of /imu'),
    ],
)
def test_a_recording_that_lacks_it_fails_and_says_why(
    tmp_path: Path, with_imu: bool, given: tuple[float, ...], problem: str
) -> None:
    bag = tmp_path / 'bag'
    bag = bag_with_imu(bag) if with_imu else write_known_bag(bag, NUMBERS)
    info = run_known(task(bag, tmp_path / 'out', given))
    assert info.status == 'failed'
    assert problem in info.error


def shaken(seconds: float) -> NDArray[np.float64]:
    time = seconds * 10.0 / RATE_HZ
    phase = 4.0 * np.pi * time
    rotation = rotation_from_vector(0.06 * np.array([np.cos(phase), np.sin(phase), 0.0]))
    return camera_pose(time) @ make_transform(rotation, np.zeros(3))


def write_euroc(root: Path) -> Path:
    """Write a rendered walk, some of whose frames are dark, with what a gyroscope would say."""
    camera, imu = root / 'mav0' / 'cam0', root / 'mav0' / 'imu0'
    truth = root / 'mav0' / 'state_groundtruth_estimate0'
    for folder in (camera / 'data', imu, truth):
        folder.mkdir(parents=True)
    views = list(render_room_sequence(18, width=320, height=240, rate_hz=RATE_HZ, path=shaken))
    images, poses = [], []
    for number, view in enumerate(views):
        image = view.image
        if number in DARK:
            image = np.random.default_rng(number).integers(0, 4, image.shape, np.uint8)
        assert cv2.imwrite(str(camera / 'data' / f'{view.stamp_ns}.png'), image)
        images.append(f'{view.stamp_ns},{view.stamp_ns}.png')
        x, y, z, w = quaternion_from_rotation(view.world_T_camera[:3, :3])
        place = ','.join(map(repr, view.world_T_camera[:3, 3].tolist()))
        poses.append(f'{view.stamp_ns},{place},{w},{x},{y},{z}')
    simulated = SimulatedGyroscope(bias=BIAS, noise_density=1e-3)
    stamps = np.array([view.stamp_ns for view in views], np.int64)
    rotations = np.stack([view.world_T_camera[:3, :3] for view in views])
    samples = zip(*simulated.samples(stamps, rotations), strict=True)
    rates = [','.join(map(str, [stamp, *rate.tolist(), 0, 0, 9.8])) for stamp, rate in samples]
    fx, cx, cy = views[0].matrix[0, 0], views[0].matrix[0, 2], views[0].matrix[1, 2]
    (camera / 'sensor.yaml').write_text(
        'T_BS:\n  data: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]\n'
        f'resolution: [320, 240]\ncamera_model: pinhole\nintrinsics: [{fx}, {fx}, {cx}, {cy}]\n'
        'distortion_model: none\n'
    )
    for folder, rows in ((camera, images), (imu, rates), (truth, poses)):
        (folder / 'data.csv').write_text('#\n' + '\n'.join(rows) + '\n')
    return root


def test_in_the_layout_of_euroc_the_rotation_goes_on_in_the_dark(tmp_path: Path) -> None:
    root = write_euroc(tmp_path / 'room')
    given = task(root, tmp_path / 'out', (1e-3, 1e-5))
    info = run_sequence(given, FlowMatcher())
    assert (info.status, info.error) == ('complete', '')
    frames = SequenceFolder.open(tmp_path / 'out').frames()
    assert tuple(record.index for record in frames if record.bridged) == DARK
    last = frames[DARK[0] - 1]
    errors = [rotation_error(last, record) for record in frames if record.bridged]
    assert max(errors) < 0.5


def rotation_error(before: FrameRecord, after: FrameRecord) -> float:
    """Return the error of the rotation from one frame to another, degrees."""
    rotations = []
    for record in (before, after):
        assert record.odom_T_base is not None
        assert record.world_T_camera is not None
        rotations.append([matrix_of(record.world_T_camera), matrix_of(record.odom_T_base)])
    truth, found = (one[:3, :3].T @ other[:3, :3] for one, other in zip(*rotations, strict=True))
    return float(np.rad2deg(np.linalg.norm(rotation_vector(truth @ found.T))))
