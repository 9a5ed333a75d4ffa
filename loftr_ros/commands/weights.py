"""`loftr-ros weights`: which weights there are, where they are, and how to get them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse

    from loftr_ros.matching.catalogue import Checkpoint


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('--download', metavar='NAME', help='fetch these weights into the cache')
    parser.add_argument(
        '--accept-licence',
        action='store_true',
        help='also weights for which their publisher states no licence',
    )


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    # Imports torch, which takes a second.
    from loftr_ros.matching.catalogue import OFFICIAL
    from loftr_ros.matching.weights import find_weights

    if options.download is not None:
        say(str(find_weights(options.download, accept_licence=options.accept_licence)))
        return 0
    bundled = find_weights('lite')
    say(f'lite       {bundled.stat().st_size / 1e6:3.0f} MB  licence of this package')
    say(f'           {bundled}')
    for name, checkpoint in OFFICIAL.items():
        licence = checkpoint.licence or 'no licence stated: needs --accept-licence'
        say(f'{name:<10} {checkpoint.megabytes:3} MB  {licence}')
        say(f'           {_state(checkpoint)}')
    return 0


def _state(checkpoint: Checkpoint) -> str:
    from loftr_ros.matching.catalogue import cache_folder
    from loftr_ros.matching.weights import cached_problem

    path = cache_folder() / checkpoint.file_name
    if not path.is_file():
        return f'missing: {path}, from {checkpoint.url}'
    problem = cached_problem(checkpoint)
    return f'{path}: {problem}' if problem else str(path)
