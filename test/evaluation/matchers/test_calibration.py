"""Calibration is measured as defined, and its command writes what it promises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from rich.console import Console

from loftr_ros.commands.main import main
from loftr_ros.evaluation.matchers.calibration import measure_calibration
from loftr_ros.evaluation.matchers.calibration_report import calibration_table, report_calibration
from loftr_ros.rendering.procedural import procedural_texture

if TYPE_CHECKING:
    from pathlib import Path

FAR = np.array([np.inf, 0.0])
CLOSE = np.array([1.0, 1.0])


def test_the_expected_calibration_error_is_the_weighted_gap() -> None:
    # Three of four at 0.85 are close: a gap of 0.1. One of two at 0.25: a gap of 0.25.
    confidence = np.array([0.85, 0.85, 0.85, 0.85, 0.25, 0.25])
    residuals = np.stack([CLOSE, CLOSE, CLOSE, FAR, CLOSE, FAR])

    measured = measure_calibration('set', confidence, residuals, np.ones(6))

    assert measured.error == pytest.approx((4 * 0.1 + 2 * 0.25) / 6)
    assert measured.accuracy == pytest.approx(4 / 6)
    assert measured.count == 6
    assert [one.count for one in measured.bins] == [0, 0, 2, 0, 0, 0, 0, 0, 4, 0]


def test_a_confidence_of_one_belongs_to_the_last_bin() -> None:
    measured = measure_calibration('set', np.ones(2), np.stack([CLOSE, CLOSE]), np.ones(2))

    assert measured.bins[-1].count == 2
    assert measured.error == 0


def test_close_means_less_than_three_pixels() -> None:
    residuals = np.array([[2.9, 0], [0, 3.1], [2.5, 2.5]])

    assert measure_calibration('s', np.full(3, 0.5), residuals, np.ones(3)).accuracy == 1 / 3


def test_the_sigma_ratio_leaves_wrong_cells_out() -> None:
    residuals = np.random.default_rng(0).normal(0, 2, (5000, 2))
    residuals[:100] = 50, 50

    measured = measure_calibration('set', np.ones(5000), residuals, np.full(5000, 2.0))

    assert measured.sigma_ratio == pytest.approx(1, abs=0.03)


def test_the_sigma_of_each_fifth_of_the_matches_is_measured_from_small_to_great() -> None:
    sigma = np.repeat([4.0, 1.0, 2.0, 3.0, 5.0], 4000)
    residuals = np.random.default_rng(0).normal(0, 1, (20000, 2))

    measured = measure_calibration('set', np.ones(20000), residuals, sigma)

    assert measured.sigma_ratios == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5], rel=0.05)


def test_without_matches_nothing_is_claimed() -> None:
    measured = measure_calibration('set', np.empty(0), np.empty((0, 2)), np.empty(0))

    assert np.isnan([measured.error, measured.accuracy, measured.sigma_ratio]).all()
    console = Console(width=100)
    with console.capture() as capture:
        console.print(calibration_table([measured]))
    assert 'expected calibration error' in capture.get()


def test_matches_without_truth_are_refused() -> None:
    with pytest.raises(ValueError, match='without a truth'):
        measure_calibration('set', np.ones(1), np.array([[np.nan, 0]]), np.ones(1))


def test_the_report_writes_figures_and_a_picture(tmp_path: Path) -> None:
    measured = measure_calibration('set', np.full(2, 0.7), np.stack([CLOSE, FAR]), np.ones(2))

    report_calibration([measured], tmp_path / 'f.json', tmp_path, Console(quiet=True))

    content = json.loads((tmp_path / 'f.json').read_text())['set']
    assert content['expected_calibration_error'] == pytest.approx(0.2)
    assert content['bins'][0]['accuracy'] is None
    assert cv2.imread(str(tmp_path / 'reliability.png')) is not None


def test_the_command_measures_bundled_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(1)
    for number in range(6):
        cv2.imwrite(str(tmp_path / f'p{number}.png'), procedural_texture(512, rng))
    arguments = ['--photographs', str(tmp_path), '--width', '160', '--height', '128']

    assert main(['evaluate-calibration', *arguments, '--pairs', '4']) == 0
    assert 'held-out photographs' in capsys.readouterr().out


def test_nothing_to_measure_on_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['evaluate-calibration']) == 1
    assert 'give photographs or sequences' in capsys.readouterr().err
