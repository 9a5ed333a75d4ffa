"""Figures of trajectories are drawn without a display and without pyplot."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.visualization.trajectories import (
    motion_error_figure,
    recall_figure,
    save_figure,
    trajectory_figure,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_a_trajectory_is_seen_along_its_two_widest_axes(tmp_path: Path) -> None:
    track = np.stack([np.linspace(0, 5, 9), np.zeros(9), np.linspace(0, 60, 9)], axis=1)
    figure = trajectory_figure({'estimate': track}, track + 0.1, title='street')
    assert figure.axes[0].get_xlabel() == 'x [m]'
    assert figure.axes[0].get_ylabel() == 'z [m]'
    save_figure(figure, tmp_path / 'new' / 'track.png')
    assert (tmp_path / 'new' / 'track.png').stat().st_size > 1000


def test_poses_and_positions_are_both_accepted() -> None:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = np.arange(5)
    line = trajectory_figure({'estimate': poses}).axes[0].lines[0]
    assert np.allclose(line.get_xdata(), np.arange(5))


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match='estimate'):
        trajectory_figure({'estimate': np.zeros((5, 2))})


def test_no_trajectory_gives_an_empty_figure(tmp_path: Path) -> None:
    save_figure(trajectory_figure({}), tmp_path / 'empty.png')
    save_figure(trajectory_figure({'none': np.zeros((0, 3))}), tmp_path / 'none.png')


def test_missing_estimates_leave_gaps(tmp_path: Path) -> None:
    errors = {'estimate': np.array([0.1, np.nan, 0.3])}
    save_figure(motion_error_figure(errors, errors), tmp_path / 'errors.png')


def test_recall_never_falls_and_counts_failures_as_misses() -> None:
    figure = recall_figure({'matcher': np.array([1.0, 3.0, np.inf, np.nan])})
    share = np.asarray(figure.axes[0].lines[0].get_ydata())
    assert np.all(np.diff(share) >= 0)
    assert share[-1] == 50.0


def test_importing_leaves_pyplot_alone() -> None:
    code = (
        'import sys, loftr_ros.visualization.trajectories\n'
        'sys.exit("matplotlib.pyplot" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
