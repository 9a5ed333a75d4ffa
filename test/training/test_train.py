import csv
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from loftr_ros.data.depth_frames import read_depth_frames
from loftr_ros.evaluation.matchers.calibration import measure_calibration
from loftr_ros.evaluation.matchers.pose_figures import pose_figures
from loftr_ros.matching.weights import load_weights, training_pairs
from loftr_ros.rendering.room import render_room_sequence
from loftr_ros.training import sources
from loftr_ros.training.options import TrainOptions
from loftr_ros.training.photographs import load_bank
from loftr_ros.training.progress import read_rows
from loftr_ros.training.reconstructions import Reconstruction, split_scenes
from loftr_ros.training.sequences import PosedFrame
from loftr_ros.training.sources import CALIBRATION_SEED, TrainingData
from loftr_ros.training.train import Trainer, learning_rate, moving_average
from loftr_ros.training.validation import PosedMatches, match_held_out

DATA = Path(
    os.environ.get('LOFTR_ROS_DATA', Path(__file__).resolve().parents[3] / 'shared' / 'data')
)


def options(photographs: Path, steps: int, **changes: object) -> TrainOptions:
    values: dict[str, Any] = {'batch': 2, 'width': 96, 'height': 64, 'validation_pairs': 8}
    values |= {'steps': steps, 'every': 2, **changes}
    given = {'output': photographs.parent / 'run', **values}
    return TrainOptions(photographs=photographs, **given)


@pytest.fixture
def small_bank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, 'load_bank', lambda files: load_bank(files, 64))


@pytest.mark.usefixtures('small_bank')
def test_training_resumes_where_it_stopped(photographs: Path) -> None:
    Trainer(options(photographs, 2)).run()
    resumed = Trainer(options(photographs, 4))
    assert resumed.step == 2
    resumed.run()

    assert resumed.step == 4
    with (photographs.parent / 'run' / 'progress.csv').open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row['step'] for row in rows] == ['2', '4']
    assert all(float(row['coarse_loss']) > 0 for row in rows)


@pytest.mark.usefixtures('small_bank')
def test_a_finished_training_changes_nothing(photographs: Path) -> None:
    first = Trainer(options(photographs, 2))
    first.run()
    again = Trainer(options(photographs, 2))
    again.run()

    for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures('small_bank')
def test_trained_weights_load_into_the_matcher(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 1))
    trainer.run()

    loaded = load_weights(trainer.export())

    assert loaded.network.config.block_dims == trainer.config.block_dims


@pytest.mark.usefixtures('small_bank')
def test_sigma_is_calibrated_when_weights_are_written(photographs: Path) -> None:
    network = load_weights(Trainer(options(photographs, 1, init='lite')).export()).network
    data = TrainingData(options(photographs, 1), network.config)

    found = match_held_out(network, data.held_out(CALIBRATION_SEED), 16)

    samples = found.samples
    measured = measure_calibration('held out', samples.confidence, samples.residuals, samples.sigma)
    assert measured.sigma_ratio == pytest.approx(1, abs=0.05)


@pytest.mark.usefixtures('small_bank')
def test_a_step_lowers_the_loss_of_a_repeated_batch(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 100, warmup_steps=1, mixed_precision=False))
    pairs = next(trainer.stream(trainer.data.training(0)))
    losses = [trainer.train_step(pairs)[0] for _ in range(12)]

    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [({'width': 100}, 'multiples of 16'), ({'batch': 0}, 'batch'), ({'learning_rate': 0}, 'posi')],
)
def test_impossible_options_are_refused(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        options(tmp_path, 2, **changes)


def test_the_learning_rate_warms_up_and_decays(tmp_path: Path) -> None:
    plan = options(tmp_path, 1000, warmup_steps=10, decay_steps=100, learning_rate=1e-3)

    assert learning_rate(plan, 0) == pytest.approx(1e-4)
    assert learning_rate(plan, 500) == pytest.approx(1e-3)
    assert learning_rate(plan, 950) == pytest.approx(5e-4)
    assert learning_rate(plan, 999) == pytest.approx(1e-5)


@pytest.mark.usefixtures('small_bank')
def test_training_goes_on_from_any_checkpoint_that_was_kept(photographs: Path) -> None:
    Trainer(options(photographs, 4, keep_every=2)).run()
    kept = photographs.parent / 'run' / 'checkpoint_00000002.pt'

    other = options(photographs, 4, resume=kept)
    trainer = Trainer(replace(other, output=photographs.parent / 'other'))
    assert (trainer.step, trainer.pairs) == (2, 4)
    trainer.run()
    assert trainer.step == 4
    # A checkpoint of its own goes before the one to resume.
    assert Trainer(replace(other, output=photographs.parent / 'other')).step == 4


@pytest.mark.usefixtures('small_bank')
def test_fine_tuning_starts_from_weights(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 1, init='lite'))
    bundled = load_weights('lite').network

    assert trainer.step == 0
    assert trainer.config.confidence_knots == ()
    for a, b in zip(trainer.network.parameters(), bundled.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures('small_bank')
def test_weights_are_written_with_calibrated_confidence(photographs: Path) -> None:
    plan = options(photographs, 1, init='lite', width=160, height=128, validation_pairs=32)
    trainer = Trainer(plan)

    knots = load_weights(trainer.export()).network.config.confidence_knots

    assert len(knots) == 11
    assert knots[-1] > 0.5


@pytest.mark.usefixtures('small_bank')
def test_weights_that_are_calibrated_anew_stay_what_they_are(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 0, init='lite'))
    trainer.run()
    path = trainer.export()

    found, bundled = load_weights(path).network, load_weights('lite').network
    assert training_pairs(path) == training_pairs('lite')
    assert found.config != bundled.config
    for name, tensor in bundled.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor)


