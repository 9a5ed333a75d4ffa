"""Links between the Markdown files lead somewhere, as a code host shows them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / 'docs').glob('*.md')),
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md')),
    *(ROOT / name for name in ('examples/README.md', 'loftr_ros/weights/README.md')),
]
LINK = re.compile(r'\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)')


def anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts give the headings of a page."""
    headings = re.findall(r'^#+ (.*)$', page.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(page.read_text(encoding='utf-8')):
        target = page.parent / path if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target), f'{path}#{anchor}'


def test_pages_link_to_nothing_that_is_generated() -> None:
    ignored = ('docs/generated', 'docs/_build')
    for page in PAGES:
        for path, _ in LINK.findall(page.read_text(encoding='utf-8')):
            assert not path.startswith(ignored), f'{page.name}: {path}'


def test_the_readme_is_short() -> None:
    words = (ROOT / 'README.md').read_text(encoding='utf-8').split()
    assert 500 < len(words) <= 900


def test_every_page_is_linked_from_another() -> None:
    text = '\n'.join(page.read_text(encoding='utf-8') for page in PAGES)
    for page in (ROOT / 'docs').glob('*.md'):
        assert page.name in text, page.name


def test_the_site_is_not_in_the_repository() -> None:
    if not (ROOT / '.git').exists():
        pytest.skip('the sources are not a git checkout')
    tracked = subprocess.run(
        ['git', 'ls-files', 'docs/generated', 'docs/_build'], cwd=ROOT, capture_output=True
    )
    assert tracked.stdout == b''
