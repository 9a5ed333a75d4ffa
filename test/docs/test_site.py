"""The site of the docs builds without a warning, from a copy of docs/ as rosdoc2 makes it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from loftr_ros.geometry import RelativePose

for name in ('sphinx', 'myst_parser', 'sphinx_rtd_theme'):
    pytest.importorskip(name, reason=f'{name} is not installed (requirements/docs.txt)')

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'config'


class Site:
    """Sources, and what Sphinx makes of them."""

    def __init__(self, folder: Path) -> None:
        self.sources = folder / 'docs'
        self.pages = folder / 'html'
        shutil.copytree(
            ROOT / 'docs', self.sources, ignore=shutil.ignore_patterns('_build', 'generated')
        )

    def build(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, '-m', 'sphinx', '-b', 'html', '-W', '--keep-going', '-q']
        return subprocess.run(
            [*command, str(self.sources), str(self.pages)],
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1'},
            capture_output=True,
            text=True,
        )

    def text(self, page: str) -> str:
        reader = Words()
        reader.feed((self.pages / page).read_text(encoding='utf-8'))
        return ' '.join(' '.join(reader.words).split())


class Words(HTMLParser):
    """The text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp('site'))
    built = site.build()
    assert built.returncode == 0, built.stderr
    return site


def test_every_page_is_there(site: Site) -> None:
    pages = {path.relative_to(site.pages).as_posix() for path in site.pages.rglob('*.html')}
    sources = {path.stem for path in (ROOT / 'docs').glob('*.md')}
    assert {f'{name}.html' for name in sources} <= pages
    generated = ('parameters', 'messages', 'changelog', 'contributing', 'weights', 'geometry')
    assert {f'generated/{name}.html' for name in generated} <= pages


def test_parameters_are_those_of_the_parameter_files(site: Site) -> None:
    shown = set(site.text('generated/parameters.html').split())
    for file in CONFIG.glob('loftr*.yaml'):
        values = yaml.safe_load(file.read_text())['/**']['ros__parameters']
        assert names(values) <= shown


def names(values: dict[str, object], group: str = '') -> set[str]:
    found = set()
    for name, value in values.items():
        inner = isinstance(value, dict)
        found |= names(value, f'{group}{name}.') if inner else {f'{group}{name}'}  # type: ignore[arg-type]
    return found


def test_messages_have_the_comments_of_their_files(site: Site) -> None:
    text = site.text('generated/messages.html')
    for file in (*ROOT.glob('msg/*.msg'), *ROOT.glob('srv/*.srv')):
        assert ' '.join(file.read_text().split()) in text


def test_the_api_comes_from_the_docstrings(site: Site) -> None:
    purpose = (RelativePose.__doc__ or '').splitlines()[0].replace('`', '')
    assert purpose in site.text('generated/geometry.html')


def test_files_beside_the_docs_can_be_opened(site: Site) -> None:
    page = (site.pages / 'node.html').read_text(encoding='utf-8')
    [target] = set(re.findall(r'href="(_downloads/[^"]+foxglove_layout\.json)"', page))
    assert (site.pages / target).read_bytes() == (CONFIG / 'foxglove_layout.json').read_bytes()


@pytest.mark.parametrize('link', ['no_page.md', 'node.md#no-heading'])
def test_a_link_to_nothing_ends_the_build(site: Site, link: str) -> None:
    page = site.sources / 'loops.md'
    original = page.read_text(encoding='utf-8')
    page.write_text(f'{original}\n[nothing]({link})\n', encoding='utf-8')
    try:
        built = site.build()
    finally:
        page.write_text(original, encoding='utf-8')
    assert built.returncode != 0
    assert 'loops.md' in built.stderr
    assert 'myst.xref_missing' in built.stderr