@pytest.mark.usefixtures('small_bank')
def test_poses_of_held_out_pairs_are_measured_by_what_is_handed_in(photographs: Path) -> None:
    def measure(posed: Sequence[PosedMatches]) -> dict[str, float]:
        return {'pairs_seen': float(len(posed)), **pose_figures(posed)}

    trainer = Trainer(options(photographs, 2, init='lite'), pose_measure=measure)
    trainer.run()

    row = read_rows(photographs.parent / 'run' / 'progress.csv')[-1]
    assert row['pairs_seen'] == 8
    assert 0 <= row['auc_5'] <= row['auc_10'] <= row['auc_20'] <= 1
    assert row['pairs_per_second'] > 0


def test_training_on_a_sequence_lowers_the_loss(tmp_path: Path) -> None:
    frames = [
        PosedFrame(view.image, view.depth, view.matrix, view.world_T_camera)
        for view in islice(render_room_sequence(32, 128, 96), 0, None, 3)
    ]
    plan = TrainOptions(
        photographs=None,
        output=tmp_path / 'run',
        sequences=(tmp_path,),
        batch=2,
        width=128,
        height=96,
        warmup_steps=1,
        validation_pairs=4,
    )
    trainer = Trainer(plan, sequences=[frames])
    pairs = next(trainer.stream(trainer.data.training(0)))
    losses = [trainer.train_step(pairs)[0] for _ in range(12)]

    assert len(pairs.labels.batch) > 20
    assert losses[-1] < losses[0]
    # It is a share of labels: NaN where the frames held out have none.
    assert 0 <= trainer.validate()['recall'] <= 1


def test_fine_tuning_on_a_real_sequence_lowers_its_loss(tmp_path: Path) -> None:
    path = DATA / 'sevenscenes'
    if not path.is_dir():
        pytest.skip(f'{path} is absent; set LOFTR_ROS_DATA to the folder of real data')
    frames = [PosedFrame(*frame) for frame in read_depth_frames(path, limit=13)]
    plan = TrainOptions(
        photographs=None,
        output=tmp_path / 'run',
        sequences=(path,),
        init='lite',
        batch=2,
        width=160,
        height=128,
        warmup_steps=1,
        learning_rate=3e-4,
    )
    trainer = Trainer(plan, sequences=[frames])
    pairs = next(trainer.stream(trainer.data.training(0)))
    losses = [trainer.train_step(pairs)[0] for _ in range(10)]

    assert len(pairs.labels.batch) > 20
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (b'nothing', 'not a checkpoint'),
        ({'network': {}}, 'not a checkpoint of a training; weights go to --init'),
        (None, 'cannot be read'),
    ],
)
def test_a_wrong_checkpoint_is_explained(
    tmp_path: Path, content: bytes | dict[str, Any] | None, reason: str
) -> None:
    file = tmp_path / 'state.pt'
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)

    with pytest.raises(ValueError, match=reason):
        Trainer(options(tmp_path, 2, resume=file))


def test_a_device_that_is_not_here_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device 'quantum': expected cpu"):
        Trainer(options(tmp_path, 2, device='quantum'))


def test_the_average_forgets_where_training_started() -> None:
    update = moving_average(0.9)
    mean, count = [torch.zeros(3), torch.tensor(0)], [torch.ones(3), torch.tensor(7)]

    update(mean, count, 0)
    assert mean[0].tolist() == pytest.approx([0.9] * 3)
    assert mean[1].item() == 7
    update(mean, [torch.zeros(3), torch.tensor(8)], 1000)
    assert mean[0].tolist() == pytest.approx([0.81] * 3)


@pytest.mark.usefixtures('small_bank')
def test_the_moving_average_is_what_is_exported_and_resumed(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 4, average_decay=0.9))
    trainer.run()

    exported = load_weights(trainer.export()).network.state_dict()
    resumed = Trainer(options(photographs, 4, average_decay=0.9))

    name = 'backbone.conv1.weight'
    averaged = trainer.averaged.state_dict()[name]
    assert not torch.equal(averaged, trainer.network.state_dict()[name])
    torch.testing.assert_close(exported[name], averaged.half().float())
    assert torch.equal(resumed.averaged.state_dict()[name], averaged)


