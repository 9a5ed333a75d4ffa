"""EuRoC (ASL): the pose of the camera is that of the body times T_BS, interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.euroc import is_euroc, open_euroc, read_euroc_imu

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_body_poses_are_interpolated_and_moved_to_the_camera(euroc: Path) -> None:
    pose = open_euroc(euroc)[1].world_T_camera
    assert pose is not None
    assert np.allclose(pose[:3, 3], [2.5 + 0.5, 0, 0])
    assert np.allclose(pose[:3, :3] @ [0, 0, 1], [1, 0, 0])


def test_there_is_no_truth_after_its_last_sample(euroc: Path) -> None:
    assert open_euroc(euroc)[2].world_T_camera is None


def test_the_distortion_stays_in_the_camera(euroc: Path) -> None:
    camera = open_euroc(euroc).camera
    assert camera is not None
    assert camera.distortion_model == 'plumb_bob'
    assert camera.distortion.tolist() == [-0.2, 0.05, 1e-4, 0.0]
    assert (camera.width, camera.height) == (64, 48)


def test_stamps_keep_every_nanosecond(euroc: Path) -> None:
    path = euroc / 'mav0' / 'cam0' / 'data.csv'
    path.write_text(path.read_text().replace('1403638548500000000,', '1403638548500000001,'))
    assert open_euroc(euroc).entries[0].stamp_ns == 1_403_638_548_500_000_001


def test_mav0_itself_may_be_given(euroc: Path) -> None:
    assert is_euroc(euroc / 'mav0')
    assert open_euroc(euroc / 'mav0').name == 'euroc'


def test_a_sequence_without_ground_truth_has_no_truth(euroc: Path) -> None:
    (euroc / 'mav0' / 'state_groundtruth_estimate0' / 'data.csv').unlink()
    assert open_euroc(euroc)[1].world_T_camera is None


@pytest.mark.parametrize(
    ('old', 'new', 'problem'),
    [
        ('radial-tangential', 'spherical', 'distortion spherical is unknown'),
        ('pinhole', 'omni', 'camera model omni'),
        ('0.5, -1,', '-1,', 'T_BS is not a list of 16 numbers'),
        ('[50.0, 51.0, 32.0, 24.0]', '[50.0, wide]', 'intrinsics is not a list of 4 numbers'),
        ('resolution:', 'size:', 'resolution is not a list of 2 numbers: None'),
        ('[50.0,', '[-50.0,', 'calibration is unusable'),
        ('T_BS:', 'T_BS: [', 'no YAML'),
    ],
)
def test_a_malformed_calibration_is_refused(euroc: Path, old: str, new: str, problem: str) -> None:
    path = euroc / 'mav0' / 'cam0' / 'sensor.yaml'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DatasetError, match=problem) as error:
        open_euroc(euroc)
    assert error.value.path == path


def test_the_first_line_of_opencv_is_skipped(euroc: Path) -> None:
    path = euroc / 'mav0' / 'cam0' / 'sensor.yaml'
    path.write_text('%YAML:1.0\n' + path.read_text())
    assert open_euroc(euroc).camera is not None


def test_an_empty_calibration_is_refused(euroc: Path) -> None:
    (euroc / 'mav0' / 'cam0' / 'sensor.yaml').write_text('')
    with pytest.raises(DatasetError, match='holds no keys'):
        open_euroc(euroc)


@pytest.mark.parametrize('text', ['12;34.png\n', 'now,a.png\n', '12,\n'])
def test_a_malformed_image_list_is_refused(euroc: Path, text: str) -> None:
    (euroc / 'mav0' / 'cam0' / 'data.csv').write_text(text)
    with pytest.raises(DatasetError, match='line 1'):
        open_euroc(euroc)


def test_an_image_list_without_rows_is_refused(euroc: Path) -> None:
    (euroc / 'mav0' / 'cam0' / 'data.csv').write_text('#timestamp [ns],filename\n')
    with pytest.raises(DatasetError, match='lists no images'):
        open_euroc(euroc)


def test_a_truncated_ground_truth_is_refused(
    euroc: Path, truncate: Callable[[Path, float], None]
) -> None:
    path = euroc / 'mav0' / 'state_groundtruth_estimate0' / 'data.csv'
    truncate(path, 0.85)
    with pytest.raises(DatasetError, match='line 5 has 1 columns'):
        open_euroc(euroc)


def test_truth_may_have_stamps_in_scientific_notation(euroc: Path) -> None:
    expected = open_euroc(euroc)[1].world_T_camera
    file = euroc / 'mav0' / 'state_groundtruth_estimate0' / 'data.csv'
    rows = [line.split(',') for line in file.read_text().splitlines()]
    text = '\n'.join(','.join([f'{int(row[0]) / 10**18:.18f}e+18', *row[1:]]) for row in rows[1:])
    file.write_text(f'\ufeff#timestamp, p, q\n{text}\n', encoding='utf-8')
    pose = open_euroc(euroc)[1].world_T_camera
    assert pose is not None
    assert expected is not None
    assert np.allclose(pose, expected, atol=1e-3)


def test_a_time_that_is_none_is_named(euroc: Path) -> None:
    file = euroc / 'mav0' / 'state_groundtruth_estimate0' / 'data.csv'
    file.write_text('#timestamp, p, q\nnow,' + ','.join('0' * 16) + '\n')
    with pytest.raises(DatasetError, match=r"line 2 starts with 'now', which is no time"):
        open_euroc(euroc)


@pytest.fixture
def tum_vi(euroc: Path) -> Path:
    """The same sequence as TUM VI has it: the truth of a motion capture, Kalibr's calibration."""
    root = euroc / 'mav0'
    (root / 'state_groundtruth_estimate0').rename(root / 'mocap0')
    (root / 'cam0' / 'sensor.yaml').unlink()
    (euroc / 'dso').mkdir()
    (euroc / 'dso' / 'camchain.yaml').write_text(
        'cam0:\n  T_cam_imu:\n  - [0.0, -1.0, 0.0, 0.0]\n  - [0.0, 0.0, -1.0, 0.0]\n'
        '  - [1.0, 0.0, 0.0, -0.5]\n  - [0.0, 0.0, 0.0, 1.0]\n'
        '  camera_model: pinhole\n  distortion_coeffs: [0.003, 0.0007, -0.002, 0.0002]\n'
        '  distortion_model: equidistant\n  intrinsics: [50.0, 51.0, 32.0, 24.0]\n'
        '  resolution: [64, 48]\n'
    )
    return euroc


