"""`loftr-ros train`: train from photographs, or fine-tune on sequences with depth and poses."""

from __future__ import annotations

import argparse
from pathlib import Path

from loftr_ros.commands.posed_frames import posed_frames
from loftr_ros.texts import say

LISTS = 'exclude', 'sequences', 'reconstructions'
"""Options that take several values."""


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        'Flags go before the values of --config; docs/training.md lists all options.'
    )
    parser.argument_default = argparse.SUPPRESS
    parser.add_argument(
        'photographs', type=Path, nargs='?', default=None, help='folder of pictures'
    )
    parser.add_argument('--config', type=Path, help='YAML or JSON file of options')
    parser.add_argument('-o', '--output', type=Path, help='folder of the run; default: training')
    parser.add_argument('--sequences', type=Path, nargs='+', help='datasets or bags, depth + poses')
    parser.add_argument('--reconstructions', type=Path, nargs='+', help='COLMAP workspaces, scenes')
    parser.add_argument('--average-decay', type=float, help='of the moving average of the weights')
    parser.add_argument('--sequence-share', type=float, help='share of real pairs')
    parser.add_argument('--init', help='weights to start from, such as lite')
    parser.add_argument('--resume', type=Path, help='checkpoint to go on from')
    parser.add_argument('--steps', type=int, help='in total, those of earlier pieces included')
    parser.add_argument('--batch', type=int, help='pairs per step')
    parser.add_argument('--width', type=int, help='of the images, px')
    parser.add_argument('--height', type=int, help='of the images, px')
    parser.add_argument('--learning-rate', type=float)
    parser.add_argument('--warmup-steps', type=int)
    parser.add_argument('--decay-steps', type=int)
    parser.add_argument('--fine-matches', type=int, help='windows per pair')
    parser.add_argument(
        '--fine-every', type=int, help='steps from one with the fine loss to the next'
    )
    parser.add_argument('--fine-weight', type=float, help='of the fine loss')
    parser.add_argument('--loss-power', type=float, help='q of the coarse loss; 0: focal')
    parser.add_argument('--every', type=int, help='steps between reports')
    parser.add_argument('--keep-every', type=int, help='steps between checkpoints that are kept')
    parser.add_argument('--validation-pairs', type=int, help='held-out pairs of a report')
    parser.add_argument('--tensorboard', action='store_true', help='figures for TensorBoard, too')
    parser.add_argument('--minutes', type=float, help='stop (and save) after; 0: never')
    parser.add_argument('--seed', type=int)
    parser.add_argument('--device', help='cpu, cuda or cuda:N')
    parser.add_argument(
        '--float32', dest='mixed_precision', action='store_false', help='no mixed precision'
    )
    parser.add_argument('--exclude', nargs='*', help='words in names of files to skip')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.evaluation.matchers.pose_figures import pose_figures
    from loftr_ros.training.configuration import read_options
    from loftr_ros.training.reconstructions import read_reconstructions
    from loftr_ros.training.train import Trainer

    given = {k: v for k, v in vars(options).items() if k not in ('command', 'run', 'config')}
    # A positional argument is there even where it is not given.
    if given['photographs'] is None:
        del given['photographs']
    given |= {k: tuple(given[k]) for k in LISTS if k in given}
    train_options = read_options(getattr(options, 'config', None), given)
    sequences = [posed_frames(path) for path in train_options.sequences]
    models = [one for path in train_options.reconstructions for one in read_reconstructions(path)]
    trainer = Trainer(
        train_options, sequences=sequences, reconstructions=models, pose_measure=pose_figures
    )
    trainer.run()
    say(f'weights: {trainer.export()}')
    return 0