@pytest.mark.usefixtures('small_bank')
def test_without_averaging_the_weights_are_exported_as_they_are(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 3, average_decay=0.0))
    trainer.run()

    for a, b in zip(trainer.averaged.parameters(), trainer.network.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures('small_bank')
def test_steps_without_the_fine_loss_leave_the_fine_stage_alone(photographs: Path) -> None:
    trainer = Trainer(options(photographs, 8, fine_every=4, learning_rate=0.1, warmup_steps=1))
    source = trainer.data.training(0)
    changed = []
    for _ in range(5):
        before = [p.detach().clone() for p in trainer.network.loftr_fine.parameters()]
        losses = trainer.train_step(source.draw(2))
        after = list(trainer.network.loftr_fine.parameters())
        changed.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
        assert np.isnan(losses[1]) == (trainer.step % 4 != 0)
        trainer.step += 1

    assert changed == [True, False, False, False, True]


def room(scene: str, seed: int) -> Reconstruction:
    views = render_room_sequence(6, 96, 64, seed=seed, rate_hz=4)
    frames = (PosedFrame(v.image, v.depth, v.matrix, v.world_T_camera) for v in views)
    return Reconstruction(scene, tuple(frames))


@pytest.mark.usefixtures('small_bank')
def test_scenes_held_out_are_validated_on_and_not_learnt_from(photographs: Path) -> None:
    rooms = [room('hall', 0), room('attic', 1), room('cellar', 2)]
    paths = tuple(Path(one.scene) for one in rooms)
    trainer = Trainer(options(photographs, 2, reconstructions=paths), reconstructions=rooms)
    trainer.run()

    (row,) = read_rows(photographs.parent / 'run' / 'progress.csv')
    assert len(trainer.data.held_out_scenes) == 1
    assert sorted(trainer.data.scenes + trainer.data.held_out_scenes) == ['attic', 'cellar', 'hall']
    assert {'precision_4px', 'real_precision_4px', 'recall', 'real_recall'} <= row.keys()


def test_training_on_reconstructions_alone_is_possible(tmp_path: Path) -> None:
    rooms = [room('hall', 0), room('attic', 1)]
    paths = tuple(Path(one.scene) for one in rooms)
    values = options(tmp_path, 2, reconstructions=paths, output=tmp_path / 'run')
    Trainer(replace(values, photographs=None), reconstructions=rooms).run()

    assert (tmp_path / 'run' / 'checkpoint.pt').exists()


@pytest.mark.usefixtures('small_bank')
def test_a_reconstruction_without_pairs_is_named(photographs: Path) -> None:
    values = options(photographs, 2, reconstructions=(Path('hall'),))
    trainer = Trainer(values, reconstructions=[fragment()])

    with pytest.raises(ValueError, match='reconstruction hall: no two of the 2 frames'):
        trainer.run()


@pytest.mark.usefixtures('small_bank')
def test_a_fragment_without_pairs_is_skipped_and_said(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = options(photographs, 1, reconstructions=(Path('hall'),))
    Trainer(values, reconstructions=[room('hall', 0), fragment()]).run()

    assert 'skipped: reconstruction hall: no two of the 2 frames' in capsys.readouterr().out


@pytest.mark.usefixtures('small_bank')
def test_held_out_scenes_without_pairs_are_said_and_do_not_end_the_run(
    photographs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms = [room('hall', 0), room('attic', 1), room('cellar', 2)]
    paths = tuple(Path(one.scene) for one in rooms)
    (held_out,) = split_scenes([one.scene for one in rooms])[1]
    rooms = [fragment(one.scene) if one.scene == held_out else one for one in rooms]
    Trainer(options(photographs, 2, reconstructions=paths), reconstructions=rooms).run()

    assert f'skipped: reconstruction {held_out}: no two of' in capsys.readouterr().out
    (row,) = read_rows(photographs.parent / 'run' / 'progress.csv')
    assert 'precision_4px' in row
    assert 'real_precision_4px' not in row


def test_a_single_reconstruction_alone_leaves_nothing_to_validate_on(tmp_path: Path) -> None:
    values = options(tmp_path, 2, reconstructions=(Path('hall'),), output=tmp_path / 'run')

    with pytest.raises(ValueError, match='nothing is held out of a single reconstruction'):
        Trainer(replace(values, photographs=None), reconstructions=[room('hall', 0)])


def fragment(scene: str = 'hall') -> Reconstruction:
    """Two images that see nothing of each other's."""
    whole = room(scene, 0)
    return Reconstruction(scene, (whole.frames[0], replace_pose(whole.frames[1])))


def replace_pose(frame: PosedFrame) -> PosedFrame:
    away = frame.world_T_camera.copy()
    away[:3, 3] += 100
    return replace(frame, world_T_camera=away)
