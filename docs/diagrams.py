"""Draw the diagrams of the docs as SVG: `python docs/diagrams.py` writes docs/images/*.svg.

The arrows of the house are those of the imports, read by grimp (it comes with import-linter).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / 'docs' / 'images'

# One file serves light and dark pages: boxes are filled, lines and texts beside them are mid-grey.
STYLE = """
text{font:14px sans-serif;fill:#1b2733;text-anchor:middle}
.title{font-weight:bold}
.small{font-size:12px}
.note{font-size:12px;fill:#6b7885}
.ros rect{fill:#d7e8f7;stroke:#3778ad}
.core rect{fill:#dcf0de;stroke:#3c8a46}
.tool rect{fill:#f6ead2;stroke:#a9803a}
.group{fill:none;stroke:#8a97a5;stroke-dasharray:5 4}
line,polyline{stroke:#6b7885;stroke-width:1.5;fill:none;marker-end:url(#tip)}
#tip path{fill:#6b7885}
"""
TIP = (
    '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
    'orient="auto"><path d="M0 0L10 5L0 10z"/></marker>'
)


@dataclass(frozen=True)
class Box:
    """A box with a title and lines of text.

    Attributes:
        x: Centre, px.
        y: Centre, px.
        width: Width, px.
        title: Printed bold.
        lines: Below it.
        kind: Colour: ros, core or tool.
    """

    x: int
    y: int
    width: int
    title: str
    lines: tuple[str, ...] = ()
    kind: str = 'core'

    @property
    def height(self) -> int:
        """Height, px."""
        return 30 + 16 * len(self.lines)

    def svg(self) -> str:
        """Return the elements."""
        left, top = self.x - self.width // 2, self.y - self.height // 2
        texts = [f'<text class="title" x="{self.x}" y="{top + 20}">{escape(self.title)}</text>']
        for row, line in enumerate(self.lines):
            y = top + 38 + 16 * row
            texts.append(f'<text class="small" x="{self.x}" y="{y}">{escape(line)}</text>')
        shape = f'<rect x="{left}" y="{top}" width="{self.width}" height="{self.height}" rx="6"/>'
        return f'<g class="{self.kind}">{shape}{"".join(texts)}</g>'


def picture(width: int, height: int, title: str, elements: Iterable[str]) -> str:
    """Return an SVG file."""
    return '\n'.join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
            f' width="{width}" height="{height}" role="img" aria-label="{escape(title)}">',
            f'<style>{STYLE}</style><defs>{TIP}</defs>',
            f'<rect width="{width}" height="{height}" fill="#ffffff" rx="8"/>',
            *elements,
            '</svg>\n',
        ]
    )


def arrow(x0: int, y0: int, x1: int, y1: int) -> str:
    """Return a straight arrow."""
    return f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}"/>'


def note(x: int, y: int, text: str) -> str:
    """Return a text beside the boxes."""
    return f'<text class="note" x="{x}" y="{y}">{escape(text)}</text>'


INPUTS = (
    Box(110, 75, 190, 'images', ('Image or CompressedImage', 'one, left + right, or two'), 'ros'),
    Box(110, 160, 190, 'camera_info', ('CameraInfo',), 'ros'),
    Box(110, 230, 190, 'depth', ('mode rgbd',), 'ros'),
    Box(110, 300, 190, 'speed, imu, tf2, ~/set_pose', ('scale, rates, place of the base',), 'ros'),
    Box(
        110,
        385,
        190,
        'services',
        ('~/match_images, ~/reset,', '~/save_places, ~/load_places'),
        'ros',
    ),
)
OUTPUTS = (
    Box(910, 75, 200, '~/correspondences', ('points, sigma, track ids',), 'ros'),
    Box(910, 145, 200, '~/relative_pose', ('pose, covariance, state; loops',), 'ros'),
    Box(910, 215, 200, '~/odometry, ~/path, TF', ('where motion is in metres',), 'ros'),
    Box(910, 285, 200, '~/matches_image', ('while someone subscribes',), 'ros'),
    Box(910, 385, 200, '/diagnostics', ('rates, latency, states,', 'silent topics'), 'ros'),
)
CALLBACKS = Box(
    330,
    190,
    170,
    'callbacks',
    ('put messages of one', 'moment together,', 'newest frame waits,', 'older ones are dropped'),
    'ros',
)
SESSION = (
    Box(610, 100, 220, 'masks', ('what never matches is left out',)),
    Box(610, 170, 220, 'matcher', ('LoFTR: encode once, match',)),
    Box(610, 240, 220, 'pose', ('likelihood, covariance, checks',)),
    Box(610, 310, 220, 'tracks and keyframes', ('ids, states',)),
    Box(610, 380, 220, 'odometry, then loops', ('chain of poses; places seen again',)),
)


def node_svg() -> str:
    """Return the diagram of the node: inputs, the worker, outputs."""
    return picture(1030, 470, 'The node: inputs, worker, outputs', _node())


def _node() -> Iterator[str]:
    for x, text in ((110, 'subscribed'), (330, 'executor, one thread'), (910, 'published')):
        yield note(x, 28, text)
    yield note(610, 28, 'worker, one thread: Session.process(frame)')
    yield '<rect class="group" x="480" y="42" width="260" height="390" rx="8"/>'
    for box in (*INPUTS, CALLBACKS, *SESSION, *OUTPUTS):
        yield box.svg()
    for box in INPUTS:
        yield arrow(205, box.y, 243, 190 + (box.y - 230) // 5)
    yield arrow(415, 190, 478, 190)
    for above, below in pairwise(SESSION):
        yield arrow(610, above.y + above.height // 2, 610, below.y - below.height // 2)
    for box in OUTPUTS[:-1]:
        yield arrow(742, 237 + (box.y - 180) // 5, 808, box.y)
    yield '<polyline points="330,238 330,450 770,450 770,385 808,385"/>'


ROOMS = {
    'commands': Box(480, 45, 250, 'commands', ('the command line loftr-ros',), 'tool'),
    'evaluation': Box(330, 135, 250, 'evaluation', ('replay, reports, live runs',), 'tool'),
    'training': Box(700, 135, 250, 'training', ('pairs with truth, losses',), 'tool'),
    'ros': Box(150, 235, 220, 'ros', ('the node; alone imports rclpy',), 'ros'),
    'data': Box(460, 235, 220, 'data', ('datasets and bags',), 'tool'),
    'rendering': Box(770, 235, 220, 'rendering', ('images with truth',), 'tool'),
    'settings': Box(150, 335, 220, 'settings', ('parameters',), 'ros'),
    'codecs': Box(400, 335, 220, 'codecs', ('messages to plain data',), 'ros'),
    'visualization': Box(650, 335, 220, 'visualization', ('pictures',), 'tool'),
    'frontend': Box(400, 435, 260, 'frontend', ('Session: tracks, odometry, loops',)),
    'matching': Box(260, 530, 220, 'matching', ('LoFTR',)),
    'geometry': Box(540, 530, 220, 'geometry', ('poses, covariance',)),
}


def house_svg() -> str:
    """Return the diagram of the packages; arrows that follow from others are left out."""
    return picture(920, 570, 'The rooms of the package and their imports', _house())


def _house() -> Iterator[str]:
    for importer, imported in sorted(reduced(imports(ROOMS))):
        above, below = ROOMS[importer], ROOMS[imported]
        shift = (below.x - above.x) // 6
        start, end = above.y + above.height // 2, below.y - below.height // 2
        yield arrow(above.x + shift, start, below.x - shift, end)
    for box in ROOMS.values():
        yield box.svg()
    yield note(785, 525, 'an arrow: imports; those that')
    yield note(785, 542, 'follow from others are left out')


def imports(rooms: Iterable[str]) -> set[tuple[str, str]]:
    """Return which package of loftr_ros imports from which."""
    graph = grimp.build_graph('loftr_ros', cache_dir=None)
    return {
        (importer, imported)
        for importer in rooms
        for imported in rooms
        if importer != imported
        and graph.direct_import_exists(
            importer=f'loftr_ros.{importer}', imported=f'loftr_ros.{imported}', as_packages=True
        )
    }


def reduced(arrows: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out arrows for which there is a longer path; there are no circles."""
    following: dict[str, set[str]] = {}
    for start, end in arrows:
        following.setdefault(start, set()).add(end)
    return {
        (start, end)
        for start, end in arrows
        if not any(end in _reached(other, following) for other in following[start] - {end})
    }


def _reached(start: str, following: Mapping[str, set[str]]) -> set[str]:
    direct = following.get(start, set())
    return direct.union(*(_reached(other, following) for other in direct))


def main() -> None:
    """Write all diagrams."""
    for name, text in {'node': node_svg(), 'house': house_svg()}.items():
        (IMAGES / f'{name}.svg').write_text(text, encoding='utf-8')


if __name__ == '__main__':
    main()
