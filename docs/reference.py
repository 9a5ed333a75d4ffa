"""Pages of the site that come from files elsewhere: parameters, messages, API, model card."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sphinx.ext.autodoc.mock import mock  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from loftr_ros.settings.declarations import Declaration

IMPORTS: tuple[str, ...] = (
    *('cv2', 'evo', 'jinja2', 'matplotlib', 'numpy', 'plotly', 'poselib', 'rclpy'),
    *('rich', 'rosbags', 'safetensors', 'scipy', 'torch', 'yaml'),
)
"""What the modules of the package import and a machine may lack."""

ROOMS = {
    'frontend': 'keyframes, tracks, odometry and loops: one session for robot and replay',
    'matching': 'LoFTR: images in, matches out',
    'geometry': 'cameras, poses and their covariance',
    'codecs': 'ROS messages to plain data and back',
    'settings': "the node's parameters",
    'data': 'datasets and bags as sequences of frames',
    'rendering': 'images with true depth and poses',
    'visualization': 'pictures of the dataclasses',
}
"""Packages that have a page: those to import; behind the others are commands and the node."""

FILES = {
    'CONTRIBUTING.md': 'generated/contributing.md',
    'examples/README.md': 'generated/examples.md',
    'loftr_ros/weights/README.md': 'generated/weights.md',
}
"""Files of the repository that have a page."""


def write_pages(root: Path, site: Path, missing: Sequence[str]) -> None:
    """Write all pages; one that is as it was keeps its time, so that Sphinx reads it no more.

    Args:
        root: Of the repository.
        site: Folder of the site's sources.
        missing: Packages that cannot be imported.
    """
    with mock(list(missing)):
        pages = {'generated/parameters.md': parameters_page()}
    pages['generated/messages.md'] = messages_page(root)
    pages['generated/changelog.rst'] = (root / 'CHANGELOG.rst').read_text(encoding='utf-8')
    pages |= {f'generated/{room}.rst': room_page(root, room, ROOMS[room]) for room in ROOMS}
    for file, name in FILES.items():
        text = (root / file).read_text(encoding='utf-8')
        pages[name] = with_links(text, (root / file).parent, root, site / 'generated', site)
    (site / 'generated').mkdir(exist_ok=True)
    for name, text in pages.items():
        page = site / name
        if not page.exists() or page.read_text(encoding='utf-8') != text:
            page.write_text(text, encoding='utf-8')


def with_links(text: str, folder: Path, root: Path, place: Path, site: Path | None = None) -> str:
    """Return Markdown whose relative links lead to the same from another place.

    Args:
        text: As it is in the repository.
        folder: Where it is there.
        root: Of the repository.
        place: Where it goes.
        site: Folder of the site's sources, if not `place`: a copy of docs/.
    """
    pages = {root / file: (site or place) / page for file, page in FILES.items()}

    def moved(match: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / match[1]))
        if target in pages:
            target = pages[target]
        elif target.is_relative_to(root / 'docs'):
            target = (site or place) / target.relative_to(root / 'docs')
        return f']({os.path.relpath(target, place)}'

    return re.sub(r'\]\((?![a-z]+:|#)([^)#]+)', moved, text)


def parameters_page() -> str:
    """Return the page of the node's parameters, from their declarations."""
    return '\n'.join(
        [
            '# Parameters',
            '',
            'All parameters of the node, from their declarations in the code. Those that people',
            'set are in config/loftr.yaml, the others in config/loftr_advanced.yaml. A wrong value',
            'is refused with the reason. Names are the same in `loftr-ros` and the launch file.',
            '',
            '## Those that people set',
            '',
            *_parameters(basic=True),
            '## The others',
            '',
            *_parameters(basic=False),
        ]
    )


def messages_page(root: Path) -> str:
    """Return the page of messages and services, from msg/*.msg and srv/*.srv."""
    lines = ['# Messages', '', 'The comments are part of the definitions, and a contract.', '']
    for file in sorted([*root.glob('msg/*.msg'), *root.glob('srv/*.srv')]):
        kind = file.suffix[1:]
        lines += [f'## loftr_ros/{kind}/{file.stem}', '', '```text']
        lines += [*file.read_text(encoding='utf-8').splitlines(), '```', '']
    return '\n'.join(lines)


def room_page(root: Path, room: str, text: str) -> str:
    """Return the page of a package with all modules in it, in reStructuredText."""
    title = f'loftr_ros.{room}'
    lines = [title, '=' * len(title), '', f'{text[0].upper()}{text[1:]}.', '']
    for file in sorted((root / 'loftr_ros' / room).rglob('*.py')):
        module = '.'.join(file.relative_to(root).with_suffix('').parts)
        if file.stem.startswith('_'):
            continue
        lines += [module, '-' * len(module), '', f'.. automodule:: {module}', '']
    return '\n'.join(lines)


def _parameters(*, basic: bool) -> Iterator[str]:
    from loftr_ros.settings.parameters import parameter_fields

    for name, field in parameter_fields().items():
        declaration: Declaration = field.metadata['declaration']
        if declaration.basic is basic:
            yield f'### `{name}`'
            yield ''
            yield f'{_escaped(str(declaration))} Default: {_value(field.default)}.'
            yield ''


def _value(default: Any) -> str:  # noqa: ANN401 - of any type
    if isinstance(default, bool):
        return f'`{default}`'.lower()
    if isinstance(default, tuple):
        return f'`{list(default)}`'
    return f'`{default}`' if default != '' else 'empty'


def _escaped(text: str) -> str:
    """Keep what Markdown would read as markup, but for code."""
    return re.sub(r'([*_<>\[\]~])(?=(?:[^`]*`[^`]*`)*[^`]*$)', r'\\\1', text)
