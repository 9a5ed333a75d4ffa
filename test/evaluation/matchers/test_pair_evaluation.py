"""The evaluation of pairs measures what it says, and its command writes what it promises."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from rich.console import Console

from loftr_ros.commands.main import main
from loftr_ros.evaluation.matchers.pair_command import PairCommand
from loftr_ros.evaluation.matchers.pair_evaluation import (
    FeatureCache,
    PairEvaluator,
    PairResult,
    SetSummary,
)
from loftr_ros.evaluation.matchers.pair_report import (
    best_and_worst,
    mean_auc,
    summary_table,
    to_json,
)
from loftr_ros.evaluation.matchers.pairs import find_pair_sets
from loftr_ros.geometry import Camera
from loftr_ros.matching.matches import Matches

if TYPE_CHECKING:
    from pathlib import Path

CAMERA = Camera(160, 120, np.array([[100.0, 0, 80], [0, 100, 60], [0, 0, 1]]))


class Oracle:
    """Know where random points of the scene of `street` are seen; count how often it looks."""

    def __init__(self, matches: int = 80) -> None:
        self.matches = matches
        self.encoded = 0

    def encode(self, image: npt.NDArray[Any]) -> float:
        self.encoded += 1
        return float(image[0, 0])

    def match(self, reference: float, query: float) -> Matches:
        points = np.random.default_rng(5).uniform([-3, -2, 9], [3, 2, 14], (self.matches, 3))
        views = [CAMERA.project(points - [0.3 * x, 0, x]) for x in (reference, query)]
        return Matches(
            views[0].astype(np.float32),
            views[1].astype(np.float32),
            np.ones(self.matches, np.float32),
            np.ones(self.matches, np.float32),
            np.full(self.matches, -1),
            (0, 0),
        )


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Five frames along (0.3, 0, 1); the first pixel says the place."""
    root = tmp_path / 'street'
    (root / 'image_0').mkdir(parents=True)
    rows = []
    noise = np.random.default_rng(0).integers(0, 255, (120, 160), np.uint8)
    for index in range(5):
        noise[0, 0] = index
        cv2.imwrite(str(root / 'image_0' / f'{index}.png'), noise)
        rows.append(f'1 0 0 {0.3 * index} 0 1 0 0 0 0 1 {index}')
    (root / 'poses.txt').write_text('\n'.join(rows))
    (root / 'calib.txt').write_text('P0: 100 0 80 0 0 100 60 0 0 0 1 0')
    return root


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """A pair of one texture, shifted by 10 px."""
    folder = tmp_path / 'stereo' / 'shifted'
    folder.mkdir(parents=True)
    noise = np.random.default_rng(3).integers(0, 255, (60, 115, 3), np.uint8)
    left = cv2.resize(noise, (450, 240), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(folder / 'im2.png'), left)
    cv2.imwrite(str(folder / 'im6.png'), np.roll(left, -10, axis=1))
    cv2.imwrite(str(folder / 'disp2.png'), np.full((240, 450), 40, np.uint8))
    return folder.parent


def result(error: float, **changes: Any) -> PairResult:  # noqa: ANN401
    fields: dict[str, Any] = {
        'name': '0-1',
        'matches': 9,
        'inliers': 5,
        'precision': 0.5,
        'milliseconds': 10.0,
    }
    names = 'rotation_error', 'direction_error', 'pose_error', 'poselib_error'
    errors = dict.fromkeys(names, error)
    return PairResult(**(fields | errors | changes))


def test_true_matches_give_perfect_figures(street: Path) -> None:
    pair_set = find_pair_sets(street, ['*consecutive'])[0]
    seen: list[int] = []
    summary = PairEvaluator('oracle', Oracle()).evaluate(pair_set, lambda: seen.append(1))
    assert len(seen) == len(pair_set) == len(summary.results) == 4
    assert summary.good == 4
    assert summary.auc[0] > 0.95
    assert summary.poselib_auc[0] > 0.95
    assert summary.mean('precision') == 1
    assert summary.mean('matches') == 80
    assert summary.results[0].name == '0-1'


def test_a_matcher_that_finds_nothing_is_infinitely_wrong(street: Path) -> None:
    pair_set = find_pair_sets(street)[0]
    summary = PairEvaluator('blind', Oracle(0)).evaluate(pair_set)
    assert summary.auc == [0, 0, 0]
    assert summary.poselib_auc == [0, 0, 0]
    assert summary.good == 0
    assert np.isnan(summary.mean('precision'))
    assert summary.results[0].pose_error == np.inf
    assert np.isnan(summary.results[0].rotation_error)


