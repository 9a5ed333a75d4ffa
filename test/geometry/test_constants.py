"""The numbers that decide about a pose: few, each with its meaning, in one place."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import loftr_ros.geometry
from loftr_ros.geometry import MetricOptions, TwoViewOptions, constants

FOLDER = Path(loftr_ros.geometry.__file__).parent
MOST = 25
NO_THRESHOLDS = {'seed', 'depth_noise', 'depth_noise_growth', 'depth_nearest', 'depth_range'}
"""The seed, and what a user says about a depth camera."""


def numbers_of(module: Path) -> list[tuple[str, bool]]:
    """Names of a module's numbers that are no details of a method, and whether a text follows."""
    body = ast.parse(module.read_text()).body
    found = []
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            continue
        name, value = statement.targets[0].id, statement.value
        if (
            name.isupper()
            and not name.startswith('_')
            and isinstance(value, ast.Constant | ast.BinOp)
        ):
            explained = isinstance(following, ast.Expr) and isinstance(
                following.value, ast.Constant
            )
            found.append((name, explained))
    return found


def option_names(options: TwoViewOptions | MetricOptions) -> list[str]:
    fields = [field.name for field in dataclasses.fields(options)]
    numbers = [name for name in fields if isinstance(getattr(options, name), int | float | tuple)]
    return [name for name in numbers if name not in NO_THRESHOLDS and getattr(options, name) != ()]


def test_at_most_25_numbers_decide_about_a_pose() -> None:
    names = [name for name, _ in numbers_of(FOLDER / 'constants.py')]
    names += option_names(TwoViewOptions()) + option_names(MetricOptions())
    assert {'RIVAL', 'min_support', 'depth_jump'} <= set(names)
    assert len(names) <= MOST, names


def test_each_of_them_says_what_it_means() -> None:
    assert all(explained for _, explained in numbers_of(FOLDER / 'constants.py'))
    text = (TwoViewOptions.__doc__ or '') + (MetricOptions.__doc__ or '')
    for name in option_names(TwoViewOptions()) + option_names(MetricOptions()):
        assert f'{name}: ' in text


@pytest.mark.parametrize('module', sorted(FOLDER.glob('*.py')), ids=lambda path: path.stem)
def test_other_modules_have_none_of_their_own(module: Path) -> None:
    names = [name for name, _ in numbers_of(module)]
    # The steps of a method change how soon it ends, not where.
    assert module.stem == constants.__name__.rsplit('.', 1)[-1] or names in ([], ['MOST_STEPS'])
