"""CHANGELOG.rst is as REP 132 has it, so that catkin tools can release it."""

from __future__ import annotations

from pathlib import Path

import pytest

changelog = pytest.importorskip('catkin_pkg.changelog', reason='catkin_pkg is not installed')
versions = pytest.importorskip('catkin_pkg.package_version')

ROOT = Path(__file__).parents[2]


def test_a_release_takes_over_what_is_added_changed_and_fixed(tmp_path: Path) -> None:
    file = tmp_path / 'CHANGELOG.rst'
    file.write_text((ROOT / 'CHANGELOG.rst').read_text(encoding='utf-8'), encoding='utf-8')
    assert versions.get_forthcoming_label(file.read_text()) == 'Forthcoming'
    before = changelog.get_changelog_from_path(str(tmp_path), 'loftr_ros')
    versions.update_changelog_sections({'loftr_ros': (str(file), before, 'Forthcoming')}, '9.8.7')
    found = changelog.get_changelog_from_path(str(tmp_path), 'loftr_ros')
    version, date, content = next(found.foreach_version())
    text = '\n'.join(str(item) for item in content)
    assert version == '9.8.7'
    assert date is not None
    for kind in ('Added', 'Changed', 'Fixed'):
        assert f'{kind}\n' in text


def test_entries_are_short() -> None:
    lines = (ROOT / 'CHANGELOG.rst').read_text(encoding='utf-8').splitlines()
    entries = [line for line in lines if line.startswith('  * ')]
    assert len(entries) > 20
    assert max(map(len, entries)) <= 250
