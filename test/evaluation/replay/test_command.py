"""The command `evaluate`: the folder it writes, what it refuses, and its exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from loftr_ros.commands.main import main
from loftr_ros.data.errors import DatasetError
from loftr_ros.evaluation.records.results import open_run
from loftr_ros.evaluation.replay import command as evaluate_command
from loftr_ros.evaluation.replay.command import EvaluateCommand
from loftr_ros.evaluation.replay.inputs import names_of, read_list
from loftr_ros.evaluation.replay.task import ReplayOptions
from loftr_ros.settings.parameters import NodeParameters
from test.helpers.known_world import known_matcher, results_of, write_known_bag

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the matches of the known world instead of LoFTR's."""
    monkeypatch.setattr(evaluate_command, 'load_matcher', known_matcher)


def evaluate(
    *inputs: Path,
    output: Path,
    parameters: NodeParameters | None = None,
    **options: Any,  # noqa: ANN401
) -> int:
    command = EvaluateCommand(
        inputs=inputs,
        output=output,
        parameters=parameters or NodeParameters(),
        options=ReplayOptions(**options),
        jobs=1,
    )
    return command.run(Console(quiet=True))


def test_a_run_says_what_it_was_made_with(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3, 4])
    parameters = NodeParameters().with_values({'keyframe.min_overlap': 0.4})
    assert evaluate(bag, output=tmp_path / 'run', parameters=parameters) == 0
    run = open_run(tmp_path / 'run')
    assert run.info.inputs == (str(bag),)
    assert run.info.parameters['keyframe.min_overlap'] == 0.4
    assert run.info.parameters['tracker']['min_overlap'] == 0.4
    assert run.info.weights_sha256 == '0' * 64
    assert run.info.threads == 1
    assert {'loftr_ros', 'python', 'torch', 'evo'} <= run.info.versions.keys()
    assert [sequence.name for sequence in run.sequences] == ['bag']
    assert run.summary()['total']['states'] == {'ok': 3}
    timing = run.timing()['sequences']['bag']
    assert timing['steps_s']['total']['count'] == 3
    assert timing['frames_per_second'] > 0


def test_a_repeated_run_differs_only_in_its_times(tmp_path: Path) -> None:
    bags = [write_known_bag(tmp_path / name, [1, 2, 3, 4]) for name in ('a', 'b')]
    for name in ('first', 'second'):
        assert evaluate(*bags, output=tmp_path / name) == 0
    assert results_of(tmp_path / 'first') == results_of(tmp_path / 'second')
    files = {path.name for path in (tmp_path / 'first').rglob('*') if path.is_file()}
    compared = {path.rpartition('/')[2] for path in results_of(tmp_path / 'first')}
    assert files - compared == {'timing.json', 'timing.jsonl', 'report.html'}


def test_a_failed_input_does_not_end_the_run(tmp_path: Path) -> None:
    good = write_known_bag(tmp_path / 'good', [1, 2, 3])
    assert evaluate(tmp_path / 'absent', good, output=tmp_path / 'run') == 1
    summary = open_run(tmp_path / 'run').summary()
    assert summary['total']['failed'] == ['absent']
    assert 'no such file' in summary['sequences']['absent']['error']
    assert summary['sequences']['good']['status'] == 'complete'


def test_results_are_never_overwritten_or_mixed(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    evaluate(bag, output=tmp_path / 'run')
    with pytest.raises(DatasetError, match=r'holds results of a run.*--resume'):
        evaluate(bag, output=tmp_path / 'run')
    parameters = NodeParameters().with_values({'pose.min_support': 30.0})
    with pytest.raises(DatasetError, match='has other parameters'):
        evaluate(bag, output=tmp_path / 'run', resume=True, parameters=parameters)
    with pytest.raises(DatasetError, match='holds something else'):
        evaluate(bag, output=bag)


def test_resume_adds_what_is_new(tmp_path: Path) -> None:
    first = write_known_bag(tmp_path / 'first', [1, 2, 3])
    evaluate(first, output=tmp_path / 'run')
    second = write_known_bag(tmp_path / 'second', [1, 2, 3])
    assert evaluate(first, second, output=tmp_path / 'run', resume=True) == 0
    assert [one.name for one in open_run(tmp_path / 'run').sequences] == ['first', 'second']


def test_equal_names_are_numbered_and_lists_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / 'x' / 'run').mkdir(parents=True)
    (tmp_path / 'y' / 'run').mkdir(parents=True)
    (tmp_path / 'bags.txt').write_text('# two\nx/run\n\ny/run\n')
    paths = read_list(tmp_path / 'bags.txt')
    assert paths == [tmp_path / 'x' / 'run', tmp_path / 'y' / 'run']
    assert names_of(paths) == ['run', 'run_2']
    (tmp_path / 'bags.txt').write_text('# none\n')
    with pytest.raises(DatasetError, match='lists no bags'):
        read_list(tmp_path / 'bags.txt')


