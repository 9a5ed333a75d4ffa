"""A replay becomes a recording that the real Rerun SDK reads back."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from loftr_ros.frontend import Frame, TrackingResult
from loftr_ros.geometry import Camera
from loftr_ros.geometry.pose import PoseState, RelativePose
from loftr_ros.matching.matches import Matches
from loftr_ros.visualization.matches import COLOURS, OUTLIER_COLOUR
from loftr_ros.visualization.rerun_recording import (
    RerunRecording,
    match_colours,
    require_rerun,
)

needs_rerun = pytest.mark.skipif(
    importlib.util.find_spec('rerun') is None,
    reason="the Rerun SDK is not installed: pip install 'loftr_ros[rerun]'",
)
MATRIX = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])


def make_frame(number: int) -> Frame:
    image = np.random.default_rng(number).integers(0, 255, (48, 64), np.uint8)
    return Frame(
        10**9 + number * 10**8, image, 'camera', Camera(64, 48, MATRIX, 'none', np.zeros(0))
    )


def make_result(reference: Frame, query: Frame, count: int) -> TrackingResult:
    points = np.full((count, 2), 9, np.float32)
    ones = np.ones(count, np.float32)
    cells = np.arange(count, dtype=np.int64)
    matches = Matches(points, points + 2, ones, ones, cells, (1, max(count, 1)))
    inliers = np.arange(count) > 0
    pose = RelativePose(
        state=PoseState.LOST,
        reference_T_query=None,
        covariance=None,
        metric=False,
        method='none',
        inliers=inliers,
        median_residual=float('nan'),
        reason='only a test',
    )
    return TrackingResult(
        reference=reference,
        query=query,
        matches=matches,
        track_ids=cells,
        pose=pose,
        new_keyframe=False,
        seconds={},
    )


def contents(path: Path) -> str:
    """Verify a recording with Rerun's own tool, and return what it prints of it."""
    tool = Path(sys.executable).parent / 'rerun'
    for command in ('verify', 'print'):
        result = subprocess.run(
            [tool, 'rrd', command, path], capture_output=True, text=True, timeout=60
        )
        assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@needs_rerun
def test_images_matches_poses_and_trajectories_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / 'deep' / 'replay.rrd'
    recording = RerunRecording(path, 'test')
    frames = [make_frame(number) for number in range(3)]
    for index, frame in enumerate(frames):
        pose = np.eye(4)
        pose[0, 3] = index
        result = make_result(frames[0], frame, 5) if index else None
        recording.log(index, frame, result, pose, pose)
    recording.close()

    assert path.stat().st_size > 3000
    printed = contents(path)
    for entity in (
        '/odom/camera',
        '/odom/camera/image',
        '/odom/camera/image/matches',
        '/odom/camera/image/motion',
        '/odom/estimate',
        '/odom/truth',
        '/plots/matches',
        '/plots/inliers',
        '/state',
    ):
        assert f'{entity} ' in printed, entity


@needs_rerun
def test_frames_without_camera_matches_or_pose_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / 'replay.rrd'
    recording = RerunRecording(path, 'test')
    frame = Frame(0, np.zeros((48, 64, 3), np.uint16), 'camera', None)
    recording.log(0, frame, None)
    recording.log(1, frame, make_result(frame, frame, 0))
    recording.close()

    printed = contents(path)
    assert '/odom/camera/image ' in printed
    assert '/odom/estimate ' not in printed


def test_outliers_are_red_and_others_have_the_colour_of_their_confidence() -> None:
    confidence = np.array([0.0, 1.0, 1.0, np.nan], np.float32)
    colours = match_colours(confidence, np.array([True, True, False, True]))

    assert colours.tolist() == [
        COLOURS[0].tolist(),
        COLOURS[-1].tolist(),
        list(OUTLIER_COLOUR),
        COLOURS[0].tolist(),
    ]


def test_a_missing_sdk_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('importlib.util.find_spec', lambda _: None)
    with pytest.raises(ValueError, match=r'pip install .loftr_ros\[rerun\]'):
        require_rerun()
