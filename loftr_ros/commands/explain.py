"""`loftr-ros explain`: draw how two pictures are matched: matches, features, attention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('image0', type=Path, help='reference picture')
    parser.add_argument('image1', type=Path, help='query picture')
    parser.add_argument('-o', '--output', type=Path, default=Path('explanation'), help='folder')
    parser.add_argument(
        '--point',
        action='append',
        default=[],
        metavar='X,Y',
        help='px of the reference picture to draw the attention of; may be given again',
    )
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--configuration', help='of a weights file that does not carry its own')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--longer-side', type=int, default=640, help='px; 0 keeps the size')
    parser.add_argument('--threshold', type=float, help='smallest confidence')


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    points = [_point(text) for text in options.point]
    from loftr_ros.evaluation.matchers.explain import Explainer
    from loftr_ros.matching.matcher import Matcher

    matcher = Matcher(
        options.weights,
        configuration=options.configuration,
        device=options.device,
        longer_side=options.longer_side or None,
        confidence_threshold=options.threshold,
    )
    explainer = Explainer.of_files(options.image0, options.image1, matcher)
    written = explainer.write(options.output, points)
    say(f'{len(explainer.matches)} matches; pictures in {options.output}:')
    say('\n'.join(f'  {path.name}' for path in written))
    return 0


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split(','))
    except ValueError as error:
        raise ValueError(f'--point {text!r} is no point: write X,Y, such as 320,240') from error
    return x, y