def test_the_command_line_says_what_it_chose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    assert main(['evaluate', str(bag), '-o', str(tmp_path / 'run'), '--frames', '2']) == 0
    printed = capsys.readouterr().out
    assert 'images /camera/image_raw; calibration /camera/camera_info' in printed
    assert 'ground truth /ground_truth/pose' in printed
    assert open_run(tmp_path / 'run').summary()['total']['frames'] == 2


@pytest.mark.parametrize(
    ('arguments', 'problem'),
    [
        ([], 'there is nothing to evaluate'),
        (['bag', '--frames', '1'], '--frames is 1'),
        (['bag', '-p', 'pose.min_support'], 'write NAME:=VALUE'),
        (
            ['bag', '-p', 'min_suport:=20'],
            'no parameter min_suport; did you mean pose.min_support?',
        ),
        (['bag', '-p', 'matcher.max_matches:=many'], 'matcher.max_matches must be of type int'),
        (['bag', '-p', 'max_matches:=20'], 'max_matches is called matcher.max_matches since'),
        (['bag', '-p', 'pose.min_support:=-1.0'], 'pose.min_support must be between 0'),
        (['--bags', 'absent.txt'], 'absent.txt: the file cannot be read'),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: list[str], problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(['evaluate', *arguments, '-o', str(tmp_path / 'run')]) == 1
    assert problem in capsys.readouterr().err


WITHOUT_ROS = (
    'import sys; sys.modules.update(dict.fromkeys(["rclpy", "sensor_msgs", "std_msgs"])); '
    'from loftr_ros.commands.main import main; sys.exit(main(sys.argv[1:]))'
)


def test_without_ros_ctrl_c_leaves_valid_results(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', list(range(1, 200)))
    command = [sys.executable, '-c', WITHOUT_ROS, 'evaluate', str(bag), '-o']
    command += [str(tmp_path / 'run'), '--resume', '-p', 'matcher.longer_side:=64']
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        frames = tmp_path / 'run' / 'sequences' / 'bag' / 'frames.jsonl'
        while not frames.exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output = process.communicate()[0].decode()
    assert process.returncode == 130, output
    assert 'Traceback' not in output
    assert '--resume goes on' in output
    run = open_run(tmp_path / 'run')
    assert run.sequences[0].info.status == 'interrupted'
    assert run.summary()['total']['frames'] == len(run.sequences[0].frames()) < 199
    assert json.loads((tmp_path / 'run' / 'run.json').read_text())['weights'] == 'lite'


def test_the_mode_may_be_given_as_a_parameter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    assert main(['evaluate', str(bag), '-o', str(tmp_path / 'run'), '-p', 'mode:=rgbd']) == 1
    assert open_run(tmp_path / 'run').sequences[0].info.mode == 'rgbd'
    assert main(['evaluate', str(bag), '-o', str(tmp_path / 'b'), '-p', 'mode:=pair']) == 1
    assert 'mode must be one of mono, stereo, rgbd' in capsys.readouterr().err


def test_a_parameter_that_a_replay_cannot_use_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ['evaluate', 'bag', '-o', str(tmp_path / 'run'), '-p', 'odometry.scale:=twist']
    assert main(arguments) == 1
    assert 'odometry.scale is twist: a replay reads no speed' in capsys.readouterr().err


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    bag = write_known_bag(tmp_path / 'bag', [1, 2, 3])
    (tmp_path / 'run').mkdir()
    with (
        evaluate_command.locked(tmp_path / 'run'),
        pytest.raises(DatasetError, match='another run writes to this folder'),
    ):
        evaluate(bag, output=tmp_path / 'run')
    assert evaluate(bag, output=tmp_path / 'run') == 0


def test_places_are_of_one_input_and_a_file_that_cannot_be_used_ends_the_run(
    tmp_path: Path,
) -> None:
    bags = [write_known_bag(tmp_path / name, [1, 2, 3]) for name in ('a', 'b')]
    file = tmp_path / 'places.safetensors'
    with pytest.raises(ValueError, match='--save-places takes one input'):
        evaluate(*bags, output=tmp_path / 'run', save_places=file)
    with pytest.raises(ValueError, match='No such file'):
        evaluate(*bags, output=tmp_path / 'run', places=file)
    assert not (tmp_path / 'run' / 'run.json').exists()
