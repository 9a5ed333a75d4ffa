"""EuRoC MAV and other sequences of the ASL layout: `mav0/cam0`, body pose as ground truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.errors import DatasetError
from loftr_ros.data.files import intrinsic_matrix, make_camera, nearest_in_time
from loftr_ros.data.imu import ImuSamples
from loftr_ros.data.poses import TimedPoses
from loftr_ros.data.sequences import FrameEntry, ImageSequence, RightCamera
from loftr_ros.data.tables import nanoseconds, parse_numbers, read_lines
from loftr_ros.geometry.transforms import inverse_transform
from loftr_ros.plain_yaml import YamlError, read_yaml
from loftr_ros.texts import shortened

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.geometry import Camera

LOOKS_FOR = 'mav0/cam0/sensor.yaml or, of TUM VI, mav0/cam0/data.csv beside dso/camchain.yaml'
GROUND_TRUTHS = ('state_groundtruth_estimate0', 'mocap0')
CHAINS = ('dso/camchain.yaml', 'camchain.yaml')
MAX_GAP_NS = 100_000_000
DISTORTION_MODELS = {
    'radial-tangential': 'plumb_bob',
    'radtan': 'plumb_bob',
    'plumb_bob': 'plumb_bob',
    'equidistant': 'equidistant',
    'none': 'none',
}


def is_euroc(path: Path) -> bool:
    """Whether a folder (or its `mav0`) looks like a sequence of the ASL layout."""
    root = _root(path)
    return any(root.glob('cam*/sensor.yaml')) or (
        any(root.glob('cam*/data.csv')) and _chain(root) is not None
    )


def open_euroc(path: Path, camera: str | None = None) -> ImageSequence:
    """Index a sequence of the ASL layout (Burri et al., IJRR 2016).

    The pose of the camera is that of the body times the extrinsics T_BS; the distortion stays
    in the calibration.

    Args:
        path: The folder of `mav0`, or `mav0` itself.
        camera: Folder of the camera, by default 'cam0'.

    Raises:
        DatasetError: If a file is missing or malformed.

    """
    root = _root(path)
    folder = root / (camera or 'cam0')
    sensor, source = _read_sensor(root, folder.name)
    body_T_camera = _extrinsics(sensor, source)
    truths = (_read_body_poses(root / name) for name in GROUND_TRUTHS)
    body = next((truth for truth in truths if truth is not None), None)
    entries = []
    for stamp, name in _read_image_list(folder / 'data.csv'):
        world_T_body = None if body is None else body.at(stamp, MAX_GAP_NS)
        pose = None if world_T_body is None else world_T_body @ body_T_camera
        entries.append(
            FrameEntry(stamp_ns=stamp, image_path=folder / 'data' / name, world_T_camera=pose)
        )
    entries.sort(key=lambda entry: entry.stamp_ns)
    calibration = _camera(sensor, source)
    name = path.parent.name if path.name == 'mav0' else path.name
    span = None if body is None else body.span_ns
    return ImageSequence(
        name=name,
        layout='euroc',
        entries=tuple(entries),
        camera=calibration,
        frame_id=folder.name,
        truth_span_ns=span,
    )


def open_euroc_stereo(path: Path, camera: str | None = None) -> ImageSequence:
    """Index cam0 with the views of cam1 of the nearest stamps; otherwise as `open_euroc`.

    Raises:
        DatasetError: If a file is missing or malformed, or another camera is asked for.

    """
    if camera not in {None, 'cam0'}:
        raise DatasetError(path, f'nothing is to the right of {camera}', "The left one is 'cam0'.")
    sequence = open_euroc(path)
    right = _root(path) / 'cam1' / 'sensor.yaml'
    left_sensor, left_source = _read_sensor(_root(path), 'cam0')
    sensor, source = _read_sensor(_root(path), 'cam1')
    files = [
        (stamp, right.parent / 'data' / name)
        for stamp, name in sorted(_read_image_list(right.parent / 'data.csv'))
    ]
    left_T_right = inverse_transform(_extrinsics(left_sensor, left_source)) @ _extrinsics(
        sensor, source
    )
    entries = []
    for entry in sequence.entries:
        file, apart_ns = nearest_in_time(files, entry.stamp_ns)
        entries.append(replace(entry, right_path=file, right_apart_ns=apart_ns))
    return replace(
        sequence,
        entries=tuple(entries),
        right=RightCamera(_camera(sensor, source), left_T_right),
    )


def read_euroc_imu(path: Path, camera: str | None = None) -> ImuSamples:
    """Read the angular rates of `imu0`, and how it is mounted on a camera.

    Args:
        path: The folder of `mav0`, or `mav0` itself.
        camera: Folder of the camera, by default 'cam0'.

    Raises:
        DatasetError: If a file is missing or malformed.

    """
    root = _root(path)
    file, own = root / 'imu0' / 'data.csv', root / 'imu0' / 'sensor.yaml'
    stamps, rates = [], []
    for number, line in read_lines(file):
        words = line.split(',')
        if len(words) < 4:
            problem = f'line {number} has {len(words)} columns, expected at least 4'
            raise DatasetError(file, problem, 'Complete or remove the line.')
        stamps.append(nanoseconds(words[0], file, number))
        rates.append(parse_numbers(words[1:4], file, number))
    if not rates:
        raise DatasetError(file, 'the file has no rows', 'Check that the dataset is complete.')
    body_T_camera = _extrinsics(*_read_sensor(root, camera or 'cam0'))
    body_T_imu = _extrinsics(_read_yaml(own), own) if own.is_file() else np.eye(4)
    camera_R_imu = body_T_camera[:3, :3].T @ body_T_imu[:3, :3]
    return ImuSamples(str(file), np.array(stamps, np.int64), np.stack(rates), camera_R_imu)


def _root(path: Path) -> Path:
    return path / 'mav0' if (path / 'mav0').is_dir() else path


def _chain(root: Path) -> Path | None:
    """Return the calibration that Kalibr wrote, which TUM VI has beside `mav0`; None of none."""
    return next((root.parent / name for name in CHAINS if (root.parent / name).is_file()), None)


def _read_sensor(root: Path, camera: str) -> tuple[dict[str, Any], Path]:
    """Return the keys of a camera's sensor.yaml and its file, or the same of Kalibr's chain."""
    file, chain = root / camera / 'sensor.yaml', _chain(root)
    if file.is_file() or chain is None:
        return _read_yaml(file), file
    entry = _read_yaml(chain).get(camera)
    if not isinstance(entry, dict):
        raise DatasetError(chain, f'there is no {camera}', 'Choose another camera.')
    camera_T_body = _numbers(entry, 'T_cam_imu', 16, chain).reshape(4, 4)
    return {
        **entry,
        'T_BS': inverse_transform(camera_T_body).tolist(),
        'distortion_coefficients': entry.get('distortion_coeffs'),
    }, chain


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        # The files of some tools start with OpenCV's %YAML:1.0, which is no YAML directive.
        lines = path.read_text(encoding='utf-8-sig').splitlines()
        content = read_yaml('\n'.join(line for line in lines if not line.startswith('%')))
    except OSError as error:
        raise DatasetError(
            path, f'the file cannot be read ({error.strerror})', 'Check the dataset.'
        ) from error
    except (YamlError, UnicodeDecodeError) as error:
        raise DatasetError(path, f'the file is no YAML ({error})', 'Unpack it again.') from error
    if not isinstance(content, dict):
        raise DatasetError(path, 'the file holds no keys', 'Unpack it again.')
    return content


def _numbers(sensor: dict[str, Any], key: str, count: int, path: Path) -> NDArray[np.float64]:
    value = sensor.get(key)
    value = value.get('data') if isinstance(value, dict) else value
    try:
        numbers = np.array(value, np.float64).ravel()
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.size != count or not np.isfinite(numbers).all():
        raise DatasetError(path, f'{key} is not a list of {count} numbers: {value}', 'Correct it.')
    return numbers


def _extrinsics(sensor: dict[str, Any], path: Path) -> NDArray[np.float64]:
    return _numbers(sensor, 'T_BS', 16, path).reshape(4, 4)


def _camera(sensor: dict[str, Any], path: Path) -> Camera:
    model = str(sensor.get('distortion_model', 'none'))
    if model not in DISTORTION_MODELS or sensor.get('camera_model', 'pinhole') != 'pinhole':
        raise DatasetError(
            path,
            f'the camera model {sensor.get("camera_model")} with distortion {model} is unknown',
            f'Known are pinhole with {", ".join(DISTORTION_MODELS)}.',
        )
    width, height = _numbers(sensor, 'resolution', 2, path).astype(int).tolist()
    matrix = intrinsic_matrix(*_numbers(sensor, 'intrinsics', 4, path))
    coefficients: list[float] = []
    if model != 'none':
        coefficients = _numbers(sensor, 'distortion_coefficients', 4, path).tolist()
    return make_camera(width, height, matrix, DISTORTION_MODELS[model], coefficients, source=path)


def _read_image_list(path: Path) -> list[tuple[int, str]]:
    rows = []
    for number, line in read_lines(path):
        stamp, _, name = (word.strip() for word in line.partition(','))
        if not name:
            problem = f'line {number} is not "nanoseconds,file": {shortened(line)!r}'
            raise DatasetError(path, problem, 'Correct the line.')
        rows.append((nanoseconds(stamp, path, number), name))
    if not rows:
        raise DatasetError(path, 'the file lists no images', 'Check that the dataset is complete.')
    return rows


def _read_body_poses(folder: Path) -> TimedPoses | None:
    """Read stamp, position and quaternion w x y z of the body from each row."""
    path = folder / 'data.csv'
    if not path.is_file():
        return None
    stamps, values = [], []
    for number, line in read_lines(path):
        words = line.split(',')
        # Nanoseconds since 1970 do not fit a double: the stamp is read on its own.
        if len(words) < 8:
            raise DatasetError(
                path,
                f'line {number} has {len(words)} columns, expected at least 8',
                'The file may be truncated: complete or remove the line.',
            )
        stamps.append(nanoseconds(words[0], path, number))
        values.append(parse_numbers(words[1:8], path, number))
    if not values:
        raise DatasetError(path, 'the file has no rows', 'Check that the dataset is complete.')
    table = np.stack(values)
    quaternions = np.roll(table[:, 3:7], -1, axis=1)
    return TimedPoses.from_samples(np.array(stamps, np.int64), table[:, :3], quaternions)
