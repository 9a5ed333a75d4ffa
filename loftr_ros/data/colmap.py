"""COLMAP models, text or binary: cameras, poses and points with the images that observe them.

The format is documented at https://colmap.github.io/format.html. COLMAP's pixel coordinates start
at the corner of the first pixel; here they are those of pixel centres at integers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from loftr_ros.data.files import natural_order

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

FILES = ('cameras', 'images', 'points3D')
MODELS: tuple[tuple[str, int], ...] = (
    ('SIMPLE_PINHOLE', 3),
    ('PINHOLE', 4),
    ('SIMPLE_RADIAL', 4),
    ('RADIAL', 5),
    ('OPENCV', 8),
    ('OPENCV_FISHEYE', 8),
    ('FULL_OPENCV', 12),
)
"""Names and numbers of parameters of the camera models that are read, by COLMAP's number."""


@dataclass(frozen=True, eq=False)
class ColmapCamera:
    """Intrinsics of one camera of a model.

    Attributes:
        width: Image width, px.
        height: Image height, px.
        matrix: float64 (3, 3), px, pixel centres at integers.
        distortion_model: Of sensor_msgs/CameraInfo: 'none', 'plumb_bob', 'rational_polynomial' or
            'equidistant'.
        distortion: float64 (D,), in OpenCV's order.
    """

    width: int
    height: int
    matrix: NDArray[np.float64]
    distortion_model: str
    distortion: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ColmapImage:
    """One registered image.

    Attributes:
        name: Path below the folder of images.
        camera: Number of its camera.
        world_T_camera: float64 (4, 4), in the model's own unit of length.
        pixels: float64 (N, 2), observations of points, px, distorted as in the image.
        points: int64 (N,), numbers of the observed points.
    """

    name: str
    camera: int
    world_T_camera: NDArray[np.float64]
    pixels: NDArray[np.float64]
    points: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ColmapModel:
    """A reconstruction.

    Attributes:
        cameras: By number.
        images: In the order of their names.
        points: float64 (3,) positions by number.
    """

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: dict[int, NDArray[np.float64]]


def has_model(folder: Path) -> bool:
    """Whether a folder holds the three files of a model, text or binary."""
    return any(all((folder / f'{n}{s}').is_file() for n in FILES) for s in ('.bin', '.txt'))


def read_model(folder: Path) -> ColmapModel:
    """Read a model; where there are both, the binary one.

    Raises:
        ValueError: There is no model, or a file of it is damaged; says which and where.
    """
    if not has_model(folder):
        expected = ', '.join(f'{name}.bin or .txt' for name in FILES)
        raise ValueError(f'{folder}: no COLMAP model; expected {expected}')
    binary = all((folder / f'{name}.bin').is_file() for name in FILES)
    files = [folder / f'{name}{".bin" if binary else ".txt"}' for name in FILES]
    readers = (
        (_binary_cameras, _binary_images, _binary_points)
        if binary
        else (_text_cameras, _text_images, _text_points)
    )
    parts: list[Any] = [_parsed(reader, file) for file, reader in zip(files, readers, strict=True)]
    cameras, images, points = parts
    for image in images:
        if image.camera not in cameras:
            raise ValueError(f'{files[1]}: {image.name} has camera {image.camera}: no such camera')
        if not points.keys() >= set(image.points.tolist()):
            raise ValueError(f'{files[1]}: {image.name} observes points that {files[2]} lacks')
    return ColmapModel(
        cameras, tuple(sorted(images, key=lambda one: natural_order(one.name))), points
    )


def _parsed(reader: Callable[[Path], Any], file: Path) -> Any:  # noqa: ANN401 - as the reader's
    try:
        return reader(file)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f'{file}: the file is damaged or cut off ({error})') from error
    except ValueError as error:
        raise ValueError(f'{file}: {error}') from error


def _camera(name: str, width: int, height: int, values: NDArray[np.float64]) -> ColmapCamera:
    """Convert parameters in COLMAP's order to a matrix and OpenCV's coefficients.

    Raises:
        ValueError: The model is not supported, or has another number of parameters.
    """
    counts = dict(MODELS)
    if name not in counts:
        known = ', '.join(counts)
        raise ValueError(
            f'camera model {name} is not supported ({known} are): undistort the images with COLMAP'
        )
    if len(values) != counts[name]:
        raise ValueError(f'a {name} camera has {counts[name]} parameters, not {len(values)}')
    if not np.isfinite(values).all() or width < 1 or height < 1:
        raise ValueError(f'a {name} camera of {width}x{height} px with parameters {values}')
    focal = 1 if name.startswith('SIMPLE') or name == 'RADIAL' else 2
    matrix = np.array([[values[0], 0, values[focal]], [0, values[focal - 1], 0], [0, 0, 1.0]])
    matrix[1, 2] = values[focal + 1]
    # COLMAP counts from the corner of the first pixel.
    matrix[:2, 2] -= 0.5
    rest = values[focal + 2 :]
    if not len(rest) or not rest.any():
        return ColmapCamera(width, height, matrix, 'none', np.zeros(0))
    if name == 'OPENCV_FISHEYE':
        return ColmapCamera(width, height, matrix, 'equidistant', rest)
    if name == 'FULL_OPENCV':
        return ColmapCamera(width, height, matrix, 'rational_polynomial', rest)
    # k1, k2, p1, p2, k3
    coefficients = np.zeros(5)
    coefficients[: len(rest)] = rest
    return ColmapCamera(width, height, matrix, 'plumb_bob', coefficients)


