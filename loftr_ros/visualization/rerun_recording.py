"""A replay as a recording for the Rerun viewer: images, matches, poses, trajectory, counts."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from loftr_ros.visualization.images import to_display
from loftr_ros.visualization.matches import COLOURS, OUTLIER_COLOUR

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from loftr_ros.frontend import Frame, TrackingResult

    Pose = NDArray[np.float64]

JPEG_QUALITY = 80
TRUTH_COLOUR, ESTIMATE_COLOUR = (140, 144, 154), (61, 143, 214)
TIMELINE, FRAME_LINE = 'time', 'frame'


def require_rerun() -> None:
    """Check that recordings can be written.

    Raises:
        ValueError: The package is not installed; says how to install it.

    """
    if importlib.util.find_spec('rerun') is None:
        raise ValueError("a recording needs the Rerun SDK: pip install 'loftr_ros[rerun]'")


class RerunRecording:
    """Writes one .rrd file, frame after frame; to be closed at the end.

    The frame `odom` is the first camera. The truth is moved there by its first pose, so that both
    trajectories start at one place; the scale of a monocular estimate is its own.
    """

    def __init__(self, path: Path, name: str) -> None:
        """Create the file.

        Args:
            path: File to write, overwritten if it exists.
            name: Name of the recording in the viewer.

        Raises:
            ValueError: The Rerun SDK is not installed.

        """
        require_rerun()
        import rerun

        path.parent.mkdir(parents=True, exist_ok=True)
        self._rerun = rerun
        self._stream = rerun.RecordingStream('loftr_ros', recording_id=name)
        self._stream.save(path)
        self._stream.log('odom', rerun.ViewCoordinates.RDF, static=True)
        self._first_truth: Pose | None = None
        self._estimate: list[list[NDArray[np.float64]]] = [[]]
        self._truth: list[NDArray[np.float64]] = []

    def log(
        self,
        index: int,
        frame: Frame,
        result: TrackingResult | None,
        odom_T_camera: Pose | None = None,
        world_T_camera: Pose | None = None,
    ) -> None:
        """Add a frame.

        Args:
            index: Its place in the input.
            frame: Image, time and camera.
            result: What the tracker made of it; None if there is nothing.
            odom_T_camera: (4, 4), estimated pose; None while it is unknown.
            world_T_camera: (4, 4), true pose, m; None where it is unknown.

        """
        stamp = np.datetime64(frame.stamp_ns, 'ns')
        self._stream.set_time(TIMELINE, timestamp=stamp)
        self._stream.set_time(FRAME_LINE, sequence=index)
        self._log_image(frame)
        if result is not None:
            self._log_result(result)
        if odom_T_camera is not None:
            self._log_pose(odom_T_camera)
            self._estimate[-1].append(odom_T_camera[:3, 3])
        else:
            self._estimate.append([])  # the line of the trajectory has a gap here
        if world_T_camera is not None:
            if self._first_truth is None:
                self._first_truth = world_T_camera
            odom_T_true = np.linalg.inv(self._first_truth) @ world_T_camera
            self._truth.append(odom_T_true[:3, 3])

    def close(self) -> None:
        """Write the trajectories and close the file."""
        self._log_path('estimate', self._estimate, ESTIMATE_COLOUR)
        self._log_path('truth', [self._truth], TRUTH_COLOUR)
        self._stream.flush()
        self._stream.disconnect()

    def _log_image(self, frame: Frame) -> None:
        picture = self._rerun.Image(to_display(frame.image)).compress(jpeg_quality=JPEG_QUALITY)
        self._stream.log('odom/camera/image', picture)
        if frame.camera is not None:
            height, width = frame.camera.size
            model = self._rerun.Pinhole(
                image_from_camera=frame.camera.matrix, resolution=[width, height]
            )
            self._stream.log('odom/camera/image', model)

    def _log_result(self, result: TrackingResult) -> None:
        matches, pose = result.matches, result.pose
        colours = match_colours(matches.confidence, pose.inliers)
        points = self._rerun.Points2D(matches.query_points, colors=colours, radii=2.0)
        self._stream.log('odom/camera/image/matches', points)
        moves = np.stack([matches.reference_points, matches.query_points], axis=1)
        lines = self._rerun.LineStrips2D(moves, colors=colours, radii=0.6)
        self._stream.log('odom/camera/image/motion', lines)
        counts = {'matches': len(matches), 'inliers': int(pose.inliers.sum())}
        for name, value in counts.items():
            self._stream.log(f'plots/{name}', self._rerun.Scalars(value))
        state = pose.state.value.upper()
        text = f'{state}: {pose.reason}' if pose.reason else state
        self._stream.log('state', self._rerun.TextLog(text, level='INFO'))

    def _log_pose(self, odom_T_camera: Pose) -> None:
        transform = self._rerun.Transform3D(
            translation=odom_T_camera[:3, 3], mat3x3=odom_T_camera[:3, :3]
        )
        self._stream.log('odom/camera', transform)

    def _log_path(
        self, name: str, path: list[list[NDArray[np.float64]]], colour: tuple[int, int, int]
    ) -> None:
        """Add a whole trajectory, to be seen at any time."""
        strips = [np.stack(part) for part in path if len(part) > 1]
        if strips:
            lines = self._rerun.LineStrips3D(strips, colors=[colour] * len(strips))
            self._stream.log(f'odom/{name}', lines, static=True)


def match_colours(confidence: NDArray[np.float32], inliers: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Return the colours (N, 3) of matches: their confidence, or red for outliers."""
    levels = np.round(np.clip(np.nan_to_num(confidence), 0, 1) * (len(COLOURS) - 1))
    colours = COLOURS[levels.astype(np.intp)].copy()
    colours[~inliers] = OUTLIER_COLOUR
    return colours
