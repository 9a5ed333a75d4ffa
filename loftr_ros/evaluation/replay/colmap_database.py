"""Matches as a database of COLMAP, which COLMAP and hloc reconstruct from; needs pycolmap."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loftr_ros.data.colmap import import_pycolmap
from loftr_ros.geometry import Camera, PoseState

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.codecs.correspondences import Correspondences, View
    from loftr_ros.geometry import RelativePose

FOCAL_GUESS = 1.2
"""Focal length of an unknown camera in longer sides of the image, as COLMAP guesses it."""
CORNER = 0.5
"""COLMAP counts pixels from the corner of the first one, this package from its centre."""
RATIONAL_SIZE = 8


@dataclass
class _Image:
    """An image and its points: that of a track is the same in all pairs."""

    view: View
    points: list[NDArray[np.float64]] = field(default_factory=list)
    index: dict[int, int] = field(default_factory=dict)

    def indices(self, points: NDArray[Any], track_ids: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Return the numbers of points (N, 2), px, which are added where they are new."""
        for point, track in zip(points, track_ids.tolist(), strict=True):
            if track not in self.index:
                self.index[track] = len(self.points)
                self.points.append(np.asarray(point, np.float64))
        return np.array([self.index[track] for track in track_ids.tolist()], np.uint32)


@dataclass(frozen=True, eq=False)
class _Pair:
    """Matches (N, 2) as numbers of points, those that the pose explains, and the pose."""

    stamps: tuple[int, int]
    matches: NDArray[np.uint32]
    inliers: NDArray[np.bool_]
    pose: RelativePose


class MatchDatabase:
    """Collects matches of pairs of images of one sequence, and writes them."""

    def __init__(self) -> None:
        self._images: dict[int, _Image] = {}
        self._pairs: list[_Pair] = []

    @property
    def pairs(self) -> int:
        """How many pairs were collected."""
        return len(self._pairs)

    @property
    def summary(self) -> str:
        """What was collected, in words."""
        points = sum(len(image.points) for image in self._images.values())
        verified = sum(pair.pose.state.has_pose for pair in self._pairs)
        return (
            f'{len(self._images)} images with {points} points, {len(self._pairs)} pairs, '
            f'{verified} of them verified'
        )

    def add(self, found: Correspondences, pose: RelativePose) -> None:
        """Take the matches of a pair, with the pose that they gave."""
        sides = (found.reference, found.reference_points), (found.query, found.query_points)
        columns = [
            self._images.setdefault(view.stamp_ns, _Image(view)).indices(points, found.track_ids)
            for view, points in sides
        ]
        stamps = found.reference.stamp_ns, found.query.stamp_ns
        self._pairs.append(_Pair(stamps, np.column_stack(columns), found.inliers, pose))

    def write(self, path: Path) -> None:
        """Write all of it.

        Raises:
            ValueError: pycolmap is missing, the file exists, or COLMAP has no such camera.
        """
        pycolmap = import_pycolmap()
        if path.exists():
            raise ValueError(f'{path} exists: choose another name, or remove it')
        cameras = {stamp: _parameters(image.view) for stamp, image in self._images.items()}
        with pycolmap.Database.open(path) as database:
            rigs = {one: _write_camera(pycolmap, database, one) for one in set(cameras.values())}
            numbers = {
                stamp: _write_image(pycolmap, database, image, *rigs[cameras[stamp]])
                for stamp, image in sorted(self._images.items())
            }
            for pair in self._pairs:
                first, second = (numbers[stamp] for stamp in pair.stamps)
                database.write_matches(first, second, pair.matches)
                if pair.pose.state.has_pose:
                    geometry = _geometry(pycolmap, pair)
                    database.write_two_view_geometry(first, second, geometry)


def image_name(stamp_ns: int) -> str:
    """Return the name of the image of a time, ns."""
    return f'{stamp_ns}.png'


Parameters = tuple[str, tuple[float, ...], tuple[int, int], bool]


def _parameters(view: View) -> Parameters:
    """Return COLMAP's model and parameters of a camera, its width and height, and if it is known.

    Raises:
        ValueError: COLMAP has no such model.
    """
    height, width = view.size
    camera = view.camera
    if camera is None:
        focal = FOCAL_GUESS * max(view.size)
        return 'SIMPLE_PINHOLE', (focal, width / 2, height / 2), (width, height), False
    (fx, _, cx), (_, fy, cy), _ = camera.matrix.tolist()
    name, distortion = _distortion(camera)
    values = (fx, fy, cx + CORNER, cy + CORNER, *distortion)
    return name, values, (width, height), True


def _distortion(camera: Camera) -> tuple[str, list[float]]:
    coefficients = camera.distortion.tolist()
    if camera.distortion_model == 'none':
        return 'PINHOLE', []
    if camera.distortion_model == 'equidistant':
        return 'OPENCV_FISHEYE', coefficients
    if not any(coefficients[4:]):
        return 'OPENCV', coefficients[:4]
    if any(coefficients[RATIONAL_SIZE:]):
        raise ValueError('COLMAP knows no thin prism of a camera: rectify the images before')
    missing = RATIONAL_SIZE - len(coefficients)
    return 'FULL_OPENCV', [*coefficients[:RATIONAL_SIZE], *[0.0] * missing]


def _write_camera(pycolmap: Any, database: Any, parameters: Parameters) -> tuple[int, int]:  # noqa: ANN401
    """Write a camera on a rig of its own; returns the numbers of both."""
    model, values, (width, height), known = parameters
    camera = pycolmap.Camera(model=model, width=width, height=height, params=list(values))
    camera.has_prior_focal_length = known
    camera.camera_id = database.write_camera(camera)
    rig = pycolmap.Rig()
    rig.add_ref_sensor(camera.sensor_id)
    return camera.camera_id, database.write_rig(rig)


def _write_image(
    pycolmap: Any,  # noqa: ANN401
    database: Any,  # noqa: ANN401
    image: _Image,
    camera: int,
    rig: int,
) -> int:
    """Write an image, its frame and its points; returns its number."""
    named = pycolmap.Image(name=image_name(image.view.stamp_ns), camera_id=camera)
    named.image_id = number = database.write_image(named)
    frame = pycolmap.Frame()
    frame.rig_id = rig
    frame.add_data_id(named.data_id)
    database.write_frame(frame)
    database.write_keypoints(number, np.array(image.points, np.float32).reshape(-1, 2) + CORNER)
    return int(number)


def _geometry(pycolmap: Any, pair: _Pair) -> Any:  # noqa: ANN401
    kinds = pycolmap.TwoViewGeometryConfiguration
    calibrated = pair.pose.state is PoseState.OK
    query_T_reference = pair.pose.inverse().reference_T_query
    return pycolmap.TwoViewGeometry(
        config=kinds.CALIBRATED if calibrated else kinds.PANORAMIC,
        inlier_matches=pair.matches[pair.inliers],
        cam2_from_cam1=pycolmap.Rigid3d(np.asarray(query_T_reference)[:3]),
    )
