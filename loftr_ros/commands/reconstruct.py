"""`loftr-ros reconstruct`: make a COLMAP model of photographs, to train from their pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('images', type=Path, help='folder of photographs of one scene')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder of the scene')
    parser.add_argument('--features', type=int, default=4096, help='of each photograph, at most')
    parser.add_argument('--focal', type=float, help='focal length of all photographs, px, if known')
    parser.add_argument('--threads', type=int, default=-1, help='-1: all cores')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    from loftr_ros.training.reconstruct import ReconstructionOptions, reconstruct

    how = ReconstructionOptions(options.features, options.focal, options.threads)
    sizes = reconstruct(options.images, options.output, how)
    for number, size in enumerate(sizes):
        say(f'{options.output / "sparse" / str(number)}: {size} photographs')
    return 0
