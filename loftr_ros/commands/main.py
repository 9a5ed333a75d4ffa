"""The command line `loftr-ros`: parse, call, print.

Each command has a module of its name here, with `add(parser)` and `run(options)`. Only that of the
command that was called is imported, so that the help needs no time.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from loftr_ros.allocator import keep_freed_memory
from loftr_ros.texts import say
from loftr_ros.version import package_version
from loftr_ros.waiting import wait_briefly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COMMANDS = {
    'match': 'match two pictures and draw the matches',
    'explain': 'draw how two pictures are matched: matches, features, attention',
    'report': 'write the results of evaluate as one HTML file',
    'compare': 'put results of evaluate side by side and name regressions',
    'train': 'train from photographs, or fine-tune on sequences with depth and poses',
    'reconstruct': 'make a COLMAP model of photographs, to train from their pairs',
    'training-curves': 'draw the progress of training runs',
    'evaluate': 'run every frame of bags and datasets through the tracker, and measure',
    'evaluate-live': 'play a bag to the real node, over DDS, and compare with evaluate',
    'convert': 'make a ROS 2 bag of a dataset',
    'evaluate-pairs': 'measure relative poses on pairs of images with known truth',
    'evaluate-conditions': 'measure relative poses on pairs made hard: blur, dark, ...',
    'evaluate-calibration': 'measure what stated confidence and sigma are worth',
    'weights': 'list the weights known by name, or download some',
    'export': 'write the network as ONNX graphs, for backend onnxruntime',
    'export-matches': 'write matches and tracks of a bag or dataset as a database of COLMAP',
    'demo': 'run the node on an image sequence, over DDS, and report what it did',
}
"""What each command does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 on success, 1 on an error that the text explains."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(next(iter(words), '')).parse_args(words)
    keep_freed_memory()
    wait_briefly()
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except (ValueError, OSError) as error:
        say(f'loftr-ros {options.command}: {error}', error=True)
        return 1
    except KeyboardInterrupt:
        say(f'loftr-ros {options.command}: interrupted', error=True)
        return 130


def _parser(called: str) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the command that was called alone."""
    parser = argparse.ArgumentParser(prog='loftr-ros', description='LoFTR matching for ROS 2.')
    parser.add_argument('--version', action='version', version=f'loftr_ros {package_version()}')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        if name == called:
            module = import_module(f'loftr_ros.commands.{name.replace("-", "_")}')
            module.add(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == '__main__':
    sys.exit(main())
