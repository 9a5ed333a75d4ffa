"""`loftr-ros match`: match two pictures and draw the matches."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from loftr_ros.commands.arguments import add_backend_arguments
from loftr_ros.texts import say

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def add(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument('image0', type=Path, help='reference picture')
    parser.add_argument('image1', type=Path, help='query picture')
    parser.add_argument('-o', '--output', type=Path, default=Path('matches.png'))
    parser.add_argument('--weights', default='lite', help='a name (`loftr-ros weights`) or a file')
    parser.add_argument('--configuration', help='of a weights file that does not carry its own')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--longer-side', type=int, default=640, help='px; 0 keeps the size')
    parser.add_argument('--max-pixels', type=int, help='greatest number of pixels matched')
    parser.add_argument('--max-memory', type=int, help='MB for a pair, besides the process')
    parser.add_argument('--threshold', type=float, help='smallest confidence')
    parser.add_argument(
        '--try-views',
        action=argparse.BooleanOptionalAction,
        help='rotate and zoom IMAGE1 where it hardly matches; default: with backend torch',
    )
    parser.add_argument('--mask0', default='', help='picture, dark where IMAGE0 may not match')
    parser.add_argument('--mask1', default='', help='the same for IMAGE1')
    add_backend_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    import numpy as np

    from loftr_ros.data.images import read_image
    from loftr_ros.matching.matcher import Matcher
    from loftr_ros.settings.masks import read_mask
    from loftr_ros.visualization.matches import draw_matches

    images = [read_image(options.image0), read_image(options.image1)]
    masks = [read_mask(name, getattr(options, name)) for name in ('mask0', 'mask1')]
    try_views = options.try_views
    matcher = Matcher(
        options.weights,
        configuration=options.configuration,
        device=options.device,
        longer_side=options.longer_side or None,
        max_pixels=options.max_pixels,
        max_memory=options.max_memory,
        confidence_threshold=options.threshold,
        try_views=options.backend == 'torch' if try_views is None else try_views,
        backend=options.backend,
        providers=options.providers,
    )
    for shape in dict.fromkeys(image.shape[:2] for image in images):
        size = matcher.network_size(*shape)
        if size.limit in ('max_pixels', 'max_memory'):
            say(str(size), error=True)
    features = [matcher.encode(*pair) for pair in zip(images, masks, strict=True)]
    matches = matcher.match(features[0], features[1])
    picture = draw_matches(images[0], images[1], matches)
    _write(options.output, picture[..., ::-1])
    median = f', median confidence {np.median(matches.confidence):.2f}' if len(matches) else ''
    rotated = f', query rotated by {matches.rotation} degrees' if matches.rotation else ''
    rotated += f', query zoomed by {matches.zoom:.2g}' if matches.zoom != 1 else ''
    say(f'{len(matches)} matches{median}{rotated}: {options.output}')
    return 0


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture in the format that its name asks for.

    Raises:
        ValueError: OpenCV knows no such format.
        OSError: The file cannot be written.
    """
    import cv2

    try:
        written = cv2.imwrite(str(path), picture)
    except cv2.error as error:
        suffix = path.suffix or 'a name without a suffix'
        raise ValueError(f'{path}: no picture can be written as {suffix}; try .png') from error
    if not written:
        raise OSError(f'{path}: the picture could not be written; does its folder exist?')