def _image(
    name: str, camera: int, pose: NDArray[np.float64], observed: NDArray[np.float64]
) -> ColmapImage:
    """Convert a pose (qw qx qy qz tx ty tz, camera from world) and rows x, y, point (N, 3)."""
    quaternion, translation = pose[:4], pose[4:]
    if not np.isfinite(pose).all() or np.linalg.norm(quaternion) < 1e-6:
        raise ValueError(f'the pose of {name} is no pose: {pose}')
    world_T_camera = np.eye(4)
    world_T_camera[:3, :3] = Rotation.from_quat(quaternion[[1, 2, 3, 0]]).as_matrix().T
    world_T_camera[:3, 3] = -world_T_camera[:3, :3] @ translation
    observed = observed[observed[:, 2] >= 0]
    return ColmapImage(
        name, camera, world_T_camera, observed[:, :2] - 0.5, observed[:, 2].astype(np.int64)
    )


def _lines(file: Path) -> list[str]:
    text = file.read_text(encoding='utf-8')
    return [line for line in text.splitlines() if not line.startswith('#')]


def _text_cameras(file: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    for line in filter(str.strip, _lines(file)):
        number, name, width, height, *values = line.split()
        cameras[int(number)] = _camera(name, int(width), int(height), np.array(values, float))
    return cameras


def _text_images(file: Path) -> list[ColmapImage]:
    # A line of each image, and one of its observations that may be empty.
    lines = _lines(file)
    images = []
    for first, second in zip(lines[::2], [*lines[1::2], ''], strict=False):
        if not first.strip():
            continue
        _, *pose, camera, name = first.split(maxsplit=9)
        observed = np.array(second.split(), float).reshape(-1, 3)
        images.append(_image(name.strip(), int(camera), np.array(pose, float), observed))
    return images


def _text_points(file: Path) -> dict[int, NDArray[np.float64]]:
    rows = (line.split(maxsplit=4) for line in filter(str.strip, _lines(file)))
    return {int(row[0]): np.array(row[1:4], float) for row in rows}


class _Reader:
    """Little-endian values of a file, one after the other."""

    def __init__(self, file: Path) -> None:
        self.data = file.read_bytes()
        self.position = 0

    def take(self, kinds: str) -> tuple[int, ...]:
        values = struct.unpack_from('<' + kinds, self.data, self.position)
        self.position += struct.calcsize('<' + kinds)
        return values

    def array(self, kind: object, count: int) -> NDArray[np.void]:
        dtype = np.dtype(kind)  # type: ignore[call-overload]
        size = count * dtype.itemsize
        if self.position + size > len(self.data):
            raise IndexError(f'{count} values expected at byte {self.position}')
        values: NDArray[np.void] = np.frombuffer(self.data, dtype, count, self.position)
        self.position += size
        return values

    def text(self) -> str:
        end = self.data.find(b'\0', self.position)
        if end < 0:
            raise IndexError(f'a name without an end at byte {self.position}')
        text = self.data[self.position : end].decode('utf-8')
        self.position = end + 1
        return text


def _binary_cameras(file: Path) -> dict[int, ColmapCamera]:
    reader = _Reader(file)
    cameras = {}
    for _ in range(reader.take('Q')[0]):
        number, model, width, height = reader.take('iiQQ')
        if not 0 <= model < len(MODELS):
            raise ValueError(
                f'camera model number {model} is not supported: undistort the images with COLMAP'
            )
        name, count = MODELS[model]
        values = np.array(reader.array('<f8', count), np.float64)
        cameras[number] = _camera(name, width, height, values)
    return cameras


def _binary_images(file: Path) -> list[ColmapImage]:
    reader = _Reader(file)
    images = []
    observation = [('x', '<f8'), ('y', '<f8'), ('point', '<i8')]
    for _ in range(reader.take('Q')[0]):
        reader.take('i')
        pose = np.array(reader.array('<f8', 7), np.float64)
        camera = reader.take('i')[0]
        name = reader.text()
        rows = reader.array(observation, reader.take('Q')[0])
        observed = np.column_stack([rows['x'], rows['y'], rows['point'].astype(np.float64)])
        images.append(_image(name, camera, pose, observed))
    return images


def _binary_points(file: Path) -> dict[int, NDArray[np.float64]]:
    reader = _Reader(file)
    points = {}
    for _ in range(reader.take('Q')[0]):
        number = reader.take('Q')[0]
        points[number] = np.array(reader.array('<f8', 3), np.float64)
        reader.take('BBBd')
        reader.array('<i4', 2 * reader.take('Q')[0])
    return points


def import_pycolmap() -> Any:  # noqa: ANN401 - an optional package
    """Return pycolmap, which says only what went wrong.

    Raises:
        ValueError: It is not installed.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise ValueError(
            'COLMAP is not installed: pip install pycolmap (Python 3.11 and later), or make models '
            'with the colmap program'
        ) from error
    pycolmap.logging.minloglevel = 2
    return pycolmap
