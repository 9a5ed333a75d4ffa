"""The diagrams are those of the script that draws them."""

from __future__ import annotations

import configparser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip('grimp', reason='grimp is not installed (requirements/dev.txt)')

import diagrams

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize('name', ['node', 'house'])
def test_the_pictures_are_up_to_date(name: str) -> None:
    text = (ROOT / 'docs' / 'images' / f'{name}.svg').read_text(encoding='utf-8')
    assert getattr(diagrams, f'{name}_svg')() == text, 'run: python docs/diagrams.py'
    ET.fromstring(text)


def test_the_house_has_all_rooms() -> None:
    rooms = {path.parent.name for path in (ROOT / 'loftr_ros').glob('*/__init__.py')}
    assert set(diagrams.ROOMS) == rooms - {'msg', 'srv'}


def test_arrows_point_down_the_layers_of_the_contract() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / '.importlinter')
    layers = parser['importlinter:contract:rooms']['layers'].split('\n')
    level = {room.strip(): depth for depth, layer in enumerate(layers) for room in layer.split('|')}
    arrows = diagrams.reduced(diagrams.imports(diagrams.ROOMS))
    assert ('frontend', 'matching') in arrows
    for importer, imported in arrows:
        assert level[importer] < level[imported]
        assert diagrams.ROOMS[importer].y < diagrams.ROOMS[imported].y


def test_what_follows_from_other_arrows_is_left_out() -> None:
    assert diagrams.reduced({('a', 'b'), ('b', 'c'), ('a', 'c')}) == {('a', 'b'), ('b', 'c')}