def test_the_features_of_an_image_are_computed_once(street: Path) -> None:
    oracle = Oracle()
    cache = FeatureCache(oracle, size=2)
    images = [np.full((2, 2), index, np.uint8) for index in range(3)]
    for index in (0, 1, 0, 1, 2, 1):
        assert cache.encode(index, images[index])[0] == index
    assert oracle.encoded == 3
    cache.encode(0, images[0])
    assert oracle.encoded == 4


def test_good_pairs_point_in_the_right_direction() -> None:
    assert result(0.5).is_good
    assert not result(0.5, direction_error=179.5).is_good
    assert not result(0.5, rotation_error=1.5).is_good
    assert not result(float('nan'), pose_error=float('inf')).is_good


def test_best_and_worst_pairs_are_found() -> None:
    results: tuple[PairResult, ...] = (result(3.0), result(1.0), result(np.inf), result(7.0))
    assert best_and_worst(SetSummary('set', 'matcher', results)) == (1, 2)
    nan = float('nan')
    results = (result(nan, precision=0.2), result(nan, precision=nan), result(nan, precision=0.9))
    assert best_and_worst(SetSummary('set', 'matcher', results)) == (2, 1)


def test_the_mean_counts_every_set_with_poses_alike() -> None:
    sets = [
        SetSummary('many', 'm', (result(0.0),) * 9),
        SetSummary('few', 'm', (result(np.inf),)),
        SetSummary('disparities', 'm', (result(float('nan')),)),
    ]
    assert mean_auc(sets) == {'m': [0.5, 0.5, 0.5]}
    assert mean_auc(sets[:1]) == {}


def test_unknown_figures_are_null_in_json_and_a_dash_in_the_table() -> None:
    summaries = [SetSummary('set', 'm', (result(float('nan'), pose_error=np.inf),))]
    content = to_json(summaries, {'seed': 0})
    first = content['sets']['set']['m']['results'][0]
    assert first['rotation_error'] is None
    assert first['pose_error'] is None
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    disparities = [SetSummary('set', 'm', (result(float('nan')),))]
    console = Console(width=120)
    with console.capture() as capture:
        console.print(summary_table(disparities))
    assert ' - ' in capture.get()


def test_peers_are_compared_on_a_folder_of_datasets(street: Path, stereo: Path) -> None:
    root = street.parent
    command = PairCommand(
        data=root, json=root / 'new' / 'figures.json', out=root / 'pictures', weights=()
    )
    console = Console(width=140)
    with console.capture() as capture:
        summaries = command.run(console)
    sets = [summary.set_name for summary in summaries]
    assert sets == ['kitti_consecutive'] * 2 + ['kitti_gaps_3_6'] * 2 + ['stereo'] * 2
    assert summaries[-2].mean('precision') > 0.9
    assert np.isnan(summaries[-2].auc).all()
    assert 'kitti_consecutive' in capture.get()
    content = json.loads((root / 'new' / 'figures.json').read_text())
    assert content['settings']['estimator'] == 'USAC_MAGSAC'
    assert set(content['sets']['stereo']) == {'rootsift', 'orb'}
    assert content['sets']['kitti_consecutive']['orb']['pairs'] == 4
    for name in ('rootsift_best.png', 'rootsift_worst.png', 'orb_best.png', 'recall.png'):
        assert cv2.imread(str(root / 'pictures' / 'kitti_consecutive' / name)) is not None
    assert not (root / 'pictures' / 'stereo' / 'recall.png').exists()


def test_the_same_command_gives_the_same_figures(street: Path) -> None:
    def errors() -> list[float]:
        command = PairCommand(data=street, weights=(), peers=('orb',))
        summaries = command.run(Console(quiet=True))
        return [result.pose_error for summary in summaries for result in summary.results]

    assert errors() == errors()


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        (['--weights', '--peers', 'surf'], "unknown peer 'surf'"),
        (['--weights', '--peers'], 'nothing to evaluate'),
        (['--sets', 'moon'], "no set 'moon'"),
        (['--longer-side', '0'], 'longer_side is at least 32 px, not 0'),
        (['--max-pairs', '-1'], 'max_pairs is 0 (for all) or more'),
    ],
)
def test_wrong_arguments_are_explained(
    street: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert main(['evaluate-pairs', '--data', str(street), *arguments]) == 1
    assert problem in capsys.readouterr().err


def test_weights_are_rows_of_the_table(street: Path) -> None:
    pytest.importorskip('torch', reason='torch is not installed')
    command = PairCommand(
        data=street, weights=('lite',), peers=(), sets=('*consecutive',), device='cpu'
    )
    summaries = command.run(Console(quiet=True))
    assert [summary.matcher for summary in summaries] == ['lite']
