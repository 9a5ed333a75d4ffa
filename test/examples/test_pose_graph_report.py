"""The report of a pose graph, with and without a truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('gtsam', reason='gtsam is not installed (requirements/gtsam.txt)')

from pose_graph import Motion, PoseGraph
from pose_graph_report import PICTURE, write_report

SECOND = 10**9
SPREAD = np.diag([0.1] * 6) ** 2


def step(x: float, z: float) -> np.ndarray:
    pose = np.eye(4)
    pose[0, 3], pose[2, 3] = x, z
    return pose


@pytest.fixture
def graph() -> PoseGraph:
    """There and back along a corner, with 0.2 m too much on the last step."""
    graph = PoseGraph()
    for index, motion in enumerate([step(0, 1), step(1, 0), step(0, -1), step(-1.2, 0)]):
        graph.add_motion(Motion(index * SECOND, (index + 1) * SECOND, motion, SPREAD))
    graph.add_loop(Motion(0, 4 * SECOND, np.eye(4), SPREAD))
    return graph


def write_truth(path: Path, stamps: list[float]) -> Path:
    places = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]
    rows = [f'{t} {x} 0 {z} 0 0 0 1\n' for t, (x, z) in zip(stamps, places, strict=False)]
    path.write_text(''.join(rows))
    return path


def test_errors_against_the_truth_are_those_of_the_shared_stamps(
    graph: PoseGraph, tmp_path: Path
) -> None:
    truth = write_truth(tmp_path / 'truth.tum', [0, 1, 2, 3, 4])
    summary = write_report(graph, tmp_path / 'out', truth)
    # The square of the path before is 0.2 m off in its last corner, spread over five by alignment.
    assert summary.ate_before_m is not None
    assert summary.ate_after_m is not None
    assert summary.ate_before_m == pytest.approx(0.077, abs=0.001)
    assert summary.ate_after_m < 0.8 * summary.ate_before_m
    assert summary.end_before_m == pytest.approx(0.2, abs=1e-6)
    assert summary.end_after_m is not None
    assert summary.end_after_m < 0.1
    assert summary.length_m == pytest.approx(4.2, abs=0.01)
    assert json.loads((tmp_path / 'out' / 'summary.json').read_text())['loops'] == 1
    assert (tmp_path / 'out' / PICTURE).stat().st_size > 10_000


def test_without_a_truth_there_is_a_picture_but_no_error(graph: PoseGraph, tmp_path: Path) -> None:
    summary = write_report(graph, tmp_path)
    assert summary.ate_before_m is None
    assert (tmp_path / PICTURE).is_file()


@pytest.mark.parametrize(
    ('text', 'message'),
    [('0 0 0\n', 'cannot be read'), ('100 0 0 0 0 0 0 1\n101 0 0 0 0 0 0 1\n', 'shares fewer')],
)
def test_a_truth_that_cannot_be_used_is_named(
    graph: PoseGraph, tmp_path: Path, text: str, message: str
) -> None:
    truth = tmp_path / 'truth.tum'
    truth.write_text(text)
    with pytest.raises(ValueError, match=message):
        write_report(graph, tmp_path / 'out', truth)


def test_a_truth_that_is_missing_is_named(graph: PoseGraph, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'nowhere\.tum cannot be read'):
        write_report(graph, tmp_path, tmp_path / 'nowhere.tum')


def test_an_empty_graph_has_no_report(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='no keyframe'):
        write_report(PoseGraph(), tmp_path)
