"""Calibrations of files, as ROS, Kalibr and EuRoC write them, are read like camera_info."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from loftr_ros.codecs.calibration_files import read_calibrations
from loftr_ros.codecs.cameras import CameraInfoError, camera_from_msg
from loftr_ros.geometry import Camera

ROS = """image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [430.1, 0.0, 306.9, 0.0, 430.5, 227.2, 0.0, 0.0, 1.0]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.33, 0.11, 0.0005, 0.0001, 0.0]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
projection_matrix:
  rows: 3
  cols: 4
  data: [345.1, 0.0, 305.3, 0.0, 0.0, 389.9, 226.3, 0.0, 0.0, 0.0, 1.0, 0.0]
"""
KALIBR = """cam0:
  cam_overlaps: [1]
  camera_model: pinhole
  distortion_coeffs: [0.0034, 0.00077, -0.00036, 0.0]
  distortion_model: equidistant
  intrinsics: [190.9, 190.9, 254.9, 256.8]
  resolution: [512, 512]
  rostopic: /cam0/image_raw
cam1:
  T_cn_cnm1:
  - [1.0, 0.0, 0.0, -0.101]
  - [0.0, 1.0, 0.0, 0.002]
  - [0.0, 0.0, 1.0, 0.001]
  - [0.0, 0.0, 0.0, 1.0]
  camera_model: pinhole
  distortion_coeffs: [-0.2, 0.03, 0.0001, 0.0]
  distortion_model: radtan
  intrinsics: [191.0, 192.0, 252.0, 255.0]
  resolution: [512, 512]
"""
EUROC = """%YAML:1.0
sensor_type: camera
T_BS:
  data: [0, 0, 1, 0.5, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1]
resolution: [752, 480]
camera_model: pinhole
intrinsics: [458.654, 457.296, 367.215, 248.375]
distortion_model: radial-tangential
distortion_coefficients: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
"""
OPENCV = """%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 320., 0., 510., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ 0.1, 0., 0., 0., 0. ]
"""


def cameras(folder: Path, *texts: str) -> list[Camera]:
    paths = []
    for number, text in enumerate(texts):
        path = folder / f'{number}.yaml'
        path.write_text(text, encoding='utf-8-sig')
        paths.append(str(path))
    found = [camera_from_msg(one) for one in read_calibrations(paths).cameras]
    return [one for one in found if one is not None]


@pytest.mark.parametrize(
    ('text', 'size', 'focal', 'model'),
    [
        (ROS, (480, 640), 430.1, 'plumb_bob'),
        (EUROC, (480, 752), 458.654, 'plumb_bob'),
        (OPENCV, (480, 640), 500.0, 'plumb_bob'),
    ],
)
def test_each_format_gives_its_camera(
    tmp_path: Path, text: str, size: tuple[int, int], focal: float, model: str
) -> None:
    (camera,) = cameras(tmp_path, text)
    assert camera.size == size
    assert camera.matrix[0, 0] == focal
    assert camera.distortion_model == model


def test_a_chain_gives_both_cameras_and_where_the_right_one_stands(tmp_path: Path) -> None:
    left, right = cameras(tmp_path, KALIBR)
    assert (left.distortion_model, right.distortion_model) == ('equidistant', 'plumb_bob')
    pose = read_calibrations([str(tmp_path / '0.yaml')]).left_T_right
    assert pose is not None
    np.testing.assert_allclose(pose[:3, 3], [0.101, -0.002, -0.001])


def test_two_files_give_two_cameras(tmp_path: Path) -> None:
    left, right = cameras(tmp_path, ROS, OPENCV)
    assert (left.matrix[0, 0], right.matrix[0, 0]) == (430.1, 500)


def test_rectified_images_go_by_the_projection_matrix_of_the_file(tmp_path: Path) -> None:
    cameras(tmp_path, ROS)
    (info,) = read_calibrations([str(tmp_path / '0.yaml')]).cameras
    camera = camera_from_msg(info, rectified=True)
    assert camera is not None
    assert camera.matrix[0, 0] == 345.1


def test_no_name_is_no_calibration() -> None:
    assert read_calibrations(['']).cameras == ()


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('', 'holds no calibration'),
        ('[', 'no YAML'),
        ('a: 1', "'resolution' is missing"),
        (ROS.replace('430.1', 'wide'), 'could not convert'),
        (ROS.replace('640', '64'), 'principal point'),
        (KALIBR.replace('pinhole', 'omni'), 'camera_model omni is not supported'),
        (KALIBR.replace('[1.0, 0.0, 0.0, -0.101]', '[2.0, 0.0, 0.0, -0.101]'), 'no rotation'),
    ],
)
def test_what_is_no_calibration_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CameraInfoError, match=rf'0\.yaml: .*{problem}'):
        cameras(tmp_path, text)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(CameraInfoError, match=r'/nowhere/a\.yaml: the file cannot be read'):
        read_calibrations(['/nowhere/a.yaml'])