def test_tum_vi_is_of_the_same_layout(tum_vi: Path) -> None:
    assert is_euroc(tum_vi)
    sequence = open_euroc(tum_vi)
    assert sequence.camera is not None
    assert sequence.camera.distortion_model == 'equidistant'
    pose = sequence[1].world_T_camera
    assert pose is not None
    assert np.allclose(pose[:3, 3], [2.5 + 0.5, 0, 0])
    assert np.allclose(pose[:3, :3] @ [0, 0, 1], [1, 0, 0])
    with pytest.raises(DatasetError, match='there is no cam1'):
        open_euroc(tum_vi, 'cam1')


def write_imu(root: Path, rows: str, sensor: str = '') -> Path:
    folder = root / 'mav0' / 'imu0'
    folder.mkdir()
    (folder / 'data.csv').write_text(f'#timestamp [ns],w_x,w_y,w_z,a_x,a_y,a_z\n{rows}\n')
    if sensor:
        (folder / 'sensor.yaml').write_text(sensor)
    return root


def test_angular_rates_are_read_in_the_axes_of_their_sensor(euroc: Path) -> None:
    root = write_imu(
        euroc, '1403638548500000001,0.1,-0.2,0.3,9,0,0\n1403638548505000000,1,2,3,9,0,0'
    )
    samples = read_euroc_imu(root)
    assert samples.stamps_ns.tolist() == [1403638548500000001, 1403638548505000000]
    assert samples.rates.tolist() == [[0.1, -0.2, 0.3], [1.0, 2.0, 3.0]]
    # The camera looks along x of the body, whose z is up: -y of the camera.
    assert samples.camera_R_imu is not None
    np.testing.assert_allclose(samples.camera_R_imu @ [0, 0, 1], [0, -1, 0], atol=1e-12)


def test_the_gyroscope_may_stand_elsewhere_on_the_body(euroc: Path) -> None:
    sensor = 'T_BS:\n  data: [-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]\n'
    samples = read_euroc_imu(write_imu(euroc, '1,0,0,0,9,0,0', sensor))
    assert samples.camera_R_imu is not None
    np.testing.assert_allclose(samples.camera_R_imu @ [1, 0, 0], [0, 0, -1], atol=1e-12)


@pytest.mark.parametrize(
    ('rows', 'problem'),
    [('', 'has no rows'), ('5,0.1', 'line 2 has 2 columns'), ('5,a,b,c', 'no number')],
)
def test_angular_rates_that_are_none_are_named(euroc: Path, rows: str, problem: str) -> None:
    with pytest.raises(DatasetError, match=problem):
        read_euroc_imu(write_imu(euroc, rows))


def test_a_recording_without_a_gyroscope_is_named(euroc: Path) -> None:
    with pytest.raises(DatasetError, match='cannot be read'):
        read_euroc_imu(euroc)
