"""The table of a training run survives resuming, and new columns."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loftr_ros.commands.main import main
from loftr_ros.evaluation.matchers.pair_report import read_pair_figures
from loftr_ros.training.progress import ProgressLog, append_row, read_rows
from loftr_ros.visualization.training import training_figure

if TYPE_CHECKING:
    from pathlib import Path


def test_a_resumed_run_goes_on_with_its_table(tmp_path: Path) -> None:
    for step in (1, 2):
        ProgressLog(tmp_path).append({'step': step, 'pairs': 8 * step, 'recall': 0.5})

    assert [row['pairs'] for row in read_rows(tmp_path / 'progress.csv')] == [8, 16]


def test_a_new_column_keeps_the_old_rows(tmp_path: Path) -> None:
    table = tmp_path / 'progress.csv'
    append_row(table, {'step': 1, 'pairs': 8, 'recall': 0.5})
    append_row(table, {'step': 2, 'pairs': 16, 'recall': 0.6, 'auc_5': 0.3})
    append_row(table, {'step': 3, 'pairs': 24, 'auc_5': 0.4, 'recall': 0.7})

    assert read_rows(table) == [
        {'step': 1, 'pairs': 8, 'recall': 0.5},
        {'step': 2, 'pairs': 16, 'recall': 0.6, 'auc_5': 0.3},
        {'step': 3, 'pairs': 24, 'recall': 0.7, 'auc_5': 0.4},
    ]


def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    pytest.importorskip('tensorboard', reason='tensorboard is not installed')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = ProgressLog(tmp_path, tensorboard=True)
    for step in (10, 20):
        row = {'step': step, 'pairs': 80, 'coarse_loss': 5 / step, 'auc_5': 0.25}
        log.append({**row, 'pairs_per_second': 3.0})

    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    assert set(events.Tags()['scalars']) == {
        'training/coarse_loss',
        'validation/auc_5',
        'speed/pairs_per_second',
    }
    assert [(e.step, e.value) for e in events.Scalars('training/coarse_loss')] == [
        (10, 0.5),
        (20, 0.25),
    ]


def test_missing_tensorboard_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'torch.utils.tensorboard', None)

    with pytest.raises(ValueError, match='pip install tensorboard'):
        ProgressLog(tmp_path, tensorboard=True)


@pytest.mark.parametrize('text', ['', 'step,pairs\n', 'a,b\n1,2\n', 'step,pairs\nx,y\n', '\x00'])
def test_what_is_no_progress_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / 'table.csv').write_text(text)

    with pytest.raises(ValueError, match=r'table\.csv'):
        read_rows(tmp_path / 'table.csv')


def test_curves_are_drawn_from_tables_of_old_and_new_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for run, extra in (('old', {}), ('new', {'auc_5': 0.2, 'auc_10': 0.3, 'auc_20': 0.5})):
        for step in (1, 2, 3):
            folder = tmp_path / run
            folder.mkdir(exist_ok=True)
            row = {'step': step, 'pairs': 800 * step, 'coarse_loss': 1 / step, 'recall': 0.1 * step}
            append_row(folder / 'progress.csv', {**row, **extra})
    tables = [str(tmp_path / run / 'progress.csv') for run in ('old', 'new')]

    assert main(['training-curves', *tables, '-o', str(tmp_path / 'curves.png')]) == 0

    assert (tmp_path / 'curves.png').read_bytes().startswith(b'\x89PNG')
    runs = {run: read_rows(tmp_path / run / 'progress.csv') for run in ('old', 'new')}
    losses, _, areas = training_figure(runs).axes
    assert [line.get_label() for line in losses.lines] == ['old: coarse', 'new: coarse']
    assert np.asarray(losses.lines[0].get_xdata()).tolist() == pytest.approx([0.8, 1.6, 2.4])
    assert np.asarray(areas.lines[0].get_ydata()).tolist() == [20, 20, 20]


def test_a_missing_table_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['training-curves', str(tmp_path / 'none.csv')]) == 1
    assert 'none.csv: cannot be read' in capsys.readouterr().err


def test_weights_are_drawn_beside_their_peers_over_their_training_pairs(tmp_path: Path) -> None:
    runs = {'run': [{'pairs': 1000.0, 'coarse_loss': 1.0}]}
    content = {
        'settings': {
            'weights': {'late': {'training_pairs': 9000}, 'early': {'training_pairs': 1000}}
        },
        'mean_auc': {'late': [0.5, 0.6, 0.7], 'early': [0.1, 0.2, 0.3], 'sift': [0.6, 0.7, 0.8]},
    }
    (tmp_path / 'figures.json').write_text(json.dumps(content))

    axes = training_figure(runs, read_pair_figures(tmp_path / 'figures.json')).axes[-1]

    curve, peer = axes.lines[:2]
    assert np.asarray(curve.get_xdata()).tolist() == [1, 9]
    assert np.asarray(curve.get_ydata()).tolist() == pytest.approx([10, 50])
    assert peer.get_label() == 'sift at 5 degrees'
    assert np.asarray(peer.get_ydata()).tolist() == pytest.approx([60, 60])


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('{', 'not a file that'),
        ('[]', 'not a file that'),
        ('{"settings": {}}', 'not a file that'),
        ('{"settings": {"weights": {"w": {}}}, "mean_auc": {}}', 'no weights in it'),
    ],
)
def test_what_holds_no_figures_of_pairs_is_refused(
    tmp_path: Path, content: str, reason: str
) -> None:
    (tmp_path / 'figures.json').write_text(content)

    with pytest.raises(ValueError, match=reason):
        read_pair_figures(tmp_path / 'figures.json')
