"""`loftr-ros export`: write the network as ONNX graphs, for backend onnxruntime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_backend_arguments
from loftr_ros.texts import say

if TYPE_CHECKING:
    import argparse


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = 'docs/export.md says how to run them, also with TensorRT on a Jetson.'
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--configuration', help='of a weights file that does not carry its own')
    parser.add_argument('-o', '--output', type=Path, required=True, help='folder')
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument(
        '--size', metavar='WxH', help='only for images matched at this size, px: best for TensorRT'
    )
    sizes.add_argument('--dynamic', action='store_true', help='for images of any size (default)')
    parser.add_argument('--opset', type=int, default=18, help='of the graphs; default: 18')
    parser.add_argument(
        '--check',
        nargs=2,
        action='append',
        default=[],
        type=Path,
        metavar=('IMAGE0', 'IMAGE1'),
        help='match this pair by torch, too, and fail if it differs; may be given again',
    )
    add_backend_arguments(parser, backend=False)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    size = None if options.size is None else _size(options.size)
    from loftr_ros.matching.export import export

    manifest = export(
        options.weights,
        options.output,
        configuration=options.configuration,
        size=size,
        opset=options.opset,
    )
    sizes = 'any size' if manifest.size is None else f'{manifest.size[0]}x{manifest.size[1]} px'
    say(f'{manifest.weights_name} for images of {sizes}, opset {manifest.opset}: {options.output}')
    return _check(options, size) if options.check else 0


def _check(options: argparse.Namespace, size: tuple[int, int] | None) -> int:
    from loftr_ros.data.images import read_image
    from loftr_ros.matching.export_check import check_export
    from loftr_ros.matching.matcher import Matcher

    longer_side = 640 if size is None else max(size)
    original = Matcher(
        options.weights,
        configuration=options.configuration,
        device='cpu',
        precision='float32',
        longer_side=longer_side,
    )
    exported = Matcher(
        options.output,
        backend='onnxruntime',
        providers=options.providers,
        device='cpu',
        longer_side=longer_side,
    )
    holds = True
    for pair in options.check:
        found = check_export(original, exported, *map(read_image, pair))
        say(f'{pair[0].name} {pair[1].name}: {found}{"" if found.holds else ": NOT THE SAME"}')
        holds &= found.holds
    return 0 if holds else 1


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match:
        raise ValueError(f'--size {text!r}: write WIDTHxHEIGHT, such as 640x480')
    return int(match[1]), int(match[2])
