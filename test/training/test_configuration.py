"""One file says what a training run is, and says clearly what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loftr_ros.commands.main import main
from loftr_ros.matching.weights import load_weights
from loftr_ros.training.configuration import read_options, write_options
from loftr_ros.training.options import TrainOptions
from loftr_ros.training.progress import read_rows

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_and_flags_make_the_options(tmp_path: Path) -> None:
    file = tmp_path / 'run.yaml'
    file.write_text(
        'photographs: pictures\nsequences: [/data/robot]\nsteps: 500\nlearning_rate: 1\n'
        'exclude: blurred\nmixed_precision: false\n'
    )

    options = read_options(file, {'steps': 900})

    assert options.photographs == tmp_path / 'pictures'
    assert [str(path) for path in options.sequences] == ['/data/robot']
    assert (options.steps, options.learning_rate) == (900, 1.0)
    assert (options.exclude, options.mixed_precision) == (('blurred',), False)
    assert options.output.name == 'training'


def test_json_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / 'run.json'
    file.write_text(json.dumps({'photographs': '/p', 'init': None, 'batch': 4}))

    assert read_options(file, {}).batch == 4


def test_options_are_written_as_they_are_read(tmp_path: Path) -> None:
    options = TrainOptions(
        photographs=tmp_path / 'p',
        output=tmp_path / 'o',
        sequences=(tmp_path / 's',),
        init='lite',
        exclude=('a', 'b'),
    )
    write_options(options, tmp_path / 'options.yaml')

    assert read_options(tmp_path / 'options.yaml', {}) == options


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('photograph: p', 'unknown photograph; there are photographs, output'),
        ('steps: many', "steps is 'many', expected int"),
        ('steps: true', 'steps is True, expected int'),
        ('batch: 0', 'batch must be at least 1'),
        ('tensorboard: 1', 'tensorboard is 1, expected bool'),
        ('exclude: [1]', 'exclude is 1, expected str'),
        ('photographs: 3', 'photographs is 3, expected Path'),
        ('sequence_share: 0', 'sequence_share must be within'),
        ('loss_power: 2', 'loss_power must be within'),
        ('[1, 2', 'neither YAML nor JSON'),
        ('- steps', 'expected "name: value" lines'),
        ('', 'expected "name: value" lines'),
        ('steps: 3', 'nothing to train on'),
    ],
)
def test_a_wrong_configuration_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    (tmp_path / 'run.yaml').write_text(text)

    assert main(['train', '--config', str(tmp_path / 'run.yaml')]) == 1
    assert problem in capsys.readouterr().err


def test_the_command_trains_and_writes_weights(
    tmp_path: Path, photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / 'run.yaml').write_text(
        f'photographs: {photographs.name}\noutput: run\nsteps: 9\nbatch: 2\nwidth: 96\n'
        'height: 64\nvalidation_pairs: 4\ninit: lite\n'
    )

    assert main(['train', '--config', str(tmp_path / 'run.yaml'), '--steps', '2']) == 0

    assert 'auc_10' in capsys.readouterr().out
    assert [row['step'] for row in read_rows(tmp_path / 'run' / 'progress.csv')] == [2]
    assert load_weights(tmp_path / 'run' / 'weights.safetensors').network.config.sigma_scale > 0
    assert read_options(tmp_path / 'run' / 'options.yaml', {}).steps == 2


def test_a_missing_configuration_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['train', '--config', str(tmp_path / 'none.yaml')]) == 1
    assert 'none.yaml: the configuration cannot be read' in capsys.readouterr().err


@given(st.binary(max_size=60))
def test_no_file_leads_to_anything_but_options_or_a_reason(content: bytes) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / 'run.yaml'
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r'run\.yaml|nothing to train on'):
            read_options(file, {})
