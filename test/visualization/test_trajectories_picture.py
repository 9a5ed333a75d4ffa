"""Figures of trajectories are drawn without a display and without pyplot."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from loftr_ros.visualization.trajectories import recall_figure


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
